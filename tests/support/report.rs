//! What clients were told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::Moment;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Inserts.
    Write,
    /// Reads on the read route.
    Read,
    /// Has asked once and will ask once more at the end.
    Idle,
}

/// A write that a client was told is committed.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// What it wrote.
    pub id: i64,
    /// The server that wrote it, as it says itself.
    pub server: IpAddr,
    /// The timeline on which it did.
    pub timeline: u32,
    /// When the first byte of it was sent.
    pub sent: Moment,
    /// When the answer came.
    pub at: Moment,
    /// The answer came with a warning that no standby had confirmed it.
    pub unconfirmed: bool,
}

/// Something a client was refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whose.
    pub client: u16,
    /// What that client does.
    pub kind: Kind,
    /// When the error came.
    pub at: Moment,
    /// When what failed had been sent.
    pub sent: Moment,
    /// The write it belongs to; none for a read or a login.
    pub id: Option<i64>,
    /// Five letters, or `closed`, `refused`, `timeout`.
    pub sqlstate: String,
    /// In words.
    pub cause: String,
}

impl Failure {
    /// Whether the client was left in doubt: told so (08007), or told nothing at all.
    pub fn is_unknown(&self) -> bool {
        ["08007", "closed", "timeout"].contains(&self.sqlstate.as_str())
    }
}

/// Everything the clients were told.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order of time.
    pub acknowledged: Vec<Acknowledged>,
    /// In order of time.
    pub failures: Vec<Failure>,
    /// When each read was answered, and whether a replica answered it.
    pub reads: Vec<(Moment, bool)>,
    /// The longest time that a client waited for what it asked: connected, prepared and answered, or refused.
    pub longest_wait: Duration,
    /// Clients that lost their connection, and the last thing each heard before, each time.
    pub partings: BTreeMap<u16, Vec<String>>,
    /// When the clients were told to end.
    pub ended: Option<Moment>,
    /// The number of the first client.
    pub first: u16,
    /// How many clients there were.
    pub clients: u16,
}

impl Report {
    /// What clients of a kind were refused, by SQLSTATE.
    pub fn by_sqlstate(&self, kind: Kind) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for failure in self.failures.iter().filter(|failure| failure.kind == kind) {
            *counts.entry(failure.sqlstate.clone()).or_default() += 1;
        }
        counts
    }

    /// The first write acknowledged at or after a moment.
    pub fn first_write_after(&self, moment: Moment) -> Option<Moment> {
        self.acknowledged.iter().map(|write| write.at).filter(|at| *at >= moment).min()
    }

    /// The first read answered after a moment.
    pub fn first_read_after(&self, moment: Moment) -> Option<Moment> {
        self.reads.iter().map(|read| read.0).filter(|at| *at >= moment).min()
    }

    /// The longest time after `from` without an acknowledged write.
    pub fn longest_write_gap(&self, from: Moment) -> Duration {
        longest_gap(self.acknowledged.iter().map(|write| write.at), from, self.ended)
    }

    /// The longest time after `from` without an answered read.
    pub fn longest_read_gap(&self, from: Moment) -> Duration {
        longest_gap(self.reads.iter().map(|read| read.0), from, self.ended)
    }

    /// The same, between two moments.
    pub fn longest_read_gap_until(&self, from: Moment, until: Moment) -> Duration {
        longest_gap(self.reads.iter().map(|read| read.0), from, Some(until))
    }

    /// Everything that was not as it should be, one line for each kind of thing, with when it was first heard.
    pub fn complaints(&self, since: Moment) -> String {
        let mut kinds: BTreeMap<String, (usize, Duration, Duration)> = BTreeMap::new();
        for failure in &self.failures {
            let first = (0, failure.at.saturating_duration_since(since), failure.at - failure.sent);
            let kind = format!("{:?} {}: {}", failure.kind, failure.sqlstate, failure.cause);
            kinds.entry(kind).or_insert(first).0 += 1;
        }
        let told = kinds.iter().map(|(kind, (count, after, waited))| {
            format!("  {count} x {kind}; the first after {after:?}, having waited {waited:?}\n")
        });
        let parted =
            self.partings.iter().map(|(client, words)| format!("  client {client} parted: {words:?}\n"));
        told.chain(parted).collect()
    }

    /// Clients that never lost their connection.
    pub fn stayed_connected(&self) -> usize {
        usize::from(self.clients) - self.partings.len()
    }
}

fn longest_gap(times: impl Iterator<Item = Moment>, from: Moment, until: Option<Moment>) -> Duration {
    let within = |at: &Moment| *at >= from && until.is_none_or(|until| *at <= until);
    let mut times: Vec<_> = times.filter(within).chain([from]).chain(until).collect();
    times.sort();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Counts.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Acknowledged writes.
    pub writes: usize,
    /// Answered reads.
    pub reads: usize,
    /// Everything refused.
    pub failures: usize,
}
