//! Which servers were seen to be promoted, and from where. Anybody can promote a server; only the one that takes office
//! thereby says where the cluster's history goes on.

use std::collections::BTreeMap;

use crate::{
    cluster::{
        ids::{Lsn, MemberName, Timeline},
        topology::Topology,
    },
    net::Address,
};

/// A server that was in recovery takes writes, on the timeline behind the one that it had followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Where it was asked.
    pub address: Address,
    /// The identifier of the cluster that it belongs to.
    pub system_id: u64,
    /// The timeline that it had followed.
    pub from: Timeline,
    /// What it had replayed last, where its own timeline begins.
    pub at: Lsn,
}

/// The last promotion of each member that has not been in recovery again since.
#[derive(Debug, Default)]
pub(super) struct Promotions(BTreeMap<MemberName, Promotion>);

impl Promotions {
    pub(super) fn watched(&mut self, member: &MemberName, promotion: Promotion) {
        self.0.insert(member.clone(), promotion);
    }

    /// This member is in recovery: should it be promoted again, that may be from elsewhere.
    pub(super) fn undone(&mut self, member: &MemberName) {
        self.0.remove(member);
    }

    pub(super) fn retain(&mut self, is_member: impl Fn(&MemberName) -> bool) {
        self.0.retain(|member, _| is_member(member));
    }

    /// Which timeline the leader in office has left, and where, if it was seen to: it and no other server of its name, and
    /// for the timeline on which it leads.
    pub(super) fn of_leader(&self, topology: &Topology) -> Option<(Timeline, Lsn)> {
        let term = topology.term()?;
        let promotion = self.0.get(&term.member)?;
        let is_its = promotion.from.checked_add(1) == Some(term.timeline)
            && topology.system_id == Some(promotion.system_id)
            && topology.members.get(&term.member)?.address == promotion.address;
        is_its.then_some((promotion.from, promotion.at))
    }
}
