//! What a server's answers have completed is taken note of.

use super::{
    Activity, Cut, Exchange, Moment, PgError, PoolMode, Progress, Session, SqlState, TransactionStatus,
};
use crate::{session::backend::Changed, wire::parameters::Own};

impl Session {
    /// What the client is told of these answers: with statement pooling not that a block is open. The error that it gets instead
    /// then belongs to what has opened it; behind ReadyForQuery it would be nobody's, and few drivers show such a one.
    #[inline]
    pub(super) fn without_block<'a>(&self, answers: &'a [u8], x: &Exchange) -> &'a [u8] {
        if self.mode != PoolMode::Statement || x.pipeline.status() == TransactionStatus::Idle {
            return answers;
        }
        let ready = [&b"Z\0\0\0\x05T"[..], b"Z\0\0\0\x05E"];
        ready.iter().find_map(|ready| answers.strip_suffix(*ready)).unwrap_or(answers)
    }

    /// What others are to know of it before the client does.
    #[inline]
    pub(super) fn follow(&self, progress: Progress, x: &mut Exchange, now: Moment) {
        self.follow_heard(x, now);
        if progress.settings != Changed::Nothing {
            unsettle(x, now);
        }
    }

    pub(super) fn note(&mut self, progress: Progress, x: &Exchange, now: Moment) -> Result<(), Cut> {
        if x.tenancy.fate.is_refused() {
            self.is_refused_xids();
        }
        if progress.settings == Changed::OfServer {
            self.settings_changed();
            // To what, and by whom, is not looked into: from here on it has what it was told last.
            self.own = Own::ALL;
        }
        if progress.queries == 0 {
            return Ok(());
        }
        if x.tenancy.has_chosen() {
            // What it had already, perhaps.
            self.own = Own::ALL;
        }
        let counters = &self.context.worker.counters;
        counters.queries.add(u64::from(progress.queries));
        counters.transactions.add(u64::from(progress.transactions));
        self.queries += u64::from(progress.queries);
        if x.pipeline.status() == TransactionStatus::Idle {
            // Otherwise giving the server back says so, in a moment.
            if !x.pipeline.is_empty() || x.keeps_server(self.mode) {
                let running = x.runs();
                // The next of several that were sent at once begins now, with all the time it may take.
                self.entry.enter(x.activity(x.resting()), now);
                self.entry.in_transaction(running.then_some(now));
            }
            return Ok(());
        }
        self.entry.enter(x.activity(Activity::IdleInTransaction), now);
        if self.mode == PoolMode::Statement {
            return Err(Cut::ClientFault(
                PgError::fatal(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "transaction blocks are not allowed with pool_mode = \"statement\"",
                )
                .detail("The block was not committed.")
                .hint("Use pool_mode = \"transaction\" for this user, database or listener."),
            ));
        }
        Ok(())
    }
}

/// A statement that has ended may have changed what new sessions find.
#[cold]
fn unsettle(x: &mut Exchange, now: Moment) {
    let Some(lease) = x.lease.as_mut().filter(|_| x.pipeline.may_release()) else { return };
    let unsettled = lease.server().and_then(|server| server.conn.unsettled.take());
    if let Some(unsettled) = unsettled {
        lease.pool().unsettle(&unsettled, now);
    }
}
