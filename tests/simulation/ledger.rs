//! What clients were told of their writes, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{promises::Promises, world::Ms};

/// A numbered insert: the client and its count.
pub(crate) type Row = (u32, u32);

/// What a client was told of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is committed.
    Committed,
    /// It is not committed.
    NotCommitted,
    /// Nobody knows.
    Unknown,
}

/// Where a client's statement arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) conn: usize,
    /// The timeline of the term that was in force for the program.
    pub(crate) timeline: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) violations: Vec<String>,
    pub(crate) told: BTreeMap<Row, Told>,
    /// Statements of any kind that reached a server.
    pub(crate) sent: BTreeSet<Row>,
    /// Inserts that a server began with.
    pub(crate) inserted: BTreeSet<Row>,
    /// Statements of any kind that one did.
    pub(crate) begun: BTreeSet<Row>,
    /// Where each client's last statement arrived.
    pub(crate) at_server: BTreeMap<u32, Arrival>,
    /// Statements that a client wants cancelled.
    pub(crate) unwanted: BTreeSet<Row>,
    /// Statements that a server has answered, whether anybody heard it or not.
    pub(crate) answered: BTreeSet<Row>,
    /// What clients must be shown.
    pub(crate) promises: Promises,
    /// When each client was last served.
    pub(crate) served: BTreeMap<u32, Ms>,
    /// The newest term of the program's that was looked at.
    pub(crate) epoch: u64,
    pub(crate) count: Count,
}

/// How much was tried, so that a simulation in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) committed: u64,
    pub(crate) reads: u64,
    pub(crate) unknown: u64,
    pub(crate) cut: u64,
    pub(crate) refused: u64,
    pub(crate) cancelled: u64,
    /// Answered with an error for which nobody has asked.
    pub(crate) failed: u64,
    pub(crate) terms: u64,
    pub(crate) renamed: u64,
    /// Reads that standbys have answered for clients whose statements are split.
    pub(crate) split: u64,
    /// Reads by clients that were promised to see what they had written.
    pub(crate) promised: u64,
    /// Times that somebody was told that a write was lost.
    pub(crate) lost: u64,
    /// Commits of which clients were told what became of them though no server had answered.
    pub(crate) fates: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, more: Self) {
        self.committed += more.committed;
        self.reads += more.reads;
        self.unknown += more.unknown;
        self.cut += more.cut;
        self.refused += more.refused;
        self.cancelled += more.cancelled;
        self.failed += more.failed;
        self.terms += more.terms;
        self.renamed += more.renamed;
        self.split += more.split;
        self.promised += more.promised;
        self.lost += more.lost;
        self.fates += more.fates;
    }
}
