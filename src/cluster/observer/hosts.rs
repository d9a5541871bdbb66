//! Who leads when there is no store to ask: the servers' own answers, counted.

use std::collections::BTreeMap;

use super::views::{Answer, Members};
use crate::{
    clock::Moment,
    cluster::{
        ids::{MemberName, Term, Timeline},
        policy::ObserverPolicy,
        topology::Named,
    },
};

/// What the answers of the configured hosts amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This host leads.
    Named(Named),
    /// Nobody can be told to lead, and why.
    Nobody(String),
    /// Answers contradict each other: there is no right to write to anybody.
    Refused(String),
}

/// More than half of the hosts.
pub(super) fn majority(members: &Members) -> usize {
    majority_of(members.len())
}

/// More than half of so many.
pub(super) const fn majority_of(count: usize) -> usize {
    count / 2 + 1
}

/// The system identifier that a majority of the hosts has shown.
pub(super) fn system_id(members: &Members) -> Option<u64> {
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for answer in members.values().filter_map(|view| view.answer.as_ref()) {
        *votes.entry(answer.reading.system_id).or_default() += 1;
    }
    votes.into_iter().find(|(_, count)| *count >= majority(members)).map(|(id, _)| id)
}

/// Who leads. A majority must have answered freshly; the one host that takes writes leads, if no answer is on a
/// higher timeline than its own, and if it is not merely a second claimant to the timeline of the term in force.
pub(super) fn elect(
    members: &Members,
    policy: &ObserverPolicy,
    named: Option<&Named>,
    term: Option<&Term>,
    now: Moment,
) -> Verdict {
    let fresh = |answer: &&Answer| answer.is_fresh(policy.fresh_for(), now);
    let answers = members.values().filter_map(|view| view.answer.as_ref()).filter(fresh).count();
    let needed = majority(members);
    let too_few = |answers| format!("{answers} of {} hosts answer, {needed} must", members.len());
    if answers < needed {
        return Verdict::Nobody(too_few(answers));
    }
    let Some(system_id) = system_id(members) else {
        return Verdict::Refused("no majority of the hosts has the same system identifier".to_owned());
    };
    let ours = |answer: &&Answer| answer.reading.system_id == system_id;
    let claims: Vec<(&MemberName, &Answer, Timeline)> = members
        .iter()
        .filter_map(|(name, view)| {
            let answer = view.answering().filter(fresh).filter(ours)?;
            answer.writable().map(|(timeline, _)| (name, answer, timeline))
        })
        .collect();
    let (name, answer, timeline) = match claims.as_slice() {
        [] => return Verdict::Nobody("none of the hosts that answer takes writes".to_owned()),
        [one] => *one,
        many => {
            let claims: Vec<String> = many.iter().map(|(n, _, t)| format!("{n} on timeline {t}")).collect();
            return Verdict::Refused(format!("more than one host takes writes: {}", claims.join(", ")));
        }
    };
    // Whoever is in office stays although an answer of another is late; to take office, all must be there now.
    let in_office = term.is_some_and(|term| term.member == *name);
    let present = members.values().filter_map(|view| view.answering()).filter(fresh).count();
    if !in_office && present < needed {
        return Verdict::Nobody(too_few(present));
    }
    let standbys = members.iter().filter_map(|(other, view)| {
        let answer = view.answer.as_ref().filter(fresh).filter(ours)?;
        Some((other, answer.standby()?.timeline?))
    });
    for (other, theirs) in standbys {
        if theirs > timeline {
            return Verdict::Refused(format!(
                "{name} takes writes on timeline {timeline}, but {other} follows timeline {theirs}"
            ));
        }
    }
    if let Some(term) = term.filter(|term| term.member != *name && timeline <= term.timeline) {
        return Verdict::Refused(format!(
            "{name} takes writes on timeline {timeline}, which is no later than that of {}",
            term.member
        ));
    }
    Verdict::Named(match named {
        Some(same) if same.member == *name => same.clone(),
        _ => Named { member: name.clone(), elected_at: 0, seen_at: answer.asked_at },
    })
}
