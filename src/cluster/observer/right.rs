//! The right to write: up to when nobody else can lead.

use super::{
    hosts,
    overrides::Overrides,
    views::{Answer, MemberView, Members, StoreView},
};
use crate::{
    clock::Moment,
    cluster::{
        ids::{MemberName, Term},
        policy::{Authority, ObserverPolicy},
        store::Failover,
        topology::{Mark, Right, RightSource, StoreStatus},
    },
};

/// There is none.
pub(super) const NONE: Right = Right { deadline: Moment::ZERO, source: RightSource::None };

/// What the right to write is judged by.
pub(super) struct Grounds<'a> {
    pub(super) policy: &'a ObserverPolicy,
    pub(super) store: &'a StoreView,
    pub(super) members: &'a Members,
    pub(super) overrides: &'a Overrides,
    /// Whose Patroni confirms that it leads without the store, and when it was asked.
    pub(super) failsafe: Option<&'a (MemberName, Moment)>,
    pub(super) now: Moment,
}

impl Grounds<'_> {
    /// The right to write to the leader of `term` and, for when it is over, why there is no more of it.
    ///
    /// With a store it is what the lease queries gave to the leader they showed: their sending time plus the remaining
    /// time to live. It is never shortened while that leader is the last one seen to hold the key. Beyond that it is
    /// extended only while nobody else can have the key ([`Self::extension`]); such an extension ends at once when an
    /// answer contradicts it.
    ///
    /// Where Patroni names the leader without a lease, its word and the answers of a majority of the members that it
    /// lists give the right, unless any member, listed or not, answers that it takes writes too. One that is not listed
    /// any more does not count otherwise: Patroni takes a member off when its key in the store has run out, and with it
    /// any leader key that it held. When Patroni does not answer, it is as with a store that does not.
    ///
    /// Without a store a majority of fresh answers gives it, and `refused`, that answers contradict each other, takes it
    /// away. Nobody has a right to write to a member that an operator has marked down.
    pub(super) fn judge(&self, term: &Term, refused: Option<&str>) -> (Right, String) {
        if self.overrides.is_down(&term.member) {
            return (NONE, Mark::Down.to_string());
        }
        if let Some(why) = refused {
            return (NONE, why.to_owned());
        }
        let pinned = self.overrides.pin().is_some();
        if let (Authority::Hosts(_), false) = (&self.policy.authority, pinned) {
            return match by_majority(self.policy, self.members, term) {
                Ok(deadline) => {
                    (self.until(deadline, RightSource::Probes), "the hosts' answers are too old".to_owned())
                }
                Err(why) => (NONE, why),
            };
        }
        let named = self.store.named.as_ref().is_some_and(|named| named.member == term.member);
        let lost = matches!(self.store.status, StoreStatus::Lost { .. });
        if self.policy.authority == Authority::Patroni && named && !lost && !pinned {
            return match by_listed_majority(self.policy, self.members, term) {
                Ok(deadline) => {
                    (self.until(deadline, RightSource::Probes), "the members' answers are too old".to_owned())
                }
                Err(why) => (NONE, why),
            };
        }
        let lease = self.store.lease.as_ref().filter(|lease| lease.member == term.member);
        let lease = lease.map_or(Moment::ZERO, |lease| lease.deadline);
        let by_lease = self.until(lease, RightSource::Lease);
        let over = if lease == Moment::ZERO {
            "the store has not shown its lease yet"
        } else {
            "its lease in the store has run out"
        };
        match self.extension(term) {
            None => (by_lease, over.to_owned()),
            Some(Ok((deadline, source))) if deadline > lease => {
                (self.until(deadline, source), format!("{over}, and the members do not answer either"))
            }
            Some(Ok(_)) => (by_lease, over.to_owned()),
            Some(Err(why)) => (by_lease, format!("{over}, and {why}")),
        }
    }

    /// Whether something else than a lease may give the right, until when, and what it is:
    ///
    /// - an operator has pinned this leader;
    /// - the store does not answer: as long as every other known member has answered freshly that it is in recovery on
    ///   the leader's timeline, since one that cannot be asked may lead;
    /// - nobody holds the key, and Patroni is paused: the same, since Patroni does not promote anybody then;
    /// - nobody holds the key or the store does not answer, and the leader's own Patroni confirms that it leads with the
    ///   consent of every member (`failsafe_mode`): as long as nobody else is seen to take writes.
    fn extension(&self, term: &Term) -> Option<Result<(Moment, RightSource), String>> {
        let probes = |deadline| (deadline, RightSource::Probes);
        if self.overrides.pin().is_some_and(|pin| pin.member == term.member) {
            return Some(self.by_word(term, self.now, RightSource::Pin));
        }
        let lost = matches!(self.store.status, StoreStatus::Lost { .. });
        let absent = match &self.store.named {
            Some(named) if named.member != term.member => return None,
            named => named.is_none(),
        };
        let paused = self.store.settings.failover == Failover::Paused;
        let by_everybody = (lost && !absent || absent && paused)
            .then(|| by_everybody(self.policy, self.members, term).map(probes));
        let confirmed = self.failsafe.filter(|(member, _)| {
            self.store.settings.failsafe_mode && (lost || absent) && *member == term.member
        });
        let confirmed = confirmed.map(|(_, asked_at)| self.by_word(term, *asked_at, RightSource::Failsafe));
        match (by_everybody, confirmed) {
            (Some(Ok(one)), Some(Ok(other))) => Some(Ok(if one.0 >= other.0 { one } else { other })),
            (Some(Ok(known)), _) | (_, Some(Ok(known))) => Some(Ok(known)),
            (one, other) => other.or(one),
        }
    }

    /// Whether something else than a lease gives the right now.
    pub(super) fn extends(&self, term: &Term) -> bool {
        matches!(self.extension(term), Some(Ok((deadline, _))) if self.now < deadline)
    }

    /// By somebody's word of the moment `given`, while the leader takes writes and nobody else does.
    fn by_word(
        &self,
        term: &Term,
        given: Moment,
        source: RightSource,
    ) -> Result<(Moment, RightSource), String> {
        let own = leader_at_work(self.members, term)?;
        let rival = self.members.iter().find(|(name, view)| {
            let answer = view.answering().filter(|answer| answer.is_fresh(self.policy.fresh_for(), self.now));
            let rivals = answer.and_then(Answer::writable).is_some_and(|(theirs, _)| theirs >= term.timeline);
            **name != term.member && !self.overrides.is_down(name) && rivals
        });
        match rival {
            Some((name, _)) => Err(format!("{name} takes writes too")),
            None => Ok((own.min(given) + self.policy.fresh_for(), source)),
        }
    }

    fn until(&self, deadline: Moment, source: RightSource) -> Right {
        if self.now < deadline { Right { deadline, source } } else { NONE }
    }
}

/// Whether an answer of the leader itself shows it at work; when it was asked for.
fn leader_at_work(members: &Members, term: &Term) -> Result<Moment, String> {
    let answer = members.get(&term.member).and_then(|view| view.answer.as_ref());
    match answer.map(|answer| (answer.asked_at, answer.writable())) {
        Some((asked_at, Some((timeline, _)))) if timeline == term.timeline => Ok(asked_at),
        _ => Err(format!("{} has not shown that it takes writes", term.member)),
    }
}

/// Whether an answer shows that a member does not lead and follows the leader's timeline.
fn follows(
    name: &MemberName,
    answer: Option<&Answer>,
    term: &Term,
    system_id: Option<u64>,
) -> Result<Moment, String> {
    let Some(answer) = answer else {
        return Err(format!("{name}, which might lead, cannot be asked"));
    };
    if system_id != Some(answer.reading.system_id) {
        return Err(format!("{name}, which might lead, is not at its address"));
    }
    match answer.standby() {
        Some(standby) if standby.timeline == Some(term.timeline) => Ok(answer.asked_at),
        Some(_) => Err(format!("{name} is not on timeline {}", term.timeline)),
        None => Err(format!("{name} takes writes too")),
    }
}

/// Until when everybody's answers count together.
fn by_everybody(policy: &ObserverPolicy, members: &Members, term: &Term) -> Result<Moment, String> {
    let mut oldest = leader_at_work(members, term)?;
    let own = members.get(&term.member).and_then(|view| view.answer.as_ref());
    let system_id = own.map(|answer| answer.reading.system_id);
    for (name, view) in members.iter().filter(|(name, _)| **name != term.member) {
        oldest = oldest.min(follows(name, view.answer.as_ref(), term, system_id)?);
    }
    Ok(oldest + policy.fresh_for())
}

/// Until when the answers of a majority of the hosts count together.
fn by_majority(policy: &ObserverPolicy, members: &Members, term: &Term) -> Result<Moment, String> {
    let others = members.iter().filter(|(name, _)| **name != term.member).map(|(_, view)| view);
    let answers = Answers { others: others.collect(), system_id: hosts::system_id(members) };
    answers.majority(policy, leader_at_work(members, term)?, term)
}

/// Until when the answers of a majority of the members that Patroni lists count together.
fn by_listed_majority(policy: &ObserverPolicy, members: &Members, term: &Term) -> Result<Moment, String> {
    let own = leader_at_work(members, term)?;
    let others = || members.iter().filter(|(name, _)| **name != term.member);
    let claims = |view: &MemberView| view.answering().is_some_and(|answer| answer.writable().is_some());
    if let Some((name, _)) = others().find(|(_, view)| claims(view)) {
        return Err(format!("{name} takes writes too"));
    }
    let listed = others().map(|(_, view)| view).filter(|view| view.gone_since.is_none()).collect();
    let system_id = members.get(&term.member).and_then(|view| Some(view.answer.as_ref()?.reading.system_id));
    Answers { others: listed, system_id }.majority(policy, own, term)
}

/// Answers that are counted.
struct Answers<'a> {
    /// All but the leader.
    others: Vec<&'a MemberView>,
    system_id: Option<u64>,
}

impl Answers<'_> {
    /// Until when a majority of answers, the leader's among them, count together; the leader's was asked for at `own`.
    fn majority(&self, policy: &ObserverPolicy, own: Moment, term: &Term) -> Result<Moment, String> {
        let system_id = self.system_id;
        let mut asked: Vec<Moment> = self
            .others
            .iter()
            .filter_map(|view| view.answer.as_ref())
            .filter(|answer| system_id == Some(answer.reading.system_id))
            // A replica that has yet to follow a promotion is still on the timeline before, and no leader.
            .filter(|answer| answer.standby().is_some_and(|s| s.timeline.is_none_or(|t| t <= term.timeline)))
            .map(|answer| answer.asked_at)
            .collect();
        asked.sort_unstable_by(|a, b| b.cmp(a));
        // The leader is one of the majority; the others are the most recently asked.
        let others = hosts::majority_of(self.others.len() + 1) - 1;
        let oldest = match others.checked_sub(1) {
            None => own,
            Some(last) => match asked.get(last) {
                Some(asked_at) => own.min(*asked_at),
                None => return Err("no majority follows it".to_owned()),
            },
        };
        Ok(oldest + policy.fresh_for())
    }
}
