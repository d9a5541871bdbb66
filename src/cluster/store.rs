//! What a consensus store tells of a cluster, whichever store it is.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use tokio::sync::{mpsc, watch};

use super::ids::{Lsn, MemberName, Timeline};
use crate::{clock::Moment, net::Address};

pub mod consul;
pub mod etcd;
pub mod etcd2;
mod follow;
pub mod keys;
pub mod kubernetes;
mod nothing;
pub mod patroni;
pub mod policy;
mod report;
pub mod stolon;
mod timestamp;
pub mod zookeeper;

/// Everything the store says of one cluster, read at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// When the question was sent; for a watch event, when it arrived.
    pub asked_at: Moment,
    /// The store's revision. Never goes back within one store.
    pub revision: u64,
    /// The cluster's system identifier (`/initialize`); `None` before it is bootstrapped.
    pub system_id: Option<u64>,
    /// Who holds the leader key.
    pub leader: Option<LeaderKey>,
    /// Every member with a readable record.
    pub members: Vec<MemberRecord>,
    /// The part of Patroni's dynamic configuration that matters here.
    pub settings: ClusterSettings,
    /// Synchronous standbys by name (`/sync`).
    pub sync_standbys: Vec<MemberName>,
    /// A planned change of leader, if one stands in `/failover`.
    pub switchover: Option<Switchover>,
    /// Where the timelines before the newest were left, the oldest first (`/history`).
    pub history: Vec<(Timeline, Lsn)>,
}

/// A planned change of leader: Patroni writes it before the leader steps down, and takes it away once it is done or
/// refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switchover {
    /// The revision at which it was written: tells one from the next.
    pub revision: u64,
    /// The leader that is to step down; `None`: whoever leads.
    pub from: Option<MemberName>,
    /// When.
    pub due: Due,
}

/// When a planned change of leader is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// By the wall clock: so long after 1970.
    Scheduled(Duration),
    /// By our clock.
    At(Moment),
}

impl Switchover {
    /// The same with its schedule by our clock, which shows `now` while the wall clock shows `wall`. The wall clock may
    /// jump: each reading of the store asks it anew.
    pub fn dated(self, now: Moment, wall: Duration) -> Self {
        let due = match self.due {
            Due::Scheduled(at) => Due::At(now + at.saturating_sub(wall)),
            known => known,
        };
        Self { due, ..self }
    }

    /// Whether it is due at `now`.
    pub fn is_due(&self, now: Moment) -> bool {
        match self.due {
            Due::Now => true,
            Due::At(at) => at <= now,
            Due::Scheduled(_) => false,
        }
    }
}

/// The leader key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderKey {
    /// The leader's name.
    pub member: MemberName,
    /// Revision at which the key was written: a new one means a new election, even of the same member.
    pub elected_at: u64,
    /// Until when the key cannot pass to another: the send time of the lease query that showed it, plus the time
    /// to live that the answer named. `None` when this reading asked for no lease (a watch event).
    pub right_until: Option<Moment>,
}

/// One member, as Patroni wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its name.
    pub name: MemberName,
    /// Where its PostgreSQL listens (`conn_url`, never `proxy_url`).
    pub address: Address,
    /// `running`, `starting`, `stopped` …
    pub state: String,
    /// `primary`, `replica` … as written: 1 to 4 s late, so never used to find the leader.
    pub role: String,
    /// Its timeline, where it says.
    pub timeline: Option<Timeline>,
    /// Its WAL position, up to a loop_wait old.
    pub xlog_location: Option<Lsn>,
    /// The tag `noloadbalance`: serves no reads.
    pub noloadbalance: bool,
    /// All its tags.
    pub tags: Tags,
    /// Where its Patroni is asked in failsafe mode, and told to switch over.
    pub api_url: Option<String>,
}

impl MemberRecord {
    /// A replica that runs, of which no more is said.
    pub fn replica(name: MemberName, address: Address) -> Self {
        Self {
            name,
            address,
            state: "running".to_owned(),
            role: "replica".to_owned(),
            timeline: None,
            xlog_location: None,
            noloadbalance: false,
            tags: Tags::default(),
            api_url: None,
        }
    }

    /// Whether Patroni never has it lead: its tag `nofailover`, or `failover_priority` 0.
    pub fn is_barred_from_leading(&self) -> bool {
        self.tags.is_set("nofailover") || self.tags.get("failover_priority") == Some("0")
    }
}

/// A member's tags as Patroni's configuration has them: `nofailover`, `nosync`, `replicatefrom` … and those that only
/// its administrator knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// Most tags of a member that are kept.
    pub const MAX: usize = 64;

    /// A tag's value as text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a tag is set, as Patroni reads it: any word for yes, and any number but 0.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => true,
            other => other.parse::<i64>().is_ok_and(|number| number != 0),
        })
    }
}

/// Whether a cluster has a leader of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterKind {
    /// Its leader takes writes.
    #[default]
    Primary,
    /// `standby_cluster`: its leader replicates from another cluster, and takes none until it is promoted.
    Standby(Feed),
}

/// How the leader of a standby cluster gets what it replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// It is sent by a server of the other cluster.
    Streaming,
    /// It is fetched from an archive (`restore_command` without `host` and `port`).
    Archive,
}

impl ClusterKind {
    /// Whether it is a standby cluster.
    pub const fn is_standby(self) -> bool {
        matches!(self, Self::Standby(_))
    }
}

/// What of Patroni's dynamic configuration concerns a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `ttl`: how long a leader key outlives a dead leader.
    pub ttl: Duration,
    /// `loop_wait`.
    pub loop_wait: Duration,
    /// Whether Patroni fails over by itself, or an operator has paused it (`pause`).
    pub failover: Failover,
    /// `failsafe_mode`.
    pub failsafe_mode: bool,
    /// `standby_cluster`.
    pub kind: ClusterKind,
}

/// Whether Patroni acts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// As usual.
    #[default]
    Automatic,
    /// `pause`: the leader key may be absent while the primary runs.
    Paused,
}

/// What a store reports while it is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// A new reading, by watch or by re-read.
    Read(StoreSnapshot),
    /// The store answers, but nothing stands under the scope; says what was found instead.
    Nothing {
        /// What was found, and what to do.
        found: String,
    },
    /// The store did not answer.
    Lost {
        /// Why, for the log.
        reason: String,
    },
}

/// A consensus store, watched until the receiver is dropped.
pub trait Store: Send {
    /// Reports what the store says: at once, at every change, and at least as often as `reread_interval` by a
    /// linearizable re-read that asks for the lease (a silent watch proves nothing). `hurry` changes when the
    /// cluster wants the re-read now.
    fn watch(
        self: Box<Self>,
        events: mpsc::Sender<StoreEvent>,
        hurry: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
