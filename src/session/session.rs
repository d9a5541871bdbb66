//! The story of a client's requests: idle → a request → a server → relayed → given back → idle.
//!
//! A future written by hand, because it lives as long as the client does and there are thousands of it: while its
//! client is idle it holds no buffer and no server.

use std::{
    num::NonZeroU32,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use super::{
    acquire::{Attempt, Granted, Needs, Start, query_wait_timeout},
    context::{Context, Scratch},
    ears::Ears,
    exchange::{Exchange, ReadOnly},
    frontend::{Frontend, Opening, UnnamedPolicy},
    outbox::Outbox,
    promise::Promise,
    reading::Lexicon,
    relay::Cut,
    rereading::Rereads,
    routes::Tenant,
    split::Split,
    temp_buffers::retire,
    tenancy::Sequences,
};
use crate::{
    client::registry::{Activity, Order, Registered},
    clock::Moment,
    net::Stream,
    pool::{
        account::{Account, CommitFate, OpaquePolicy, PoolMode},
        flavours::FlavourHeld,
        lease::{Finish, Refusal},
    },
    wire::{
        error::{PgError, SqlState},
        parameters::{Own, Parameters},
        schema::Schema,
        state::{Carried, SessionState},
        statements::Scope,
    },
};

/// A client that waits is told so after this time, as PgBouncer tells it.
pub const WAIT_NOTICE_AFTER: Duration = Duration::from_secs(5);

/// Bytes of further requests that are read from a client that waits.
pub(super) const INBOX_BYTES_MAX: usize = 64 * 1024;

/// Everything about a client that is in.
pub struct Session {
    pub(super) stream: Stream,
    pub(super) context: Arc<Context>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) entry: Registered,
    pub(super) frontend: Frontend,
    /// The tracked settings as the client was told them last.
    pub(super) parameters: Arc<Parameters>,
    /// Which of them it has chosen itself.
    pub(super) own: Own,
    /// The tracked settings as they were at its start.
    pub(super) reset_values: Arc<Parameters>,
    /// What its session holds beside them.
    pub(super) state: Carried,
    pub(super) scope: Scope,
    pub(super) lexicon: Lexicon,
    pub(super) mode: PoolMode,
    /// What its client wants of replicas.
    pub(super) selection: usize,
    pub(super) max_prepared_statements: usize,
    pub(super) opaque: Option<Arc<OpaquePolicy>>,
    pub(super) sample: Option<NonZeroU32>,
    pub(super) unnamed: UnnamedPolicy,
    /// The schema of its database.
    pub(super) schema: Arc<Schema>,
    /// The number of the lease that it had last.
    pub(super) last_lease: u64,
    /// ReadyForQuery messages it has got.
    pub(super) queries: u64,
    pub(super) flavour: FlavourHeld,
    /// What it has on a listener that splits.
    pub(super) split: Option<Box<Split>>,
    /// What it has on a listener that reads.
    pub(super) rereads: Option<Box<Rereads>>,
    /// What its reads must see, unless they may see anything.
    pub(super) promise: Option<Box<Promise>>,
    /// Whether it is to know what became of a commit whose answer is lost.
    pub(super) inquisitive: CommitFate,
    /// Bytes of the client's that could not be dealt with so far.
    pub(super) inbox: Vec<u8>,
    /// Whether the inbox can be dealt with without more bytes.
    pub(super) resume: bool,
    /// Bytes that the client has not taken so far.
    pub(super) outbox: Outbox,
    /// What it hears without a server.
    pub(super) ears: Option<Box<Ears>>,
    phase: Phase,
}

#[derive(Default)]
enum Phase {
    /// The client has no request.
    #[default]
    Idle,
    /// It stands in a pool's line.
    Line(Box<Line>),
    /// It waits for something else, or a server is made ready for it.
    Waiting(Box<Waiting>),
    /// It has a server.
    Relaying(Box<Exchange>),
    /// Its transaction is over, and its server is asked what that has left.
    Settling(Box<Settling>),
    /// What it listens on its server passes to the shared connection.
    Parting(Box<Parting>),
    /// Its server was lost in a commit, and the next leader is asked what became of that.
    Inquiring(Box<Inquiring>),
    /// Its request was refused; the rest of it is dropped. Whether it is more than one message.
    Rejecting(bool),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The client left.
    ByClient,
    /// It must be told this, if it can still be told.
    WithError(PgError),
    /// The same, in its server's own words.
    WithWords(Box<[u8]>),
    /// It cannot be told anything: a message has reached it in part.
    Garbled(&'static str),
}

/// What one step came to.
enum Flow {
    Again,
    Wait,
    End(Ended),
}

/// What a session starts with.
pub struct Newcomer {
    /// Its bytes.
    pub stream: Stream,
    /// The listener's part.
    pub context: Arc<Context>,
    /// User and database.
    pub tenant: Arc<Tenant>,
    /// Its place in the registry.
    pub entry: Registered,
    /// The tracked settings it was told.
    pub parameters: Arc<Parameters>,
    /// Which of them it has chosen itself.
    pub own: Own,
    /// Its start-up settings.
    pub flavour: FlavourHeld,
    /// What it wants of replicas: the place of a selection in the cluster's routing policy.
    pub selection: usize,
    /// What came behind its login.
    pub unread: Vec<u8>,
}

impl Session {
    /// The session of a client that has just been told that it is in.
    pub fn new(newcomer: Newcomer) -> Self {
        let Newcomer { stream, context, tenant, entry, parameters, own, flavour, selection, unread } =
            newcomer;
        let settings = tenant.account.settings.load();
        let mode = settings.own_mode.or(context.mode).unwrap_or(settings.mode);
        let max_prepared_statements = settings.max_prepared_statements;
        let (opaque, sample) = (settings.opaque.clone(), settings.sample);
        let unnamed = if settings.map_unnamed { UnnamedPolicy::Map } else { UnnamedPolicy::PassOn };
        let consistency = settings.consistency.on(context.consistency);
        let inquisitive = settings.commit_fate;
        drop(settings);
        let schema = context.catalog.schema(&tenant.account.cluster, &tenant.account.database);
        let mut session = Self {
            stream,
            context,
            tenant,
            entry,
            frontend: Frontend::default(),
            reset_values: parameters.clone(),
            parameters,
            own,
            state: Carried::NOTHING,
            scope: Scope::from(""),
            lexicon: Lexicon::default(),
            mode,
            selection,
            max_prepared_statements,
            opaque,
            sample,
            unnamed,
            schema,
            last_lease: 0,
            queries: 0,
            flavour,
            split: None,
            rereads: None,
            promise: Promise::new(consistency),
            inquisitive,
            resume: !unread.is_empty(),
            inbox: unread,
            outbox: Outbox::default(),
            ears: None,
            phase: Phase::Idle,
        };
        session.settings_changed();
        session.begin_to_split();
        session.begin_to_read();
        session.begin_to_promise();
        session
    }

    /// What depends on the settings follows them.
    pub(super) fn settings_changed(&mut self) {
        let account = &self.tenant.account;
        let key = self.parameters.parse_key();
        let others = self.state.get().map_or_else(String::new, SessionState::parse_key);
        let Account { cluster, user, database, .. } = &**account;
        let flavour = self.flavour.number();
        self.scope = format!("{cluster}\0{user}\0{database}\0{flavour}\0{key}\0{others}").into();
        self.lexicon = Lexicon::of(&self.parameters);
        self.limit_rest();
    }

    /// `now` is read when it is needed: most steps come to nothing, or to bytes with a time of their own.
    fn step(&mut self, now: &mut Option<Moment>, scratch: &mut Scratch, cx: &mut TaskContext<'_>) -> Flow {
        match std::mem::take(&mut self.phase) {
            Phase::Idle => self.idle(now, scratch, cx),
            Phase::Line(line) => self.line(line, self.time(now), scratch, cx),
            Phase::Waiting(waiting) => self.waiting(waiting, self.time(now), scratch, cx),
            Phase::Relaying(exchange) => self.relaying(exchange, now, scratch, cx),
            Phase::Settling(settling) => self.settling(settling, self.time(now), scratch, cx),
            Phase::Parting(parting) => self.parting(parting, self.time(now), scratch, cx),
            Phase::Inquiring(inquiring) => self.inquiring(inquiring, self.time(now), scratch, cx),
            Phase::Rejecting(sequence) => self.rejecting(sequence, self.time(now), scratch, cx),
        }
    }

    /// The time of this poll.
    #[inline]
    pub(super) fn time(&self, now: &mut Option<Moment>) -> Moment {
        *now.get_or_insert_with(|| self.context.clock.now())
    }

    /// No request so far: reads, and sees what it is.
    fn idle(&mut self, now: &mut Option<Moment>, scratch: &mut Scratch, cx: &mut TaskContext<'_>) -> Flow {
        match self.poll_told(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Flow::End(Ended::ByClient),
            Poll::Pending => return Flow::Wait,
        }
        if !std::mem::take(&mut self.resume) || self.inbox.is_empty() {
            let bytes = match self.stream.poll_receive(cx, &mut scratch.input) {
                Poll::Pending => return Flow::Wait,
                Poll::Ready(Ok(0) | Err(_)) => return Flow::End(Ended::ByClient),
                Poll::Ready(Ok(bytes)) => bytes,
            };
            self.context.worker.counters.client_bytes.add(bytes as u64);
            if self.inbox.is_empty() {
                // Not when this poll began: the process may have stood still since, and the request have come after that.
                let now = *now.insert(self.context.clock.now());
                return self.request(&scratch.input[..bytes], &mut scratch.output, now, cx);
            }
            self.inbox.extend_from_slice(&scratch.input[..bytes]);
            if self.frontend.lacks(&self.inbox, self.max_prepared_statements) {
                return Flow::Again;
            }
        }
        let inbox = std::mem::take(&mut self.inbox);
        let now = *now.insert(self.context.clock.now());
        self.request(&inbox, &mut scratch.output, now, cx)
    }

    /// Bytes have come, and no server is leased.
    fn request(&mut self, bytes: &[u8], output: &mut Vec<u8>, now: Moment, cx: &mut TaskContext<'_>) -> Flow {
        match self.frontend.opening(bytes, self.max_prepared_statements) {
            Err(error) => return self.end("client_fault", error),
            Ok(Opening::Goodbye) => return Flow::End(Ended::ByClient),
            Ok(Opening::Incomplete) => {
                self.inbox.extend_from_slice(bytes);
                return Flow::Again;
            }
            Ok(Opening::Noise(dropped)) => {
                self.inbox.extend_from_slice(&bytes[dropped..]);
                self.resume = !self.inbox.is_empty();
                return Flow::Again;
            }
            Ok(Opening::Request) => {}
        }
        self.choose(bytes, now);
        if let Err(loss) = self.aim() {
            self.inbox.extend_from_slice(bytes);
            return self.tell_of_loss(loss, now);
        }
        match self.needs().attempt(now, cx) {
            Attempt::Ready(granted) => self.start(granted, bytes, output, now, cx),
            Attempt::Slow(start) => {
                self.inbox.extend_from_slice(bytes);
                self.wait(start, now);
                Flow::Again
            }
        }
    }

    /// There is a server for what the client has sent: it goes there at once, so that an exchange never begins
    /// with nothing owed, which would look settled.
    fn start(
        &mut self,
        mut granted: Granted,
        bytes: &[u8],
        output: &mut Vec<u8>,
        now: Moment,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if self.finds_it_fixed(&mut granted.lease, bytes) {
            retire(granted.lease, now);
            self.inbox.extend_from_slice(bytes);
            self.wait(Start::Route, now);
            return Flow::Again;
        }
        if let Err(loss) = self.admit(&granted.lease) {
            granted.lease.finish(Finish::Settled, now);
            self.inbox.extend_from_slice(bytes);
            return self.tell_of_loss(loss, now);
        }
        let mut exchange = self.begin(granted, now);
        self.try_alone(&mut exchange, bytes);
        match self.send_on(&mut exchange, bytes, output, now, cx) {
            Ok(taken) => {
                self.inbox.extend_from_slice(&bytes[taken..]);
                self.phase = Phase::Relaying(exchange);
                Flow::Again
            }
            Err(cut) => self.cut(exchange, cut, now),
        }
    }
}

mod asking;
mod beginning;
mod ending;
mod following;
mod inquiring;
mod inspecting;
mod parting;
mod promising;
mod relaying;
mod running;
mod settling;
mod splitting;
mod waiting;
mod withholding;

pub(super) use following::Teller;
use inquiring::Inquiring;
use parting::Parting;
pub use running::Run;
use settling::Settling;
use waiting::{Line, Waiting};
