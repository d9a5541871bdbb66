//! Clients that wait for what was committed before they asked: one round trip serves all who asked before it began.
//!
//! At most one is under way and one to follow. Nobody waits for a connection that does not answer in time; until it has
//! done so again nobody waits at all, but whenever somebody would it is tried.

use std::collections::BTreeSet;

use super::{Action, Channel, Member};

/// A round trip of the shared connection.
#[derive(Debug)]
pub(super) struct Round {
    /// What it listens on behind it, where that changes.
    pub(super) goal: Option<BTreeSet<Channel>>,
    /// Who waits for its end.
    waiting: BTreeSet<Member>,
    pace: Pace,
}

/// Who waits for a round trip that is still to begin.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next: Next,
    /// That of the last round trip.
    pace: Pace,
}

/// The round trip behind the one that runs.
#[derive(Debug, Default)]
enum Next {
    #[default]
    NotDue,
    /// For these; perhaps only to see whether it takes long.
    Due(BTreeSet<Member>),
}

/// Whether a round trip takes so long that nobody is to wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    #[default]
    Prompt,
    Late,
}

impl Asking {
    /// Somebody asks, while this runs.
    pub(super) fn add(&mut self, member: Member, running: Option<&mut Round>, actions: &mut Vec<Action>) {
        let is_late =
            self.pace == Pace::Late || running.as_ref().is_some_and(|round| round.pace == Pace::Late);
        if let Some(round) = running {
            // It has asked anew, so that what runs began too early for it.
            round.waiting.remove(&member);
            if is_late {
                // That will show whether anybody is to wait again.
                return actions.push(Action::Abreast(member));
            }
        }
        let mut members = match std::mem::take(&mut self.next) {
            Next::NotDue => BTreeSet::new(),
            Next::Due(members) => members,
        };
        if is_late {
            actions.push(Action::Abreast(member));
        } else {
            members.insert(member);
        }
        self.next = Next::Due(members);
    }

    /// Somebody is gone.
    pub(super) fn forget(&mut self, member: Member, running: Option<&mut Round>) {
        if let Some(round) = running {
            round.waiting.remove(&member);
        }
        if let Next::Due(members) = &mut self.next {
            members.remove(&member);
        }
    }

    /// Whether a round trip is to begin for this.
    pub(super) const fn is_due(&self) -> bool {
        matches!(self.next, Next::Due(_))
    }

    /// One begins, whatever for: it serves all who have asked so far.
    pub(super) fn begin(&mut self, goal: Option<BTreeSet<Channel>>) -> Round {
        let waiting = match std::mem::take(&mut self.next) {
            Next::NotDue => BTreeSet::new(),
            Next::Due(members) => members,
        };
        Round { goal, waiting, pace: Pace::Prompt }
    }

    /// It has ended.
    pub(super) fn answered(&mut self, round: &Round, actions: &mut Vec<Action>) {
        self.pace = round.pace;
        actions.extend(round.waiting.iter().copied().map(Action::Abreast));
    }

    /// It takes too long.
    pub(super) fn late(&mut self, round: &mut Round, actions: &mut Vec<Action>) {
        round.pace = Pace::Late;
        self.give_up(Some(round), actions);
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&mut self, running: Option<&mut Round>, actions: &mut Vec<Action>) {
        let mut members = running.map(|round| std::mem::take(&mut round.waiting)).unwrap_or_default();
        if let Next::Due(more) = std::mem::take(&mut self.next) {
            members.extend(more);
        }
        actions.extend(members.into_iter().map(Action::Abreast));
    }
}
