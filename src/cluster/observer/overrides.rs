//! What an operator has ordered. It goes before what the store says, never before what a server says of itself.

use std::collections::BTreeMap;

use crate::{
    clock::Moment,
    cluster::{
        fact::Command,
        ids::MemberName,
        topology::{Mark, Marked, Named},
    },
};

/// An operator's orders in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    pin: Option<Named>,
    /// By name, whether such a member is known or not: it may come back. One entry for each order.
    marks: BTreeMap<MemberName, Marked>,
    hold: Option<(MemberName, Moment)>,
}

/// Members that may be marked: more than any cluster has.
const MARKS_MAX: usize = 256;

impl Overrides {
    /// Takes in an order. Repeating one does not make it younger.
    pub(super) fn obey(&mut self, command: &Command, now: Moment) {
        match command {
            Command::Pin(None) => self.pin = None,
            Command::Pin(Some(member)) => {
                if self.pin.as_ref().is_none_or(|pin| pin.member != *member) {
                    self.pin = Some(Named { member: member.clone(), elected_at: 0, seen_at: now });
                }
            }
            Command::Mark(member, None) => {
                self.marks.remove(member);
            }
            Command::Mark(member, Some(mark)) => {
                let known = self.marks.get(member);
                let is_new = known.is_none_or(|known| known.mark != *mark);
                if is_new && (known.is_some() || self.marks.len() < MARKS_MAX) {
                    self.marks.insert(member.clone(), Marked { mark: *mark, since: now });
                }
            }
            Command::Hold(hold) => self.hold.clone_from(hold),
        }
    }

    /// Who is pinned as leader, and since when.
    pub(super) const fn pin(&self) -> Option<&Named> {
        self.pin.as_ref()
    }

    /// Whether a member is taken out.
    pub(super) fn mark(&self, member: &MemberName) -> Option<Marked> {
        self.marks.get(member).copied()
    }

    /// Whether a member is marked down.
    pub(super) fn is_down(&self, member: &MemberName) -> bool {
        self.mark(member).is_some_and(|marked| marked.mark == Mark::Down)
    }

    /// Until when new writes to this leader wait.
    pub(super) fn hold_until(&self, leader: &MemberName) -> Option<Moment> {
        self.hold.as_ref().filter(|(member, _)| member == leader).map(|(_, until)| *until)
    }
}
