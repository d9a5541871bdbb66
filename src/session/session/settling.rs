//! How a client's server is given back: what its session holds is found out first, where that may have changed.

use std::{pin::Pin, task::Poll};

use super::{
    Ended, Exchange, Finish, Flow, Moment, PgError, Phase, Scratch, Session, SqlState, TaskContext,
    inspecting::{Inspection, pin_word},
};
use crate::{
    client::registry::Activity,
    cluster::ids::Lsn,
    pool::{account::PoolMode, lease::Lease},
    server::{Questions, Told, conn::Hygiene},
    session::{
        exchange::{ClientEnd, Rest},
        inquiry::{Inquiry, LASTING},
        inspection::{Inspected, inspect},
        promise::placing::QUESTION,
        relay::Cut,
        tenancy::Tenancy,
    },
    sql::touches::Kinds,
    wire::statements::UnnamedAt,
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
pub(super) enum Purpose {
    /// To know what its session holds.
    Inspect(Box<Inspection>),
    /// To see whether nothing is left, as all texts say.
    Sample(Box<Inspection>),
    /// To know what the client's unnamed statement yields, which had failed before that could be told.
    Describe,
    /// To have the settings of the client's start instead of its own.
    Equalize,
    /// To know where what was committed ends.
    Place,
}

impl Purpose {
    /// Whether it turns out by this what the client listens on.
    fn asks_for_channels(&self) -> bool {
        match self {
            Self::Inspect(inspection) | Self::Sample(inspection) => inspection.is_about(Kinds::LISTENS),
            Self::Describe | Self::Equalize | Self::Place => false,
        }
    }
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
        let is_there = tenancy.unnamed == UnnamedAt::Ours && exchange.client == ClientEnd::Open;
        if is_there && self.frontend.lacks_description() {
            return self.ask_for_description(exchange, now);
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
            Some(mut inquiry) => {
                // A cancel request that comes now is too late: it would hit the question.
                self.entry.in_transaction(None);
                self.entry.enter(Activity::Idle, now);
                self.context.worker.counters.inspections.add(1);
                let questions = inquiry.questions();
                let inspection = Box::new(Inspection::new(touched, inquiry, around));
                self.ask(exchange, questions, Purpose::Inspect(inspection), now)
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

    pub(super) fn ask(
        &mut self,
        mut exchange: Box<Exchange>,
        questions: Questions,
        purpose: Purpose,
        now: Moment,
    ) -> Flow {
        self.entry.released();
        exchange.tenancy.loses_unnamed();
        let Some(lease) = exchange.lease.take() else { return self.release(exchange, now) };
        let number = lease.number();
        let patience = self.tenant.account.settings.load().leader_wait_timeout;
        let inspected = Box::pin(inspect(self.context.clone(), lease, questions, patience));
        self.phase = Phase::Settling(Box::new(Settling { exchange, number, purpose, inspected }));
        Flow::Again
    }

    /// Gives the server the settings of the client's start, where a reset has led to those of its own.
    pub(super) fn equalize(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        exchange.tenancy.equalized();
        let server = exchange.lease.as_mut().and_then(Lease::server);
        match server.and_then(|server| server.conn.difference_sql(&self.parameters)) {
            Some(sql) => self.ask(exchange, [sql].iter().collect(), Purpose::Equalize, now),
            None => self.go_on(exchange),
        }
    }

    /// Asks where what was committed ends.
    pub(super) fn ask_position(&mut self, exchange: Box<Exchange>, now: Moment) -> Flow {
        self.entry.in_transaction(None);
        self.entry.enter(exchange.resting(), now);
        self.ask(exchange, [QUESTION].iter().collect(), Purpose::Place, now)
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
            if !(self.withholds() && settling.purpose.asks_for_channels()) {
                self.tell_meanwhile(&settling.exchange, cx);
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
            Purpose::Describe => {
                let refusal = told.refusal(0).map(|(error, _)| error);
                self.frontend.describes_late(told.shape(0), refusal);
                return self.settled(exchange, now);
            }
            Purpose::Sample(inspection) => self.found(&mut exchange, &told, &inspection),
            Purpose::Inspect(mut inspection) => match inspection.hear(told) {
                Some(questions) => return self.ask(exchange, questions, Purpose::Inspect(inspection), now),
                None => self.learn(&mut exchange, *inspection),
            },
        }
        if exchange.tenancy.is_pinned() { self.keep_server(exchange, now) } else { self.part(exchange, now) }
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
