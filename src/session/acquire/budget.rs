//! How long a request may wait.

use std::time::Duration;

use super::{Patience, PoolSettings, WorkerCounters};

/// How long a request may still wait, and for what; `None` means for ever.
pub(super) struct Budget {
    pub(super) line: Option<Duration>,
    leader: Option<Duration>,
    replica: Option<Duration>,
    /// For a replica that shows what it must.
    pub(super) catch_up: CatchUp,
    /// What was waited for a leader and for a replica so far.
    waited: [Duration; 2],
}

/// How long a read may still wait for a replica that shows what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CatchUp {
    /// So long.
    Left(Duration),
    /// No more: it goes elsewhere.
    Over,
}

impl Budget {
    pub(super) fn of(settings: &PoolSettings, waited: Duration) -> Self {
        Self {
            line: settings.query_wait_timeout.map(|limit| limit.saturating_sub(waited)),
            leader: settings.leader_wait_timeout,
            replica: settings.replica_wait_timeout,
            catch_up: CatchUp::Left(settings.consistency.wait),
            waited: [Duration::ZERO; 2],
        }
    }

    pub(super) const fn without_way(&self, what: Patience) -> Option<Duration> {
        match what {
            Patience::ForLeader | Patience::ForRegrouping => self.leader,
            Patience::ForReplica => self.replica,
            Patience::ToCatchUp | Patience::None => Some(Duration::ZERO),
        }
    }

    pub(super) fn spend_without_way(&mut self, what: Patience, spent: Duration) {
        let (left, waited) = match what {
            Patience::ForLeader => (&mut self.leader, &mut self.waited[0]),
            Patience::ForReplica => (&mut self.replica, &mut self.waited[1]),
            Patience::ForRegrouping => (&mut self.leader, &mut self.waited[1]),
            Patience::ToCatchUp | Patience::None => return,
        };
        *left = left.map(|left| left.saturating_sub(spent));
        *waited += spent;
    }

    /// So much was waited for a replica to catch up.
    pub(super) fn spend_on_catching_up(&mut self, spent: Duration) {
        self.catch_up = match self.catch_up {
            CatchUp::Left(left) if left > spent => CatchUp::Left(left.saturating_sub(spent)),
            CatchUp::Left(_) | CatchUp::Over => CatchUp::Over,
        };
    }

    /// Counts what was waited for, once for each request.
    pub(super) fn count(&self, counters: &WorkerCounters) {
        for (waited, waits) in self.waited.iter().zip([&counters.leader_waits, &counters.replica_waits]) {
            if !waited.is_zero() {
                waits.record(*waited);
            }
        }
    }
}
