//! How a client's server is given back: what its session holds is found out first, where that may have changed.

use std::{pin::Pin, task::Poll};

use super::{Ended, Exchange, Finish, Flow, Moment, PgError, Phase, Scratch, Session, SqlState, TaskContext};
use crate::{
    client::registry::Activity,
    cluster::ids::Lsn,
    pool::{account::PoolMode, lease::Lease},
    server::{Told, conn::Hygiene},
    session::{
        exchange::{ClientEnd, Rest},
        inquiry::{Circumstances, Findings, Inquiry, LASTING, UNREADABLE},
        inspection::{Inspected, inspect},
        promise::placing::QUESTION,
        relay::Cut,
        tenancy::Tenancy,
        touched::Touched,
    },
    sql::touches::Kinds,
    wire::state::{Definition, SessionState},
};

/// A server is being asked something of ours.
pub(super) struct Settling {
    pub(super) exchange: Box<Exchange>,
    /// The lease's number.
    number: u64,
    purpose: Purpose,
    inspected: Pin<Box<dyn Future<Output = (Lease, Inspected)> + Send>>,
}

/// What for.
enum Purpose {
    /// To know what its session holds.
    Inspect(Box<Touched>, Inquiry, Circumstances),
    /// To see whether nothing is left, as all texts say.
    Sample(Inquiry, Circumstances),
    /// To have the settings of the client's start instead of its own.
    Equalize,
    /// To know where what was committed ends.
    Place,
}

impl Session {
    /// Everything is answered, and no transaction is open.
    pub(super) fn settled(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        let tenancy = &mut exchange.tenancy;
        if self.mode == PoolMode::Session {
            return self.release(exchange, now);
        }
        if self.has_prepared_otherwise() {
            tenancy.pins |= Kinds::PREPARED;
        }
        if !(tenancy.is_touched() || tenancy.is_pinned()) {
            if exchange.client == ClientEnd::Open && self.is_sample() {
                return self.sample(exchange, now);
            }
            return self.part(exchange, now);
        }
        let has_left = match exchange.client {
            ClientEnd::Open => false,
            ClientEnd::Terminated => true,
            ClientEnd::HalfClosed(_) => self.inbox.is_empty(),
        };
        if has_left {
            // Nobody is left to whom it matters.
            return self.release(exchange, now);
        }
        if tenancy.pins.has_any(LASTING) {
            return self.keep_server(exchange, now);
        }
        let Some(touched) = tenancy.take_touched() else { return self.keep_server(exchange, now) };
        let around = self.circumstances(&exchange);
        match Inquiry::about(&touched, &around) {
            Some(inquiry) => {
                // A cancel request that comes now is too late: it would hit the question.
                self.entry.in_transaction(None);
                self.entry.enter(Activity::Idle, now);
                self.context.worker.counters.inspections.add(1);
                let queries = inquiry.queries();
                self.ask(exchange, queries, Purpose::Inspect(touched, inquiry, around), now)
            }
            None => {
                exchange.tenancy.inspected(around.pins | touched.lasting());
                if exchange.tenancy.is_pinned() {
                    self.keep_server(exchange, now)
                } else {
                    self.part(exchange, now)
                }
            }
        }
    }

    /// Whether this return of a server is one of those that are looked at closely.
    #[inline]
    fn is_sample(&self) -> bool {
        let leases = self.context.worker.counters.leases.get();
        self.sample.is_some_and(|sample| leases.is_multiple_of(u64::from(sample.get())))
    }

    /// Nothing is known to be left: is that so?
    #[cold]
    fn sample(&mut self, exchange: Box<Exchange>, now: Moment) -> Flow {
        let around = self.circumstances(&exchange);
        let Some(inquiry) = Inquiry::about(&Touched::anything(), &around) else {
            return self.release(exchange, now);
        };
        self.entry.in_transaction(None);
        self.entry.enter(Activity::Idle, now);
        let queries = inquiry.queries();
        self.ask(exchange, queries, Purpose::Sample(inquiry, around), now)
    }

    /// What was found that no text has shown is nobody's: it may have been there for long.
    fn found(&self, exchange: &mut Exchange, told: &Told, inquiry: &Inquiry, around: &Circumstances) {
        if !told.refused.is_empty() {
            return;
        }
        let Findings { state, pins } = inquiry.findings(&told.rows, &Touched::anything(), around);
        let settings = if state.is_like(&around.state) { Kinds::NONE } else { Kinds::SETTINGS };
        for kind in (pins | settings).each().map(pin_word) {
            self.context.worker.counters.found.count([kind]);
            tracing::warn!(
                user = %self.tenant.account.user, database = %self.tenant.account.database, kind,
                "a session's state was changed by what no statement shows (see opaque_function_names)"
            );
        }
        if !(pins | settings).is_empty()
            && let Some(server) = exchange.lease.as_mut().and_then(Lease::server)
        {
            server.conn.hygiene = Hygiene::Dirty;
        }
    }

    fn circumstances(&self, exchange: &Exchange) -> Circumstances {
        let settings = self.context.pools.flavours().settings(self.flavour.number());
        Circumstances {
            login: self.tenant.account.user.clone(),
            state: self.state.clone(),
            parameters: self.parameters.clone(),
            scope: self.scope.clone(),
            pins: exchange.tenancy.pins,
            custom: self.tenant.account.custom_settings.names(),
            // Switches of the server's command line may hold it, too.
            starts_with_role: settings
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("role") || name == "options"),
        }
    }

    fn ask(
        &mut self,
        mut exchange: Box<Exchange>,
        queries: Vec<Vec<u8>>,
        purpose: Purpose,
        now: Moment,
    ) -> Flow {
        self.entry.released();
        exchange.tenancy.loses_unnamed();
        let Some(lease) = exchange.lease.take() else { return self.release(exchange, now) };
        let number = lease.number();
        let patience = self.tenant.account.settings.load().leader_wait_timeout;
        let inspected = Box::pin(inspect(self.context.clone(), lease, queries, patience));
        self.phase = Phase::Settling(Box::new(Settling { exchange, number, purpose, inspected }));
        Flow::Again
    }

    /// Gives the server the settings of the client's start, where a reset has led to those of its own.
    pub(super) fn equalize(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        exchange.tenancy.equalized();
        let server = exchange.lease.as_mut().and_then(Lease::server);
        match server.and_then(|server| server.conn.difference_sql(&self.parameters)) {
            Some(sql) => self.ask(exchange, vec![sql.into_bytes()], Purpose::Equalize, now),
            None => self.go_on(exchange),
        }
    }

    /// Asks where what was committed ends.
    pub(super) fn ask_position(&mut self, exchange: Box<Exchange>, now: Moment) -> Flow {
        self.entry.in_transaction(None);
        self.entry.enter(exchange.resting(), now);
        self.ask(exchange, vec![QUESTION.to_vec()], Purpose::Place, now)
    }

    /// The client has its server as before.
    fn go_on(&mut self, mut exchange: Box<Exchange>) -> Flow {
        if let Some(server) = exchange.lease.as_mut().and_then(Lease::server) {
            self.entry.leased(&server.cancel);
        }
        self.resume = !self.inbox.is_empty();
        self.phase = Phase::Relaying(exchange);
        Flow::Again
    }

    /// The server is asked. What the client sends meanwhile is kept.
    pub(super) fn settling(
        &mut self,
        mut settling: Box<Settling>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if self.entry.tether.is_revoked(settling.number) {
            let revoked = self.entry.tether.revocation();
            if matches!(settling.purpose, Purpose::Place) {
                return self.forsake_unplaced(settling.exchange, revoked.reason.to_string(), now);
            }
            return self.cut(settling.exchange, Cut::Revoked(revoked), now);
        }
        let Poll::Ready((lease, inspected)) = settling.inspected.as_mut().poll(cx) else {
            let flow = if settling.exchange.client == ClientEnd::Open {
                self.listen_while_waiting(scratch, cx)
            } else {
                Flow::Wait
            };
            if let Flow::End(Ended::ByClient) = flow {
                // The server is put in order all the same.
                settling.exchange.client = ClientEnd::HalfClosed(now);
            }
            if !self.inbox.is_empty() && self.entry.activity().0 == Activity::Idle {
                // From here on it can be cancelled.
                self.entry.enter(Activity::Waiting, now);
            }
            self.phase = Phase::Settling(settling);
            return Flow::Wait;
        };
        let Settling { mut exchange, purpose, .. } = *settling;
        exchange.lease = Some(lease);
        let told = match inspected {
            Inspected::Told(told) => told,
            Inspected::Lost(why) if matches!(purpose, Purpose::Place) => {
                return self.forsake_unplaced(exchange, why, now);
            }
            Inspected::Lost(why) => return self.cut(exchange, Cut::ServerGone(why), now),
            Inspected::NoRight if matches!(purpose, Purpose::Place) => {
                return self.forsake_unplaced(exchange, "the right to write to it is over".to_owned(), now);
            }
            Inspected::NoRight => return self.cut(exchange, Cut::NoRight, now),
        };
        if !told.notifications.is_empty() {
            self.hear_otherwise(&mut exchange, &told.notifications);
        }
        if let Some(server) = exchange.lease.as_mut().and_then(Lease::server) {
            server.conn.note(&told.parameters);
        }
        match purpose {
            Purpose::Equalize => return self.go_on(exchange),
            Purpose::Place => {
                exchange.tenancy.placing.answered(position(&told));
                self.note_position(&mut exchange);
                // Should it not have said, the client is told all the same.
                self.tell_unplaced(&mut exchange);
                return self.go_on(exchange);
            }
            Purpose::Sample(inquiry, around) => self.found(&mut exchange, &told, &inquiry, &around),
            Purpose::Inspect(touched, inquiry, around) => {
                self.learn(&mut exchange, &told, touched, &inquiry, &around);
            }
        }
        if exchange.tenancy.is_pinned() { self.keep_server(exchange, now) } else { self.part(exchange, now) }
    }

    /// What the server said is the client's from now on.
    fn learn(
        &mut self,
        exchange: &mut Exchange,
        told: &Told,
        touched: Box<Touched>,
        inquiry: &Inquiry,
        around: &Circumstances,
    ) {
        if let Some((0, error)) = told.refused.first() {
            tracing::info!(
                user = %self.tenant.account.user, database = %self.tenant.account.database,
                sqlstate = error.code.as_str(), "a server did not say what a session holds"
            );
            exchange.tenancy.keep_touched(touched);
            exchange.tenancy.pins = around.pins | UNREADABLE;
            return;
        }
        for name in inquiry.deallocated(&told.rows) {
            self.frontend.statements.remove(name);
        }
        let Findings { state, pins } = inquiry.findings(&told.rows, &touched, around);
        if let Some(server) = exchange.lease.as_mut().and_then(Lease::server) {
            server.conn.state = state.clone();
        }
        if let Some(ears) = &mut self.ears {
            ears.heard.retain(|channel| state.get().is_some_and(|state| state.channels().contains(channel)));
        }
        exchange.tenancy.inspected(pins);
        if !self.state.is_like(&state) {
            let custom = state.get().into_iter().flat_map(SessionState::settings);
            custom
                .filter(|(_, setting)| setting.definition == Definition::Placeholder)
                .for_each(|(name, _)| self.tenant.account.custom_settings.note(name));
            self.state = state;
            self.settings_changed();
        }
        if self.has_prepared_otherwise() {
            exchange.tenancy.pins |= Kinds::PREPARED;
        }
    }

    /// Whether a statement was prepared by SQL under other settings than those of now: prepared elsewhere it could mean
    /// something else.
    #[inline]
    fn has_prepared_otherwise(&self) -> bool {
        let state = self.state.get();
        state.is_some_and(|state| state.statements().any(|(_, prepared)| prepared.scope != self.scope))
    }

    /// The client keeps its server, because of what its session holds.
    pub(super) fn keep_server(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        if exchange.client != ClientEnd::Open {
            return self.release(exchange, now);
        }
        if exchange.pin.is_none() {
            exchange.pin = exchange.lease.as_ref().and_then(|lease| lease.pool().pin());
            self.tell_of_pin(&exchange.tenancy, exchange.pin.is_some());
            if exchange.pin.is_none() {
                return self.cut(exchange, Cut::ClientFault(too_many(self)), now);
            }
        }
        self.entry.in_transaction(None);
        self.entry.enter(Activity::Pinned, now);
        self.go_on(exchange)
    }

    fn tell_of_pin(&self, tenancy: &Tenancy, kept: bool) {
        let account = &self.tenant.account;
        for (kind, word) in tenancy.pins.each().map(|kind| (kind, pin_word(kind))) {
            let statement = tenancy.evidence.of(kind).map(|print| format!("{print:016x}"));
            let statement = statement.as_deref().unwrap_or("unknown");
            if kept {
                self.context.worker.counters.pins.count([word]);
            }
            tracing::info!(
                user = %account.user, database = %account.database, pid = self.entry.key.pid, kind = word, statement,
                "{}", if kept { "a client keeps its server" } else { "too many clients keep their servers" }
            );
        }
    }

    pub(super) fn release(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        let refused = exchange.refused.take();
        self.give_back(exchange, Finish::Settled, now);
        self.resume = !self.inbox.is_empty();
        if let Some(Rest::Dropped(sequence)) = refused.map(|refused| refused.rest) {
            self.phase = Phase::Rejecting(sequence);
        }
        Flow::Again
    }

    pub(super) fn give_back(&self, mut exchange: Box<Exchange>, how: Finish, now: Moment) {
        self.entry.released();
        self.entry.enter(Activity::Idle, now);
        self.entry.in_transaction(None);
        self.tell_unplaced(&mut exchange);
        if let Some(mut lease) = exchange.lease.take() {
            if let Some(server) = lease.server() {
                self.context.worker.counters.used_statements(server.conn.statements.news());
                if how == Finish::Settled && self.mode == PoolMode::Session {
                    server.conn.hygiene = Hygiene::Dirty;
                }
                if server.conn.state.get().is_some_and(|state| !state.channels().is_empty()) {
                    // Nobody would hear what comes.
                    server.conn.hygiene = Hygiene::Dirty;
                }
                if let Some(left) = exchange.tenancy.leaves() {
                    server.conn.hygiene = left;
                }
            }
            lease.finish(how, now);
        }
        self.context.worker.keep_exchange(exchange);
    }
}

/// What keeps a client on its server, in words for the log and the count.
fn pin_word(kind: Kinds) -> &'static str {
    if kind == UNREADABLE { "unreadable" } else { kind.names().next().unwrap_or_default() }
}

/// The position that a server has told.
fn position(told: &Told) -> Option<Lsn> {
    let value = told.rows.first()?.first()?.as_deref()?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn too_many(session: &Session) -> PgError {
    let max = session.tenant.account.settings.load().pin_max.unwrap_or_default();
    PgError::fatal(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        "this session's state needs a server of its own, and too many clients have one (pin_max)",
    )
    .detail(format!("{max} servers of this pool are kept by clients."))
    .hint("What keeps a server (a temporary table, a cursor WITH HOLD, a lock …) is best ended sooner; or raise pin_max.")
}
