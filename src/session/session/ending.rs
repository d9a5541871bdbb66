//! How sessions and requests end before their time: refused, cut off, told to stop.

use std::{sync::Arc, task::Poll};

use super::{
    super::{backend::LastWord, cancel::cancel_client},
    Cut, Ended, Exchange, Finish, Flow, Moment, Order, PgError, Phase, Scratch, Session, SqlState,
    TaskContext,
};
use crate::{
    client::registry::Activity,
    server::conn::Recovery,
    wire::{error::Severity, frame::Header, message::encode_ready_for_query},
};

impl Session {
    /// User and database as the client named them, for the log.
    pub fn names(&self) -> (&str, &str) {
        (&self.tenant.account.login, &self.tenant.account.alias)
    }

    /// The process id that it was told, and how many queries it has run, for the log.
    pub fn account_of(&self) -> (u32, u64) {
        (self.entry.key.pid, self.queries)
    }

    /// The client's connection, once the session has ended, with what it has not taken yet.
    pub fn into_stream(mut self) -> (super::Stream, super::Outbox) {
        self.withhold_nothing();
        (self.stream, self.outbox)
    }

    /// A request gets an error instead of a server; the client goes on, unless it could not log in to one.
    pub(super) fn reject(&mut self, error: &PgError, now: Moment) -> Flow {
        if error.severity == Severity::Fatal {
            return self.end("login_refused", error.clone());
        }
        let mut message = Vec::new();
        error.encode(&mut message);
        self.outbox.push(&message);
        self.context.worker.counters.rejected.count([error.code.as_str()]);
        self.entry.enter(Activity::Idle, now);
        self.resume = true;
        self.phase = Phase::Rejecting(false);
        Flow::Again
    }

    /// Drops the rest of a refused request, as PostgreSQL does: to its end, or to Sync.
    pub(super) fn rejecting(
        &mut self,
        mut sequence: bool,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if std::mem::take(&mut self.resume) && !self.inbox.is_empty() {
            let dropped = self.frontend.reject(&self.inbox, &mut sequence);
            let (taken, done) = match dropped {
                Ok(dropped) => dropped,
                Err(error) => return self.end("client_fault", error),
            };
            self.inbox.drain(..taken);
            if done {
                let mut ready = Vec::new();
                encode_ready_for_query(&mut ready, b'I');
                self.outbox.push(&ready);
                self.entry.enter(Activity::Idle, now);
                self.resume = !self.inbox.is_empty();
                return Flow::Again;
            }
            if matches!(Header::read(&self.inbox), Ok(Some(Header { tag: b'X', .. }))) {
                return Flow::End(Ended::ByClient);
            }
        }
        if let Poll::Ready(Err(_)) = self.poll_tell(cx) {
            return Flow::End(Ended::ByClient);
        }
        self.phase = Phase::Rejecting(sequence);
        match self.stream.poll_receive(cx, &mut scratch.input) {
            Poll::Pending => Flow::Wait,
            Poll::Ready(Ok(0) | Err(_)) => Flow::End(Ended::ByClient),
            Poll::Ready(Ok(bytes)) => {
                self.inbox.extend_from_slice(&scratch.input[..bytes]);
                self.resume = true;
                Flow::Again
            }
        }
    }

    /// A lease ends early.
    pub(super) fn cut(&mut self, mut exchange: Box<Exchange>, cut: Cut, now: Moment) -> Flow {
        if self.lost_replica(&mut exchange, &cut) {
            return self.leave_replica(exchange, now);
        }
        if self.is_read_again_after(&mut exchange, &cut, now) {
            return self.take_back(exchange, now);
        }
        let left = Left::of(&mut exchange);
        let cause = cut.cause();
        let unfinished = !exchange.pipeline.may_release();
        // What the client has not taken yet goes out in front of the last word.
        let garbled = exchange.backend.is_inside_message();
        let said = exchange.backend.last_word() == LastWord::Said;
        let member =
            exchange.lease.as_ref().map(|lease| lease.pool().member().to_string()).unwrap_or_default();
        let how = self.leaves(&exchange, &cut);
        let open = if said { None } else { self.open_commit(&mut exchange, &cut, left) };
        let untold = exchange.tenancy.farewell.take();
        if let (Cut::ServerGone(why), Some(lease)) = (&cut, &exchange.lease) {
            lease.pool().suspect(&format!("a connection in use broke: {why}"));
        }
        self.give_back(exchange, how, now);
        let counters = &self.context.worker.counters;
        if open.is_none()
            && let Some(words) = untold
        {
            counters.cutoffs.count([cause, "relayed"]);
            counters.aborted.count([cause, "relayed"]);
            return Flow::End(Ended::WithWords(words));
        }
        let error = match cut {
            // It is the last of what the client has, or still has to take.
            Cut::ServerGone(_) if said => {
                counters.cutoffs.count([cause, "relayed"]);
                if unfinished {
                    counters.aborted.count([cause, "relayed"]);
                }
                return Flow::End(Ended::WithWords(Box::default()));
            }
            Cut::ClientGone => {
                if unfinished {
                    counters.aborted.count([cause, "none"]);
                }
                return Flow::End(Ended::ByClient);
            }
            Cut::ClientFault(error) | Cut::Ordered(_, error) => error,
            Cut::ServerGone(why) => {
                lost(left, SqlState::CONNECTION_FAILURE, &format!("the connection to {member} broke: {why}"))
            }
            Cut::Revoked(revoked) => lost(left, SqlState::ADMIN_SHUTDOWN, &revoked.reason),
            Cut::NoRight => lost(
                left,
                SqlState::ADMIN_SHUTDOWN,
                &format!("the right to write to {member} expired and was not renewed in time"),
            ),
        };
        if let Some(open) = open {
            return self.inquire(open, error, cause, now);
        }
        counters.cutoffs.count([cause, error.code.as_str()]);
        if unfinished {
            counters.aborted.count([cause, error.code.as_str()]);
        }
        tracing::info!(
            user = %self.tenant.account.user, database = %self.tenant.account.database, member,
            sqlstate = error.code.as_str(), "cut off: {}", error.detail.as_deref().unwrap_or_default()
        );
        if garbled {
            return Flow::End(Ended::Garbled("it was in the middle of a message"));
        }
        Flow::End(Ended::WithError(error))
    }

    /// In what state a cut leaves the server.
    fn leaves(&self, exchange: &Exchange, cut: &Cut) -> Finish {
        match cut {
            Cut::Revoked(_) | Cut::NoRight | Cut::ServerGone(_) => Finish::Broken,
            Cut::ClientGone | Cut::ClientFault(_) | Cut::Ordered(..) => {
                let settled = exchange.pipeline.may_release();
                let midway = self.frontend.is_inside_message()
                    || !exchange.to_server.is_empty()
                    || exchange.backend.is_inside_message()
                    || !exchange.server_in.is_empty();
                match (exchange.pipeline.is_empty(), midway) {
                    (true, false) if settled => Finish::Settled,
                    (true, false) if exchange.pipeline.is_between_messages() => Finish::InTransaction,
                    (true, _) => Finish::Broken,
                    (false, _) => Finish::Running,
                }
            }
        }
    }

    /// Does as it is told from outside.
    pub(super) fn obey(
        &mut self,
        order: Order,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        let idle = (matches!(self.phase, Phase::Idle) && self.inbox.is_empty()) || self.is_resting();
        let error = match order {
            Order::None => return self.step(&mut Some(now), scratch, cx),
            Order::StopWaiting if matches!(self.phase, Phase::Line(_) | Phase::Waiting(_)) => {
                self.entry.followed(order);
                return self.cancelled(now);
            }
            Order::StopWaiting if self.holds_back() => {
                self.entry.followed(order);
                return self.cancel_held_back(now, cx);
            }
            Order::StopWaiting if matches!(self.phase, Phase::Idle) && !self.inbox.is_empty() => {
                self.entry.followed(order);
                return self.cancelled(now);
            }
            Order::StopWaiting => {
                self.entry.followed(order);
                self.cancel_what_runs();
                return Flow::Again;
            }
            Order::Drain if !idle => return self.step(&mut Some(now), scratch, cx),
            Order::IdleTimeout if idle => PgError::fatal(
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to client_idle_timeout",
            ),
            Order::IdleSessionTimeout if idle => PgError::fatal(
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            Order::PinTimeout if self.is_resting() => {
                PgError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection due to pin_timeout")
                    .detail("The session's state kept its server, and the client was silent for too long.")
            }
            Order::IdleTimeout | Order::IdleSessionTimeout | Order::PinTimeout => {
                self.entry.followed(order);
                return Flow::Again;
            }
            Order::Drain | Order::Terminate => PgError::fatal(
                SqlState::ADMIN_SHUTDOWN,
                "terminating connection due to administrator command",
            )
            .detail("pgsteer is shutting down."),
            Order::IdleInTransactionTimeout => PgError::fatal(
                SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
                "terminating connection due to idle_transaction_timeout",
            ),
            Order::TransactionTimeout => PgError::fatal(
                SqlState::TRANSACTION_TIMEOUT,
                "terminating connection due to transaction_timeout",
            ),
            Order::QueryTimeout => {
                PgError::fatal(SqlState::QUERY_CANCELED, "terminating connection due to query_timeout")
            }
        };
        self.end_by(order, error, now)
    }

    /// The session is told to end.
    fn end_by(&mut self, order: Order, error: PgError, now: Moment) -> Flow {
        match std::mem::take(&mut self.phase) {
            Phase::Inquiring(inquiring) => self.forsake_inquiry(*inquiring, word(order)),
            Phase::Relaying(mut exchange) => {
                let error = match Left::of(&mut exchange) {
                    Left::Nothing | Left::AtRest => error,
                    left => lost(left, error.code, &error.message),
                };
                self.cut(exchange, Cut::Ordered(order, error), now)
            }
            Phase::Settling(mut settling) => {
                // What was held back goes out in front of the last word.
                self.tell_unplaced(&mut settling.exchange);
                self.end(word(order), error)
            }
            _ => self.end(word(order), error),
        }
    }

    fn cancelled(&mut self, now: Moment) -> Flow {
        self.reject(&cancelled(), now)
    }

    /// A cancel request came while the client waited, and then it got its server.
    fn cancel_what_runs(&self) {
        if matches!(&self.phase, Phase::Relaying(exchange) if !exchange.pipeline.is_empty()) {
            let (entry, dial) = (Arc::clone(&self.entry), self.context.pools.dial());
            tokio::spawn(async move { cancel_client(&entry, &*dial).await });
        }
    }

    /// Ends the session of a client that has no server.
    pub(super) fn end(&self, cause: &str, error: PgError) -> Flow {
        self.context.worker.counters.cutoffs.count([cause, error.code.as_str()]);
        Flow::End(Ended::WithError(error))
    }

    /// Whether a server is held with nothing open on it: session pooling.
    fn is_resting(&self) -> bool {
        matches!(&self.phase, Phase::Relaying(exchange) if exchange.is_at_rest() && self.inbox.is_empty())
    }
}

impl Cut {
    /// What it is counted under.
    const fn cause(&self) -> &'static str {
        match self {
            Self::Revoked(_) => "deposed",
            Self::NoRight => "no_right",
            Self::ServerGone(_) => "server_gone",
            Self::ClientGone => "client_gone",
            Self::ClientFault(_) => "client_fault",
            Self::Ordered(order, _) => word(*order),
        }
    }
}

/// What the end by an order is counted under.
const fn word(order: Order) -> &'static str {
    match order {
        Order::None => "none",
        Order::StopWaiting => "cancelled",
        Order::Drain | Order::Terminate => "shutdown",
        Order::IdleTimeout => "client_idle_timeout",
        Order::IdleSessionTimeout => "idle_session_timeout",
        Order::IdleInTransactionTimeout => "idle_transaction_timeout",
        Order::TransactionTimeout => "transaction_timeout",
        Order::QueryTimeout => "query_timeout",
        Order::PinTimeout => "pin_timeout",
    }
}

/// What a client hears instead of an answer when its request was cancelled.
pub(super) fn cancelled() -> PgError {
    PgError::error(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// What a cut-off may leave behind on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: what was not committed is rolled back.
    Nothing,
    /// Nothing, nor was anything to be committed: everything that was sent is answered, and no transaction was open.
    AtRest,
    /// What a server in recovery can do, or one that was promoted a moment ago.
    OnReplica,
    /// Work that was committed, or not.
    Work,
}

impl Left {
    fn of(exchange: &mut Exchange) -> Self {
        let pipeline = &exchange.pipeline;
        if !pipeline.may_have_committed() {
            let at_rest = pipeline.may_release() && exchange.fenced_since.is_none();
            return if at_rest { Self::AtRest } else { Self::Nothing };
        }
        let Some(lease) = &mut exchange.lease else { return Self::Work };
        let replica = lease.term() == 0;
        let standby = lease.server().is_some_and(|server| server.conn.recovery == Recovery::Standby);
        match (replica, standby) {
            (true, true) if !pipeline.may_have_committed_on_standby() => Self::Nothing,
            (true, _) => Self::OnReplica,
            (false, _) => Self::Work,
        }
    }
}

/// The error for work that was cut off: 08007 where it may have been committed, `otherwise` where it cannot have.
pub(super) fn lost(left: Left, otherwise: SqlState, why: &str) -> PgError {
    let (code, message, hint) = match left {
        Left::Work => (
            SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
            "the connection was lost while a statement was running; it may have been committed, or not",
            "Reconnect and find out before repeating it.",
        ),
        // A replica commits nothing; but one that is promoted says so only after the first statement that it runs as a
        // leader, and a promotion may be what has cost the connection.
        Left::OnReplica => (
            SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
            "the connection to a replica was lost while a statement was running",
            "What only reads can be repeated. A statement that writes may have been committed only if the replica was promoted at that moment.",
        ),
        Left::Nothing => (
            otherwise,
            "the connection was lost; the transaction was not committed",
            "Reconnect and repeat the transaction.",
        ),
        Left::AtRest => (
            otherwise,
            "the connection was lost while no transaction was open",
            "Reconnect. What was answered before is as it was answered.",
        ),
    };
    PgError::fatal(code, message).detail(why.to_owned()).hint(hint)
}
