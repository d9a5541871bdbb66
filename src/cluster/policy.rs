//! How a cluster is watched: small values made from the configuration by whoever starts the watcher.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{headway::Headway, rest::PatroniRest};
use crate::{net::Address, server::ServerLogin};

/// How a cluster is watched.
#[derive(Clone, Debug)]
pub struct ClusterPolicy {
    /// The cluster's name, for the log.
    pub name: Arc<str>,
    /// Who says which member leads.
    pub authority: Authority,
    /// How members are asked.
    pub probe: ProbePolicy,
    /// When a replica may serve reads.
    pub reads: ReadPolicy,
    /// How often the names of members are resolved, to see whether they lead elsewhere (`dns_max_ttl`); `None`: never.
    pub names_interval: Option<Duration>,
    /// How Patroni's REST API is reached; `None` where there is no Patroni.
    pub rest: Option<Arc<PatroniRest>>,
    /// How long new writes wait for a leader that is about to step down (`switchover_hold_max`); zero: not at all.
    pub switchover_hold_max: Duration,
    /// Where it is written how far replicas have come.
    pub headway: Arc<Headway>,
}

impl ClusterPolicy {
    /// The part the observer's rules depend on.
    pub fn observer(&self) -> ObserverPolicy {
        ObserverPolicy {
            authority: self.authority.clone(),
            probe_interval: self.probe.interval,
            probe_timeout: self.probe.timeout,
            reads: self.reads.clone(),
            switchover_hold_max: self.switchover_hold_max,
        }
    }
}

/// How members are asked.
#[derive(Clone, Debug)]
pub struct ProbePolicy {
    /// How often (`probe_interval`).
    pub interval: Duration,
    /// How long an answer may take, the connection included (`probe_timeout`).
    pub timeout: Duration,
    /// As whom; needs `pg_monitor`. A reload may change how servers are reached.
    pub login: Arc<ArcSwap<ServerLogin>>,
}

/// What the observer's rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverPolicy {
    /// Who says which member leads.
    pub authority: Authority,
    /// How often each member is asked (`probe_interval`).
    pub probe_interval: Duration,
    /// How long an answer may take (`probe_timeout`).
    pub probe_timeout: Duration,
    /// When a replica may serve reads.
    pub reads: ReadPolicy,
    /// How long new writes wait for a leader that is about to step down (`switchover_hold_max`).
    pub switchover_hold_max: Duration,
}

impl ObserverPolicy {
    /// How long after it was asked a probe's answer still counts: at a steady pace the next outcome is there an
    /// interval plus a timeout after the previous question; half an interval more for a busy machine.
    pub fn fresh_for(&self) -> Duration {
        self.probe_interval + self.probe_timeout + self.probe_interval / 2
    }
}

impl ObserverPolicy {
    /// How long a member may be out of reach before what is read there is given up: two questions in vain at the least.
    pub fn lost_after(&self) -> Duration {
        self.probe_interval + self.probe_timeout
    }
}

/// Who says which member leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A consensus store, whose leader key carries a lease.
    Store,
    /// Patroni's word for it, without a lease (`store = "patroni"`): it names leader and members, and the right to
    /// write follows from what these answer.
    Patroni,
    /// Nobody: the servers themselves are asked, a majority must answer (`store = "none"`). There is no fencing:
    /// a leader that this process cannot reach may still take writes from others.
    Hosts(Vec<Address>),
}

/// When a replica may serve reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPolicy {
    /// How far it may be behind. The first bound is for whoever names none of their own; at most
    /// [`Within::BOUNDS_MAX`](super::topology::Within::BOUNDS_MAX).
    pub bounds: Vec<LagBound>,
    /// How long, while no leader exists, replicas that qualified last go on (`no_leader_grace`).
    pub no_leader_grace: Duration,
    /// How long it takes until a replica that joins others has its full share of reads (`slow_start`).
    pub slow_start: Duration,
}

/// How far a replica may be behind the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagBound {
    /// In bytes (`lag_bytes_max`).
    pub bytes: u64,
    /// In time (`lag_time_max`).
    pub time: Duration,
}
