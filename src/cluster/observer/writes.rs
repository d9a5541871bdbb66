//! Whether writes go, are held, or have nowhere to go.

use std::mem::discriminant;

use super::{Observer, hosts::Verdict};
use crate::{
    clock::Moment,
    cluster::{
        ids::Term,
        policy::Authority,
        topology::{Hold, Named, Right, StoreStatus, Vacancy, WriteState},
    },
};

impl Observer {
    /// The right to write, and whether writes go.
    pub(super) fn decide_writes(&self, now: Moment) -> (Right, WriteState) {
        let (right, why_no_more) = self.right(now);
        let write = match &self.office {
            Some(office) => {
                let term = office.term.clone();
                match self.doubt(&term, now) {
                    Some(why) => self.held(term, why, now),
                    None if right.deadline <= now => self.held(term, Hold::NoRight(why_no_more), now),
                    None => WriteState::Open(term),
                }
            }
            None => self.vacant(self.vacancy(now), now),
        };
        (right, write)
    }

    /// What speaks against new writes to the leader in office, apart from the right to write.
    fn doubt(&self, term: &Term, now: Moment) -> Option<Hold> {
        if let Some(marked) = self.overrides.mark(&term.member) {
            return Some(Hold::Marked(marked.mark));
        }
        let named = match (&self.named, &self.verdict) {
            (Some(named), _) => named.seen_at,
            (None, Some(Verdict::Nobody(why) | Verdict::Refused(why))) => {
                return Some(Hold::Undecided(why.clone()));
            }
            // An absent key is no deposition: in failsafe mode, and while Patroni is paused, there is another right.
            (None, _) if self.grounds(now).extends(term) => Moment::ZERO,
            (None, _) => return Some(Hold::KeyAbsent),
        };
        let view = self.members.get(&term.member)?;
        if let Some(suspicion) = &view.suspected {
            return Some(Hold::Suspected(suspicion.why.clone()));
        }
        let Some(answer) = view.answering() else {
            return Some(Hold::Silent(view.failure().unwrap_or_else(|| "not asked yet".to_owned())));
        };
        if !answer.is_fresh(self.policy.fresh_for(), now) {
            return Some(Hold::Silent("its last answer is too old".to_owned()));
        }
        if answer.asked_at < named {
            return Some(Hold::Renamed);
        }
        if let Some((by, timeline)) = self.hearing(now).contradiction(&term.member, term.timeline) {
            return Some(Hold::Contradicted { by: by.clone(), timeline });
        }
        self.stepping_down().filter(|until| now < *until).map(|_| Hold::SteppingDown)
    }

    /// Held since now, or since it was held for the same kind of reason; a newer suspicion counts anew.
    fn held(&self, term: Term, why: Hold, now: Moment) -> WriteState {
        let suspected =
            || self.members.get(&term.member).and_then(|view| Some(view.suspected.as_ref()?.since));
        let since = match &self.topology.write {
            WriteState::Held { term: before, since, why: was }
                if before.epoch == term.epoch && discriminant(was) == discriminant(&why) =>
            {
                suspected().map_or(*since, |newest| newest.max(*since))
            }
            _ => now,
        };
        WriteState::Held { term, since, why }
    }

    fn vacant(&self, why: Vacancy, now: Moment) -> WriteState {
        let named_at =
            |named: &Option<Named>| named.as_ref().map(|named| (named.member.clone(), named.seen_at));
        let since = match &self.topology.write {
            WriteState::Vacant { since, why: was }
                if discriminant(was) == discriminant(&why)
                    && named_at(&self.topology.named) == named_at(&self.named) =>
            {
                *since
            }
            _ => now,
        };
        WriteState::Vacant { since, why }
    }

    /// What is missing for a term to begin.
    fn vacancy(&self, now: Moment) -> Vacancy {
        if let (None, StoreStatus::Nothing(found)) = (&self.named, &self.store.status) {
            return Vacancy::NothingUnderScope(found.clone());
        }
        if let StoreStatus::NeverAnswered(why) = &self.store.status {
            let why = why.clone().unwrap_or_else(|| "it has just been asked".to_owned());
            return Vacancy::StoreNeverAnswered(why);
        }
        let Some(named) = &self.named else {
            return Vacancy::NobodyNamed(match (&self.policy.authority, &self.verdict, &self.store.status) {
                (Authority::Hosts(_), Some(Verdict::Nobody(why) | Verdict::Refused(why)), _) => why.clone(),
                (_, _, StoreStatus::Lost { reason, .. }) => {
                    format!("nobody held the leader key when the store was lost ({reason})")
                }
                _ => "nobody holds the leader key".to_owned(),
            });
        };
        let why = match self.hearing(now).gate(named, &self.deposed) {
            Err(why) => why,
            Ok(_) => "it takes office".to_owned(),
        };
        Vacancy::NotWritable { member: named.member.clone(), why }
    }
}
