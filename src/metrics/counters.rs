//! What one worker counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Histogram, Tally};

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only ever called by the thread that owns it, so no locked instruction is needed.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reasons that a listener that splits can have.
pub const SPLIT_REASONS: usize = 12;

/// What one worker counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// ReadyForQuery messages passed on.
    pub queries: Counter,
    /// Of these, with no transaction left open.
    pub transactions: Counter,
    /// Bytes received from clients.
    pub client_bytes: Counter,
    /// Bytes received from servers.
    pub server_bytes: Counter,
    /// Leases granted.
    pub leases: Counter,
    /// Requests that a server turned away before it began with any of them.
    pub turned_away: Counter,
    /// Uses of named statements that were mapped to a server's.
    pub statement_uses: Counter,
    /// Of these, with a Parse for a server that did not have it.
    pub statement_parses: Counter,
    /// Servers asked what a client has left in its session.
    pub inspections: Counter,
    /// Servers given the state of a client's session.
    pub restores: Counter,
    /// Clients that keep their servers, by what kind of state keeps them.
    pub pins: Tally<1>,
    /// State that was found although no text had shown it, by kind.
    pub found: Tally<1>,
    /// Requests of listeners that split, by the number of why they went where.
    pub splits: [Counter; SPLIT_REASONS],
    /// Requests that a replica did not answer and that went to the leader, by SQLSTATE or cause.
    pub returns: Tally<1>,
    /// Reads that another replica ran again, by how the first was lost.
    pub rereads: Tally<1>,
    /// Reads that had to see something and did not find a replica at once that showed it, by what became of them.
    pub consistent_reads: Tally<1>,
    /// Clients that were told that a write which they were to see is lost, or may be, by what is known of it.
    pub lost_writes: Tally<1>,
    /// Commits whose answer was lost and that were asked about, by what was found out.
    pub commit_fates: Tally<1>,
    /// Questions of clients for a last commit, by whose.
    pub last_commits: Tally<1>,
    /// Positions of the log that were asked for behind what clients have committed, by when they were asked for.
    pub positions: Tally<1>,
    /// Waits for a server of a pool that had none free.
    pub server_waits: Histogram,
    /// Waits for a leader, or for the right to write to it.
    pub leader_waits: Histogram,
    /// Waits for a replica that qualifies.
    pub replica_waits: Histogram,
    /// Clients that were cut off, by cause and SQLSTATE.
    pub cutoffs: Tally<2>,
    /// Work under way that was lost, by cause and SQLSTATE.
    pub aborted: Tally<2>,
    /// Requests refused with an error while their client went on, by SQLSTATE.
    pub rejected: Tally<1>,
}

impl WorkerCounters {
    /// Named statements were used so often, and had to be parsed so often.
    #[inline]
    pub fn used_statements(&self, (uses, parses): (u64, u64)) {
        if uses > 0 {
            self.statement_uses.add(uses);
            self.statement_parses.add(parses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds() {
        let counter = Counter::default();
        counter.add(2);
        counter.add(40);
        assert_eq!(counter.get(), 42);
    }
}
