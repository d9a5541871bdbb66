//! The routing table: where writes and reads go now. Derived whole from each topology, never patched.

use std::collections::BTreeMap;

use crate::{
    cluster::{
        ids::{MemberName, Term},
        topology::{Member, Standing, StoreStatus, Topology, WriteState},
    },
    net::Address,
};

/// What a read does when no replica qualifies (`fallback`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFallback {
    /// Waits for a replica (`replica_wait_timeout`), then an error.
    #[default]
    Wait,
    /// Goes to the leader, read-only.
    Leader,
    /// An error at once.
    Error,
}

/// What the derivation depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// What a read does when no replica qualifies.
    pub fallback: ReadFallback,
}

/// Where writes and reads go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTable {
    /// Its number, which the router gives it when it is put in force.
    pub seq: u64,
    /// Writes.
    pub write: WriteRoute,
    /// The term in force, whether its leader takes new write leases or not. A write lease of another epoch is over.
    pub term: Option<Term>,
    /// Replicas that serve reads, by name; equal among each other.
    pub read: Vec<Target>,
    /// What a read does if [`Self::read`] is empty.
    pub fallback: ReadRoute,
    /// Every member.
    pub members: BTreeMap<MemberName, MemberRoute>,
}

/// Where a write goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteRoute {
    /// There.
    Open(Target),
    /// Nowhere for now.
    Wait(NoRoute),
}

/// Where a read goes if no replica qualifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRoute {
    /// To the leader; the session must be read-only there.
    Leader(Target),
    /// Nowhere for now.
    Wait(NoRoute),
    /// To an error.
    Error(NoRoute),
}

/// A server to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub member: MemberName,
    /// Where it listens.
    pub address: Address,
    /// The epoch of the term as whose leader it is used; 0 for a replica.
    pub term: u64,
}

/// Why there is no route, for the client's error or notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoute {
    /// What is missing.
    pub kind: NoRouteKind,
    /// A sentence fit for the client.
    pub sentence: String,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRouteKind {
    /// The store has never answered, or knows nothing of this cluster.
    ClusterUnknown,
    /// Nobody leads.
    NoLeader,
    /// Somebody leads, but is in doubt.
    LeaderInDoubt,
    /// No replica qualifies.
    NoReplica,
    /// Replicas qualify, and none has replayed what a session must see.
    Behind,
}

impl NoRouteKind {
    /// The SQLSTATE a client gets when its patience ends: 57P03, cannot connect now, for all of them.
    pub const fn sqlstate(self) -> &'static str {
        "57P03"
    }
}

/// One member, for the pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRoute {
    /// What it is to us.
    pub standing: MemberStanding,
    /// Where it listens.
    pub address: Address,
}

/// What a member is to the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStanding {
    /// Leader of the term in force.
    Leading,
    /// A replica, or about to lead. Connections are kept.
    Following,
    /// Deposed: idle connections are closed, leases revoked.
    Deposed,
    /// No new lease goes there; what works may go on.
    Unusable,
}

impl RoutingTable {
    /// The table before anything is known.
    pub fn unknown() -> Self {
        let sentence = "the cluster's state is not known yet".to_owned();
        let wait = NoRoute { kind: NoRouteKind::ClusterUnknown, sentence };
        Self {
            seq: 0,
            write: WriteRoute::Wait(wait.clone()),
            term: None,
            read: Vec::new(),
            fallback: ReadRoute::Wait(wait),
            members: BTreeMap::new(),
        }
    }

    /// The table that follows from `topology`.
    pub fn derive(topology: &Topology, policy: RoutePolicy) -> Self {
        let write = write_route(topology);
        let read = topology
            .members
            .iter()
            .filter(|(_, member)| member.reads.serves())
            .map(|(name, member)| Target { member: name.clone(), address: member.address.clone(), term: 0 })
            .collect();
        Self {
            seq: 0,
            fallback: fallback(topology, policy, &write),
            write,
            term: topology.term().cloned(),
            read,
            members: topology.members.iter().map(|(name, member)| (name.clone(), member.into())).collect(),
        }
    }

    /// Whether reads go to this member.
    pub fn reads_from(&self, member: &MemberName) -> bool {
        self.read.iter().any(|target| target.member == *member)
    }

    /// Whether both tables send everything the same way, whatever topology each comes from.
    pub fn routes_like(&self, other: &Self) -> bool {
        self.write == other.write
            && self.term == other.term
            && self.read == other.read
            && self.fallback == other.fallback
            && self.members == other.members
    }
}

fn write_route(topology: &Topology) -> WriteRoute {
    match &topology.write {
        WriteState::Open(term) => match topology.members.get(&term.member) {
            Some(member) => WriteRoute::Open(Target {
                member: term.member.clone(),
                address: member.address.clone(),
                term: term.epoch,
            }),
            None => wait(NoRouteKind::NoLeader, format!("the leader {} has no address", term.member)),
        },
        WriteState::Held { term, why, .. } => {
            wait(NoRouteKind::LeaderInDoubt, format!("writes to the leader {} wait: {why}", term.member))
        }
        WriteState::Vacant { why, .. } => {
            let kind = match topology.store {
                StoreStatus::NeverAnswered(_) | StoreStatus::Nothing(_) => NoRouteKind::ClusterUnknown,
                _ => NoRouteKind::NoLeader,
            };
            wait(kind, format!("there is no leader to write to: {why}"))
        }
    }
}

const fn wait(kind: NoRouteKind, sentence: String) -> WriteRoute {
    WriteRoute::Wait(NoRoute { kind, sentence })
}

fn fallback(topology: &Topology, policy: RoutePolicy, write: &WriteRoute) -> ReadRoute {
    let none = || NoRoute { kind: NoRouteKind::NoReplica, sentence: no_replica(topology) };
    match (policy.fallback, write) {
        (ReadFallback::Leader, WriteRoute::Open(target)) => ReadRoute::Leader(target.clone()),
        (ReadFallback::Leader | ReadFallback::Wait, _) => ReadRoute::Wait(none()),
        (ReadFallback::Error, _) => ReadRoute::Error(none()),
    }
}

/// Why no replica serves reads, each by name. Figures are left out: they would make every table a new one.
fn no_replica(topology: &Topology) -> String {
    let names: Vec<&str> = topology.members.keys().map(MemberName::as_str).collect();
    match names.as_slice() {
        [] => "no replica is known".to_owned(),
        names => format!("no replica qualifies for reads (known members: {})", names.join(", ")),
    }
}

impl From<&Member> for MemberRoute {
    fn from(member: &Member) -> Self {
        let standing = match member.standing {
            Standing::Leading => MemberStanding::Leading,
            Standing::Following => MemberStanding::Following,
            Standing::Deposed | Standing::Down => MemberStanding::Deposed,
            Standing::Unusable(_) => MemberStanding::Unusable,
        };
        Self { standing, address: member.address.clone() }
    }
}

#[cfg(test)]
mod tests;
