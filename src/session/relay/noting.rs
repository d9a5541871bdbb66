//! What a server's answers have completed is taken note of.

use super::{
    Activity, Cut, Exchange, Moment, PgError, PoolMode, Progress, Session, SqlState, TransactionStatus,
};

impl Session {
    pub(super) fn note(&mut self, progress: Progress, x: &Exchange, now: Moment) -> Result<(), Cut> {
        if x.tenancy.fate.is_refused() {
            self.is_refused_xids();
        }
        if progress.settings_changed {
            self.settings_changed();
        }
        if progress.queries == 0 {
            return Ok(());
        }
        let counters = &self.context.worker.counters;
        counters.queries.add(u64::from(progress.queries));
        counters.transactions.add(u64::from(progress.transactions));
        self.queries += u64::from(progress.queries);
        let running = !x.pipeline.is_empty();
        if x.pipeline.status() == TransactionStatus::Idle {
            // Otherwise giving the server back says so, in a moment.
            if running || x.keeps_server(self.mode) {
                // The next of several that were sent at once begins now, with all the time it may take.
                self.entry.enter(x.activity(x.resting()), now);
                self.entry.in_transaction(running.then_some(now));
            }
            return Ok(());
        }
        self.entry.enter(x.activity(Activity::IdleInTransaction), now);
        if self.mode == PoolMode::Statement {
            return Err(Cut::ClientFault(PgError::fatal(
                SqlState::FEATURE_NOT_SUPPORTED,
                "transaction blocks are not allowed with pool_mode = \"statement\"",
            )));
        }
        Ok(())
    }
}
