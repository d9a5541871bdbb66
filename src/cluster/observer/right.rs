//! The right to write: up to when nobody else can lead.

use super::{
    hosts,
    views::{Answer, MemberView, Members, StoreView},
};
use crate::{
    clock::Moment,
    cluster::{
        ids::{MemberName, Term},
        policy::{Authority, ObserverPolicy},
        topology::{Right, RightSource, StoreStatus},
    },
};

/// There is none.
pub(super) const NONE: Right = Right { deadline: Moment::ZERO, source: RightSource::None };

/// The right to write to the leader of `term` and, for when it is over, why there is no more of it.
///
/// With a store it is what the lease queries gave to the leader they showed: their sending time plus the remaining
/// time to live. It is never shortened while that leader is the last one seen to hold the key. Only when the store
/// does not answer is it extended by probes, and only while every other known member has answered freshly that it
/// is in recovery on the leader's timeline: one that cannot be asked may lead. Such an extension ends at once
/// when an answer contradicts it.
///
/// Where Patroni names the leader without a lease, its word and the answers of a majority of the members that it lists
/// give the right, unless any member, listed or not, answers that it takes writes too. One that is not listed any more
/// does not count otherwise: Patroni takes a member off when its key in the store has run out, and with it any leader
/// key that it held. When Patroni does not answer, it is as with a store that does not.
///
/// Without a store a majority of fresh answers gives it, and `refused`, that answers contradict each other, takes it
/// away.
pub(super) fn judge(
    policy: &ObserverPolicy,
    store: &StoreView,
    members: &Members,
    term: &Term,
    refused: Option<&str>,
    now: Moment,
) -> (Right, String) {
    if let Some(why) = refused {
        return (NONE, why.to_owned());
    }
    if let Authority::Hosts(_) = policy.authority {
        return match by_majority(policy, members, term) {
            Ok(deadline) => (probes(deadline, now), "the hosts' answers are too old".to_owned()),
            Err(why) => (NONE, why),
        };
    }
    if policy.authority == Authority::Patroni && !matches!(store.status, StoreStatus::Lost { .. }) {
        return match by_listed_majority(policy, members, term) {
            Ok(deadline) => (probes(deadline, now), "the members' answers are too old".to_owned()),
            Err(why) => (NONE, why),
        };
    }
    let lease = store.lease.as_ref().filter(|lease| lease.member == term.member);
    let lease = lease.map_or(Moment::ZERO, |lease| lease.deadline);
    let by_lease = Right { deadline: lease, source: RightSource::Lease };
    let over = if lease == Moment::ZERO {
        "the store has not shown its lease yet"
    } else {
        "its lease in the store has run out"
    };
    let named = store.named.as_ref().is_some_and(|named| named.member == term.member);
    if !matches!(store.status, StoreStatus::Lost { .. }) || !named {
        return (if now < lease { by_lease } else { NONE }, over.to_owned());
    }
    match by_everybody(policy, members, term) {
        Ok(deadline) if deadline > lease => {
            (probes(deadline, now), format!("{over}, the store does not answer, and neither do the members"))
        }
        Ok(_) => (if now < lease { by_lease } else { NONE }, over.to_owned()),
        Err(why) => {
            let right = if now < lease { by_lease } else { NONE };
            (right, format!("{over}, the store does not answer, and {why}"))
        }
    }
}

fn probes(deadline: Moment, now: Moment) -> Right {
    if now < deadline { Right { deadline, source: RightSource::Probes } } else { NONE }
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
