//! The routing table: where writes and reads go now. Derived whole from each topology, never patched.

use std::collections::BTreeMap;

use super::{
    balance::Balance,
    selection::{Rank, Selection},
};
use crate::{
    cluster::{
        ids::{MemberName, Term},
        store::ClusterKind,
        topology::{Member, Obstacle, Reads, Standing, StoreStatus, Topology, WriteState},
    },
    net::Address,
    wire::error::SqlState,
};

/// What a read does when no replica qualifies (`fallback`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFallback {
    /// Waits for a replica (`replica_wait_timeout`; while the leader changes `leader_wait_timeout`), then an error.
    #[default]
    Wait,
    /// Goes to the leader, read-only.
    Leader,
    /// An error at once.
    Error,
}

/// What the derivation depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// What a read does when no replica qualifies.
    pub fallback: ReadFallback,
    /// How reads are spread.
    pub balance: Balance,
    /// Where this process is (`zone`).
    pub zone: Option<String>,
    /// What those who read want, each in its place. The first is for whoever wants nothing of their own.
    pub selections: Vec<Selection>,
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
    /// Members that serve reads of somebody, by name.
    pub read: Vec<Target>,
    /// Which of them serve the reads of each selection of the policy, in its place.
    pub choices: Vec<Choice>,
    /// How reads are spread over those of a choice.
    pub balance: Balance,
    /// What a read does if nobody serves it.
    pub fallback: ReadRoute,
    /// Members that may lead next, synchronous standbys in front.
    pub candidates: Vec<MemberName>,
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

/// Who serves the reads of a selection: equal among each other but for their shares.
pub type Choice = Vec<Serving>;

/// One that serves reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its place in [`RoutingTable::read`].
    pub place: usize,
    /// Its share of the reads compared with the others.
    pub share: u32,
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
    /// This is a standby cluster: nobody takes writes before it is promoted, and nobody knows when that will be.
    StandbyCluster,
    /// None does, because the leader changes: there is none, or they have yet to follow a new one.
    ReplicasRegroup,
}

impl NoRouteKind {
    /// The SQLSTATE a client gets when its patience ends: 57P03, cannot connect now; what PostgreSQL says to who writes on a
    /// standby, 25006, in a standby cluster.
    pub const fn sqlstate(self) -> SqlState {
        match self {
            Self::ClusterUnknown
            | Self::NoLeader
            | Self::LeaderInDoubt
            | Self::NoReplica
            | Self::ReplicasRegroup
            | Self::Behind => SqlState::CANNOT_CONNECT_NOW,
            Self::StandbyCluster => SqlState::READ_ONLY_SQL_TRANSACTION,
        }
    }

    /// Whether it is worth waiting for.
    pub const fn may_pass(self) -> bool {
        !matches!(self, Self::StandbyCluster)
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
    /// A replica that is not there any more: idle connections are closed, leases for reading revoked.
    Lost,
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
            choices: Vec::new(),
            balance: Balance::default(),
            fallback: ReadRoute::Wait(wait),
            candidates: Vec::new(),
            members: BTreeMap::new(),
        }
    }

    /// The table that follows from `topology`.
    pub fn derive(topology: &Topology, policy: &RoutePolicy) -> Self {
        let write = write_route(topology);
        let ranked: Vec<_> =
            policy.selections.iter().map(|wanted| ranked(wanted, topology, policy)).collect();
        let serves = |name: &MemberName| ranked.iter().flatten().any(|(_, serving)| *serving == name);
        let read: Vec<Target> = topology
            .members
            .iter()
            .filter(|(name, _)| serves(name))
            .map(|(name, member)| Target { member: name.clone(), address: member.address.clone(), term: 0 })
            .collect();
        Self {
            seq: 0,
            fallback: fallback(topology, policy, &write),
            write,
            term: topology.term().cloned(),
            choices: ranked.iter().map(|ranked| choice(ranked, &read, topology)).collect(),
            read,
            balance: policy.balance,
            candidates: candidates(topology),
            members: topology.members.iter().map(|(name, member)| (name.clone(), member.into())).collect(),
        }
    }

    /// Whether reads of somebody go to this member.
    pub fn reads_from(&self, member: &MemberName) -> bool {
        self.read.iter().any(|target| target.member == *member)
    }

    /// Who serves the reads of a selection.
    pub fn choice(&self, selection: usize) -> &[Serving] {
        self.choices.get(selection).map_or(&[], Vec::as_slice)
    }

    /// Whether a member serves the reads of a selection.
    pub fn serves(&self, selection: usize, member: &MemberName) -> bool {
        let mut places = self.choice(selection).iter().map(|serving| serving.place);
        places.any(|place| self.read.get(place).is_some_and(|target| target.member == *member))
    }

    /// Whether both tables send everything the same way, whatever topology each comes from.
    pub fn routes_like(&self, other: &Self) -> bool {
        self.write == other.write
            && self.term == other.term
            && self.read == other.read
            && self.choices == other.choices
            && self.balance == other.balance
            && self.fallback == other.fallback
            && self.candidates == other.candidates
            && self.members == other.members
    }
}

/// Who may lead next: replicas that answer and that Patroni may promote.
fn candidates(topology: &Topology) -> Vec<MemberName> {
    let may_lead = |name: &MemberName, member: &Member| {
        let named = topology.named.as_ref().is_some_and(|named| named.member == *name);
        let barred = member.record.as_ref().is_some_and(|record| record.is_barred_from_leading());
        member.standing == Standing::Following && !named && !barred && member.mark.is_none()
    };
    let all = topology.members.iter().filter(|(name, member)| may_lead(name, member)).map(|(name, _)| name);
    let (sync, others): (Vec<_>, Vec<_>) =
        all.cloned().partition(|name| topology.sync_standbys.contains(name));
    [sync, others].concat()
}

/// Those who serve a selection, of the best rank there is.
fn ranked<'t>(
    wanted: &Selection,
    topology: &'t Topology,
    policy: &RoutePolicy,
) -> Vec<(Rank, &'t MemberName)> {
    let zone = policy.zone.as_deref();
    let rank = |name: &'t MemberName| wanted.rank(name, topology, zone).map(|rank| (rank, name));
    let all: Vec<_> = topology.members.keys().filter_map(rank).collect();
    let best = all.iter().map(|(rank, _)| *rank).min();
    all.into_iter().filter(|(rank, _)| Some(*rank) == best).collect()
}

fn choice(ranked: &[(Rank, &MemberName)], read: &[Target], topology: &Topology) -> Choice {
    let serving = |(_, name): &(Rank, &MemberName)| {
        let place = read.iter().position(|target| target.member == **name)?;
        let share = topology.members.get(*name)?.share();
        Some(Serving { place, share })
    };
    ranked.iter().filter_map(serving).collect()
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
        WriteState::Vacant { .. } if topology.settings.kind.is_standby() => {
            let sentence = match &topology.named {
                Some(named) => format!(
                    "{} leads a standby cluster, which takes no writes until it is promoted",
                    named.member
                ),
                None => "this is a standby cluster, which takes no writes until it is promoted".to_owned(),
            };
            wait(NoRouteKind::StandbyCluster, sentence)
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

fn fallback(topology: &Topology, policy: &RoutePolicy, write: &WriteRoute) -> ReadRoute {
    let kind =
        if leader_changes(topology, write) { NoRouteKind::ReplicasRegroup } else { NoRouteKind::NoReplica };
    let none = || NoRoute { kind, sentence: no_replica(topology) };
    match (policy.fallback, write) {
        (ReadFallback::Leader, WriteRoute::Open(target)) => ReadRoute::Leader(target.clone()),
        (ReadFallback::Leader | ReadFallback::Wait, _) => ReadRoute::Wait(none()),
        (ReadFallback::Error, _) => ReadRoute::Error(none()),
    }
}

/// Whether there is no leader, or replicas have yet to follow a new one, or one that was away. A standby cluster never has one.
fn leader_changes(topology: &Topology, write: &WriteRoute) -> bool {
    let behind = |member: &Member| match &member.reads {
        Reads::Excluded(why) => {
            matches!(why.obstacle, Obstacle::WrongTimeline | Obstacle::Deposed | Obstacle::Reconnecting)
        }
        Reads::Qualifies | Reads::Grace(_) => false,
    };
    let leaderless = matches!(write, WriteRoute::Wait(_)) && topology.settings.kind == ClusterKind::Primary;
    leaderless || topology.members.values().any(behind)
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
            Standing::Lost(_) => MemberStanding::Lost,
        };
        Self { standing, address: member.address.clone() }
    }
}

#[cfg(test)]
mod tests;
