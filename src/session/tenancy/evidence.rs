//! Which statements have touched a session, and how: for the log of clients that keep a server, and for what follows from it.

use super::Tenancy;
use crate::{session::inquiry::UNREADABLE, sql::touches::Kinds};

/// The last statements that touched the session, each by its fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct Evidence(Vec<(Kinds, u64)>);

impl Evidence {
    /// So many are remembered.
    const STATEMENTS_MAX: usize = 8;

    /// A statement touches these kinds of state.
    pub(in crate::session) fn add(&mut self, kinds: Kinds, fingerprint: u64) {
        self.0.retain(|known| *known != (kinds, fingerprint));
        if self.0.len() == Self::STATEMENTS_MAX {
            self.0.remove(0);
        }
        self.0.push((kinds, fingerprint));
    }

    /// The last one that has shown this kind of state, or may have done anything.
    pub(in crate::session) fn of(&self, kind: Kinds) -> Option<u64> {
        const ANYTHING: Kinds = Kinds::OPAQUE.and(Kinds::CALLS).and(Kinds::USES_PREPARED);
        let last =
            |kinds| self.0.iter().rev().find(|(known, _)| known.has_any(kinds)).map(|(_, print)| *print);
        last(kind).or_else(|| last(ANYTHING))
    }
}

impl Tenancy {
    /// Whether SQL may have prepared a statement of this name during this lease, or some are there that cannot be carried.
    #[inline]
    pub(in crate::session) fn may_have_prepared(&self, name: &[u8]) -> bool {
        const UNKNOWN: Kinds = Kinds::CALLS.and(Kinds::OPAQUE);
        self.pins.has_any(UNKNOWN.and(Kinds::PREPARED).and(UNREADABLE))
            || self
                .touched
                .iter()
                .any(|touched| touched.kinds().has_any(UNKNOWN) || touched.may_have_prepared(name))
    }

    /// Whether the server was given the client's statement of this name under its true name.
    pub(in crate::session) fn has_truly(&self, name: &[u8]) -> bool {
        let mut touched = self.touched.iter().chain(&self.unread);
        touched.any(|touched| touched.copies.names().any(|known| *known == *name))
    }
}

/// Whose draws from sequences a server may remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sequences {
    /// The client's own, if anybody's: nobody else has had the server since they were forgotten.
    Own,
    /// Another client's.
    #[default]
    MayBeOthers,
}
