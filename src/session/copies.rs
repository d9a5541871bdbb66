//! Copies of a client's statements under their true names, which the server has because SQL has named them.
//!
//! A client's statement is on servers under a name of ours, where PostgreSQL holds it to what it yielded. `EXECUTE` runs what
//! has its true name: a copy, parsed for the purpose, that must be held to the same.

use std::sync::Arc;

use crate::wire::state::StandIn;

/// What a server has under a name of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The client's statement, but whether it yields what it did is not known.
    Unasked,
    /// It yields what it did where it was parsed first.
    Alike,
    /// It yields something else.
    Changed,
    /// Nothing: the server has refused to parse it, by this ErrorResponse, if that is kept.
    Refused(Option<Arc<[u8]>>),
    /// Something that fails where the statement would.
    StandIn(StandIn),
    /// Something that has the name and is not to be run: an empty statement, which can be parsed wherever the client's
    /// could not. So it is taken, and can be deallocated.
    Placeholder,
}

/// The names, each with what the server has there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    known: Vec<(Box<[u8]>, Copy)>,
    /// How many stand-ins there have been.
    stand_ins: usize,
}

impl Copies {
    /// What the server has under this name; `None`: nothing that is known.
    pub fn get(&self, name: &[u8]) -> Option<&Copy> {
        self.known.iter().find(|(known, _)| **known == *name).map(|(_, copy)| copy)
    }

    /// It has this.
    pub fn put(&mut self, name: &[u8], copy: Copy) {
        match self.known.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => *known = copy,
            None => self.known.push((name.into(), copy)),
        }
    }

    /// It has nothing. What was known; `None`: the same.
    pub fn remove(&mut self, name: &[u8]) -> Option<Copy> {
        let place = self.known.iter().position(|(known, _)| **known == *name)?;
        Some(self.known.swap_remove(place).1)
    }

    /// The names under which it has something.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let there = self.known.iter().filter(|(_, copy)| !matches!(copy, Copy::Refused(_)));
        there.map(|(name, _)| &**name)
    }

    /// What is to stand in for a statement, which the server does not have as it was.
    pub fn next_stand_in(&mut self, said: Option<Arc<[u8]>>) -> StandIn {
        let stand_in = StandIn::for_copy(self.stand_ins, said);
        self.stand_ins += 1;
        stand_in
    }

    /// What is told instead of an ErrorResponse that names a stand-in.
    pub fn meant_by(&self, message: &[u8]) -> Option<Arc<[u8]>> {
        self.known.iter().find_map(|(_, copy)| match copy {
            Copy::StandIn(stand_in) => stand_in.meant_by(message),
            _ => None,
        })
    }

    /// Adds what there was before.
    pub(super) fn join(&mut self, before: Self) {
        self.stand_ins = self.stand_ins.max(before.stand_ins);
        for (name, copy) in before.known {
            if self.get(&name).is_none() {
                self.put(&name, copy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        error::{PgError, SqlState},
        pipeline::Refusal,
    };

    fn error(text: &str) -> Vec<u8> {
        let mut message = Vec::new();
        PgError::error(SqlState::SYNTAX_ERROR, text.to_owned()).encode(&mut message);
        message
    }

    /// The error that its text leads to.
    fn failure(stand_in: &StandIn) -> Vec<u8> {
        let mut parse = Vec::new();
        stand_in.put_copy(b"q", &[0, 0], &mut parse);
        let text = String::from_utf8_lossy(&parse).into_owned();
        let mark = text.split('\'').find(|part| part.contains("stands in")).unwrap().to_owned();
        error(&format!("invalid input syntax for type integer: \"{mark}\""))
    }

    #[test]
    fn each_stand_in_is_told_as_what_it_is_for() {
        let mut copies = Copies::default();
        copies.put(b"a", Copy::Alike);
        copies.put(b"b", Copy::Refused(Some(error("no such table").into())));
        assert_eq!(copies.names().collect::<Vec<_>>(), [b"a"]);
        let stand_in = |copies: &mut Copies, name: &[u8], said| {
            let stand_in = copies.next_stand_in(said);
            copies.put(name, Copy::StandIn(stand_in.clone()));
            stand_in
        };
        let changed = stand_in(&mut copies, b"a", None);
        let Some(Copy::Refused(said)) = copies.get(b"b").cloned() else { panic!() };
        let refused = stand_in(&mut copies, b"b", said);
        let mut expected = Vec::new();
        Refusal::ResultChanged.encode(&mut expected);
        assert_eq!(copies.meant_by(&failure(&changed)).as_deref(), Some(&*expected));
        assert_eq!(copies.meant_by(&failure(&refused)).as_deref(), Some(&*error("no such table")));
        assert_eq!(copies.meant_by(&error("division by zero")), None);
        // Another in the same place is another.
        let again = stand_in(&mut copies, b"a", None);
        assert_eq!(copies.meant_by(&failure(&changed)), None);
        assert!(copies.meant_by(&failure(&again)).is_some());
        copies.remove(b"a");
        assert_eq!(copies.names().collect::<Vec<_>>(), [b"b"]);
    }
}
