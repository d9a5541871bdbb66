//! One node: its server, its write-ahead log, its Patroni, and what ails it.

use std::{collections::BTreeMap, sync::Arc};

use pgsteer::{cluster::ids::MemberName, net::Address};

use crate::{
    extras::Asked,
    ledger::Row,
    shape::Replication,
    transactions::Xids,
    world::{Event, Ms, World},
};

/// What a node's server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pg {
    Down,
    Starting,
    Standby,
    Promoting,
    Primary,
    /// What answers at the node's address is another server, which takes writes: this node's own is down.
    Masked,
}

/// What may ail a node; several may at once, and each more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ailment {
    /// The host is off. Nobody answers for it, not even with a reset.
    Off,
    /// Server and Patroni stand still; the kernel still accepts connections.
    Frozen,
    /// Only Patroni stands still.
    PatroniFrozen,
    /// Patroni cannot reach the store.
    NoStore,
    /// The program and this node cannot reach each other.
    NoLink,
    /// Probes are answered late.
    SlowProbe,
    /// Probes are answered with an error.
    FailProbe,
    /// Replay stands still.
    Lag,
    /// Nothing is received from upstream.
    NoReplication,
    /// A server of another cluster is at its address.
    Foreign,
    /// A copy that was restored somewhere is at its address: of this cluster by its identifier, on a higher timeline.
    Restored,
}

/// A stretch of the write-ahead log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Never used twice.
    pub(crate) serial: u64,
    pub(crate) at: Ms,
    pub(crate) end: u64,
    pub(crate) rows: Arc<[Row]>,
    /// The transaction it tells of.
    pub(crate) xid: Option<u64>,
    /// Whether that is committed by it.
    pub(crate) commits: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: MemberName,
    pub(crate) address: Address,
    pub(crate) pg: Pg,
    /// Counts the server's lives: what was begun in an earlier one is void.
    pub(crate) life: u32,
    pub(crate) timeline: u32,
    pub(crate) log: Vec<Record>,
    pub(crate) replayed: usize,
    /// What of its log a crash leaves.
    pub(crate) flushed: usize,
    pub(crate) xids: Xids,
    /// Where it had replayed to when it was promoted, as long as it runs.
    pub(crate) promoted_at: Option<u64>,
    /// Started again after a crash, it goes on as the leader.
    pub(crate) resumes: bool,
    /// Whom it streams from.
    pub(crate) upstream: Option<usize>,
    /// The standby that its commits wait for.
    pub(crate) sync_with: Option<usize>,
    /// When its Patroni last renewed the lease.
    pub(crate) renewed_at: Ms,
    pub(crate) primary_since: Option<Ms>,
    /// When it was last seen to lead.
    pub(crate) led_at: Option<Ms>,
    /// Since when it has lagged beyond the bounds.
    pub(crate) beyond_since: Option<Ms>,
    ails: BTreeMap<Ailment, u32>,
    /// When it last stopped ailing in a way that concerns probes.
    pub(crate) probed_well_since: Ms,
}

impl Node {
    pub(crate) fn new(place: usize, authority: Asked) -> Self {
        let address = Address::tcp(&format!("n{place}"), 5432);
        let name = match authority {
            Asked::Store => format!("n{place}"),
            // Hosts have no other name.
            Asked::Hosts => address.to_string(),
        };
        Self {
            name: name.as_str().into(),
            address,
            pg: Pg::Standby,
            life: 0,
            timeline: 1,
            log: Vec::new(),
            replayed: 0,
            flushed: 0,
            xids: Xids::default(),
            promoted_at: None,
            resumes: false,
            upstream: None,
            sync_with: None,
            renewed_at: 0,
            primary_since: None,
            led_at: None,
            beyond_since: None,
            ails: BTreeMap::new(),
            probed_well_since: 0,
        }
    }

    pub(crate) fn has(&self, ailment: Ailment) -> bool {
        self.ails.contains_key(&ailment)
    }

    pub(crate) fn ails(&mut self, ailment: Ailment) {
        *self.ails.entry(ailment).or_default() += 1;
    }

    /// One cause of it is gone; whether the last.
    pub(crate) fn is_cured(&mut self, ailment: Ailment) -> bool {
        if let Some(count) = self.ails.get_mut(&ailment) {
            *count -= 1;
            if *count > 0 {
                return false;
            }
        }
        self.ails.remove(&ailment).is_some()
    }

    /// Whether the server does anything.
    pub(crate) fn runs(&self) -> bool {
        !self.has(Ailment::Frozen) && !self.has(Ailment::Off)
    }

    pub(crate) fn patroni_runs(&self) -> bool {
        use Ailment::{Foreign, PatroniFrozen, Restored};
        self.runs() && ![PatroniFrozen, Foreign, Restored].iter().any(|ailment| self.has(*ailment))
    }

    /// Whether a question of the program's is answered as usual.
    pub(crate) fn is_askable(&self) -> bool {
        use Ailment::{FailProbe, Foreign, Frozen, NoLink, Off, Restored, SlowProbe};
        ![Off, Frozen, NoLink, SlowProbe, FailProbe, Foreign, Restored]
            .iter()
            .any(|ailment| self.has(*ailment))
    }

    pub(crate) fn end_of(&self, length: usize) -> u64 {
        length.checked_sub(1).and_then(|last| self.log.get(last)).map_or(0x300_0000, |record| record.end)
    }

    pub(crate) fn received_to(&self) -> u64 {
        self.end_of(self.log.len())
    }

    pub(crate) fn replayed_to(&self) -> u64 {
        self.end_of(self.replayed)
    }
}

impl World {
    /// The server that takes writes by right.
    pub(crate) fn leader(&self) -> Option<usize> {
        let key = self.store.leader.as_ref()?;
        (self.nodes[key.node].pg == Pg::Primary).then_some(key.node)
    }

    /// A primary writes a record.
    pub(crate) fn append(&mut self, node: usize, rows: Arc<[Row]>, bytes: u64) -> usize {
        self.append_of(node, rows, bytes, None)
    }

    /// A primary writes a record of a transaction. What commits is flushed at once, everything else a while later.
    pub(crate) fn append_of(&mut self, node: usize, rows: Arc<[Row]>, bytes: u64, xid: Option<u64>) -> usize {
        self.store.serial += 1;
        let (serial, at) = (self.store.serial, self.now());
        let primary = &mut self.nodes[node];
        let end = primary.received_to() + bytes;
        let commits = !rows.is_empty();
        primary.log.push(Record { serial, at, end, rows, xid, commits });
        primary.replayed = primary.log.len();
        let (length, life) = (primary.log.len(), primary.life);
        if self.shape.extras.is_any() && !commits {
            let delay = self.rng.within(10, 200);
            self.after(delay, Event::Flush { node, life });
        } else {
            self.flushed(node);
        }
        length
    }

    /// What a primary has written is safe from a crash, and its standbys receive it.
    pub(crate) fn flushed(&mut self, node: usize) {
        self.nodes[node].flushed = self.nodes[node].log.len();
        for standby in 0..self.nodes.len() {
            if self.nodes[standby].upstream == Some(node) {
                let delay = self.rng.within(1, 3);
                self.after(delay, Event::Stream(standby));
            }
        }
    }

    /// Somebody commits who does not come by us, and does not wait for that to be flushed.
    pub(crate) fn others_commit(&mut self, node: usize, bytes: u64) {
        let primary = &mut self.nodes[node];
        let number = primary.xids.assign();
        primary.xids.end(number);
        self.append_of(node, Arc::default(), bytes, Some(number));
        if let Some(record) = self.nodes[node].log.last_mut() {
            record.commits = true;
        }
    }

    /// Vacuum, checkpoints, other people's writes.
    pub(crate) fn noise(&mut self) {
        let (pause, bytes) = (self.rng.within(60, 140), self.rng.within(2000, 30_000));
        self.after(pause, Event::Noise);
        for node in 0..self.nodes.len() {
            if self.nodes[node].pg == Pg::Primary && self.nodes[node].runs() {
                self.others_commit(node, bytes);
            }
        }
        self.measure_lag();
    }

    /// Whether a standby receives from its upstream.
    pub(crate) fn streams_from(&self, standby: usize) -> Option<usize> {
        let node = &self.nodes[standby];
        let upstream = node.upstream?;
        let source = &self.nodes[upstream];
        let both = node.pg == Pg::Standby && source.pg == Pg::Primary && node.timeline == source.timeline;
        let linked = !node.has(Ailment::NoReplication) && !source.has(Ailment::Off);
        (both && linked).then_some(upstream)
    }

    pub(crate) fn stream(&mut self, standby: usize) {
        let Some(source) = self.streams_from(standby) else { return };
        if !self.nodes[standby].runs() || !self.nodes[source].runs() {
            return;
        }
        let have = self.nodes[standby].log.len();
        let more: Vec<Record> =
            self.nodes[source].log[..self.nodes[source].flushed].get(have..).unwrap_or_default().to_vec();
        let node = &mut self.nodes[standby];
        node.log.extend(more);
        node.flushed = node.log.len();
        self.replay(standby);
        self.release_commits(source);
        self.measure_lag();
    }

    /// Whether a commit up to this length of the log may be acknowledged.
    pub(crate) fn is_safe(&self, node: usize, length: usize) -> bool {
        if self.shape.replication == Replication::Asynchronous {
            return true;
        }
        match self.nodes[node].sync_with {
            None => true,
            Some(standby) => {
                self.nodes[standby].upstream == Some(node) && self.nodes[standby].log.len() >= length
            }
        }
    }

    /// Since when each replica has lagged beyond the bounds, as nobody but us can know it.
    pub(crate) fn measure_lag(&mut self) {
        let now = self.now();
        let leader = self.leader();
        let (bytes_max, time_max) = self.shape.lag_max();
        for node in 0..self.nodes.len() {
            let beyond = leader.filter(|leader| *leader != node).is_some_and(|leader| {
                let replayed = self.nodes[node].replayed;
                let behind = self.nodes[leader].received_to().saturating_sub(self.nodes[node].replayed_to());
                // Time is counted in positions of this leader: those of the one before were not its own.
                let began = self.nodes[leader].primary_since.unwrap_or(now);
                let oldest = self.nodes[leader].log.get(replayed).map_or(now, |record| record.at.max(began));
                behind > bytes_max || now - oldest > time_max
            });
            let node = &mut self.nodes[node];
            node.beyond_since = beyond.then(|| node.beyond_since.unwrap_or(now));
        }
    }
}
