//! What is known of who has touched a session.

use crate::sql::touches::Kinds;

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

/// Whose draws from sequences a server may remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sequences {
    /// The client's own, if anybody's: nobody else has had the server since they were forgotten.
    Own,
    /// Another client's.
    #[default]
    MayBeOthers,
}
