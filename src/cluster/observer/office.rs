//! Who is in office: what ends a term, and what it takes to begin one.

use super::{
    overrides::Overrides,
    views::{Answer, MemberView, Members, StoreView},
};
use crate::{
    clock::Moment,
    cluster::{
        ids::{MemberName, Term, Timeline},
        policy::ObserverPolicy,
        store::ClusterKind,
        topology::{Deposed, Deposition, Named, StoreStatus},
    },
    net::Address,
};

/// The term in force and where its leader listens.
#[derive(Clone, Debug)]
pub(super) struct InOffice {
    pub(super) term: Term,
    pub(super) address: Address,
}

/// How a term ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its leader no longer leads.
    Deposed(Deposition),
    /// The same member goes on, but not as the server that the term was begun with: it was promoted anew, or it
    /// moved. What was under way on the old one is lost.
    Renewed(String),
}

/// What both questions are judged by.
pub(super) struct Hearing<'a> {
    pub(super) policy: &'a ObserverPolicy,
    /// Who is to lead.
    pub(super) named: Option<&'a Named>,
    pub(super) store: &'a StoreView,
    pub(super) members: &'a Members,
    pub(super) overrides: &'a Overrides,
    pub(super) system_id: Option<u64>,
    pub(super) now: Moment,
}

impl Hearing<'_> {
    /// Whether and how the term ends. `right_until` is up to when there is a right to write to its leader.
    pub(super) fn end(&self, office: &InOffice, right_until: Moment) -> Option<End> {
        let term = &office.term;
        if let Some(named) = self.named.filter(|named| named.member != term.member) {
            return Some(End::Deposed(Deposition::Replaced(named.member.clone())));
        }
        let view = self.members.get(&term.member)?;
        if view.address != office.address {
            let (from, to) = (office.address.to_string(), view.address.to_string());
            return Some(End::Renewed(if from == to {
                format!("the name in {to} leads elsewhere")
            } else {
                format!("it moved from {from} to {to}")
            }));
        }
        if let Some(end) = view.answering().and_then(|answer| self.end_by_answer(answer, term)) {
            return Some(end);
        }
        let released = self.named.is_none()
            && matches!(self.store.status, StoreStatus::Answering { .. } | StoreStatus::Nothing(_));
        if right_until <= self.now || released {
            let (by, timeline) = self.contradiction(&term.member, term.timeline)?;
            return Some(End::Deposed(Deposition::Outranked { by: by.clone(), timeline }));
        }
        None
    }

    /// What the leader's own newest answer says.
    fn end_by_answer(&self, answer: &Answer, term: &Term) -> Option<End> {
        let has = answer.reading.system_id;
        if let Some(expected) = self.system_id.filter(|expected| *expected != has) {
            return Some(End::Deposed(Deposition::WrongSystem { has, expected }));
        }
        match answer.writable() {
            None => Some(End::Deposed(Deposition::InRecovery)),
            Some((timeline, _)) if timeline != term.timeline => {
                Some(End::Renewed(format!("its timeline is {timeline}, no longer {}", term.timeline)))
            }
            Some(_) => None,
        }
    }

    /// Another member that takes writes on a timeline higher than `timeline`, by a fresh answer. One that an operator has
    /// marked down does not count.
    pub(super) fn contradiction(
        &self,
        but: &MemberName,
        timeline: Timeline,
    ) -> Option<(&MemberName, Timeline)> {
        let counts = |name: &MemberName| name != but && !self.overrides.is_down(name);
        self.members.iter().filter(|(name, _)| counts(name)).find_map(|(name, view)| {
            let answer = self.fresh(view)?;
            let (theirs, _) = answer.writable()?;
            (self.system_id == Some(answer.reading.system_id) && theirs > timeline).then_some((name, theirs))
        })
    }

    fn fresh<'v>(&self, view: &'v MemberView) -> Option<&'v Answer> {
        view.answering().filter(|answer| answer.is_fresh(self.policy.fresh_for(), self.now))
    }

    /// Whether the named leader may take office: on which timeline and at which address, or why not yet.
    ///
    /// The naming is the trigger. The gate is an answer of that member, asked for after the naming was seen (and
    /// after it was last deposed), that it is not in recovery; an earlier answer may be from an earlier term.
    pub(super) fn gate(&self, named: &Named, deposed: &[Deposed]) -> Result<(Timeline, Address), String> {
        let name = &named.member;
        let Some(view) = self.members.get(name) else {
            return Err("it has no readable record in the store".to_owned());
        };
        let Some(answer) = view.answering() else {
            return Err(view.failure().unwrap_or_else(|| "it has not been asked yet".to_owned()));
        };
        let Some(expected) = self.system_id else {
            return Err("the cluster's system identifier is not known".to_owned());
        };
        if answer.reading.system_id != expected {
            let has = answer.reading.system_id;
            return Err(format!("its system identifier is {has}, the cluster's {expected}"));
        }
        let Some((timeline, _)) = answer.writable() else {
            return Err(match self.store.settings.kind {
                ClusterKind::Primary => "it is still in recovery".to_owned(),
                ClusterKind::Standby(_) => {
                    "this is a standby cluster, which takes no writes until it is promoted".to_owned()
                }
            });
        };
        let deposed_at = deposed.iter().find(|d| d.term.member == *name).map(|d| d.at);
        let asked_since = answer.asked_at >= named.seen_at
            && deposed_at.is_none_or(|deposed_at| answer.asked_at > deposed_at);
        if !asked_since || self.fresh(view).is_none() {
            return Err("it has not answered since".to_owned());
        }
        if let Some((by, theirs)) = self.contradiction(name, timeline) {
            return Err(format!("{by} takes writes on timeline {theirs}, higher than its {timeline}"));
        }
        Ok((timeline, view.address.clone()))
    }
}
