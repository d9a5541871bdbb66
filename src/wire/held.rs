//! The statements that one server has prepared for us.

use std::sync::Arc;

use super::{
    schema::When,
    statements::{Map, Scope, Statement},
};

/// On a server that holds all it may, one in so many texts without a name takes another statement's place: more texts
/// than there is room for must not cost more than they would without any room.
const KNOCKS: u32 = 8;

/// The statements that one server has prepared for us, the least recently used to go first.
#[derive(Debug, Default)]
pub struct ServerStatements {
    held: Map<u64, Held>,
    /// Of these, those that stand for unnamed ones, by the fingerprint of what a client sends for them.
    unnamed: Map<u64, Parsed>,
    uses: u64,
    parses: u64,
    /// Uses and parses that were told of.
    told: (u64, u64),
    knocks: u32,
}

#[derive(Debug)]
struct Held {
    used_at: u64,
    /// Where it stands among the unnamed ones, if it does.
    fingerprint: Option<u64>,
    worth: Worth,
}

/// Whether what is prepared there is what clients take it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is.
    Sound,
    /// The schema has changed since they parsed it: it must be closed before it is prepared again.
    Spoilt,
}

impl Held {
    const fn new(used_at: u64, worth: Worth) -> Self {
        Self { used_at, fingerprint: None, worth }
    }
}

#[derive(Debug)]
struct Parsed {
    statement: Arc<Statement>,
    when: When,
}

/// What a client sends as its unnamed statement.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// A number for all of the rest.
    pub fingerprint: u64,
    /// What its meaning depends on.
    pub scope: &'a Scope,
    /// The text.
    pub query: &'a [u8],
    /// The parameter types as they stand on the wire.
    pub types: &'a [u8],
}

/// Whether a server has what a client sends as its unnamed statement.
#[derive(Clone, Debug)]
pub enum Known {
    /// It has.
    Fresh(Arc<Statement>),
    /// It has, but parsed too long ago, or before the schema changed.
    Stale(Arc<Statement>),
    /// It has not.
    No,
}

/// What a server must hear before a statement can be bound there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// Nothing: it has it.
    Ready,
    /// A Parse.
    Parse,
    /// A Close of this statement, of this worth, then a Parse: it holds as many as it may, or the statement itself is spoilt.
    CloseThenParse(u64, Worth),
}

impl ServerStatements {
    /// Whether it has `id`.
    pub fn has(&self, id: u64) -> bool {
        self.held.get(&id).is_some_and(|held| held.worth == Worth::Sound)
    }

    /// Uses statement `id` there, which must be one of at most `max`.
    pub fn use_statement(&mut self, id: u64, max: usize) -> Prepare {
        self.uses += 1;
        let uses = self.uses;
        if let Some(held) = self.held.get_mut(&id) {
            held.used_at = uses;
            if held.worth == Worth::Sound {
                return Prepare::Ready;
            }
            held.worth = Worth::Sound;
            self.parses += 1;
            return Prepare::CloseThenParse(id, Worth::Spoilt);
        }
        let mut prepare = Prepare::Parse;
        if self.held.len() >= max.max(1) {
            let oldest = self.held.iter().min_by_key(|(id, held)| (held.used_at, **id));
            if let Some((oldest, worth)) = oldest.map(|(id, held)| (*id, held.worth)) {
                self.forget(oldest);
                prepare = Prepare::CloseThenParse(oldest, worth);
            }
        }
        self.held.insert(id, Held::new(uses, Worth::Sound));
        self.parses += 1;
        prepare
    }

    /// Whether it has what a client sends as its unnamed statement.
    #[inline]
    pub fn unnamed(&self, sent: &Sent<'_>, when: When) -> Known {
        let Some(parsed) = self.unnamed.get(&sent.fingerprint) else { return Known::No };
        if !parsed.statement.is(sent.scope, sent.query, sent.types) {
            return Known::No;
        }
        if parsed.when.is_fresh(when) {
            Known::Fresh(parsed.statement.clone())
        } else {
            Known::Stale(parsed.statement.clone())
        }
    }

    /// Whether there is room for one more text without a name, of at most `max` statements; or if there is none,
    /// whether it is its turn to take another's.
    pub fn admits(&mut self, max: usize) -> bool {
        if self.held.len() < max {
            return true;
        }
        self.knocks = (self.knocks + 1) % KNOCKS;
        self.knocks == 0
    }

    /// A statement in use there stands for what clients send under this fingerprint from now on.
    pub fn stands_for(&mut self, fingerprint: u64, statement: &Arc<Statement>, when: When) {
        if let Some(held) = self.held.get_mut(&statement.id()) {
            held.fingerprint = Some(fingerprint);
            self.unnamed.insert(fingerprint, Parsed { statement: statement.clone(), when });
        }
    }

    /// How often statements were used since this was last asked, and how often that needed a Parse.
    pub fn news(&mut self) -> (u64, u64) {
        let before = std::mem::replace(&mut self.told, (self.uses, self.parses));
        (self.uses - before.0, self.parses - before.1)
    }

    /// It turned out not to have `id`.
    pub fn forget(&mut self, id: u64) {
        if let Some(Held { fingerprint: Some(fingerprint), .. }) = self.held.remove(&id)
            && self.unnamed.get(&fingerprint).is_some_and(|parsed| parsed.statement.id() == id)
        {
            self.unnamed.remove(&fingerprint);
        }
    }

    /// It turned out still to have `id`.
    pub fn remember(&mut self, id: u64) {
        self.held.insert(id, Held::new(self.uses, Worth::Sound));
    }

    /// What it has as `id` is not what clients take that for, or not for sure.
    pub fn spoil(&mut self, id: u64) {
        if self.held.contains_key(&id) {
            self.forget(id);
            self.held.insert(id, Held::new(self.uses, Worth::Spoilt));
        }
    }

    /// It has none any more.
    pub fn clear(&mut self) {
        self.held.clear();
        self.unnamed.clear();
    }

    /// How many it has.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        wire::{
            conduct::{Conduct, Form},
            statements::{Catalog, Source},
        },
    };

    #[test]
    fn the_least_recently_used_goes() {
        let mut server = ServerStatements::default();
        assert_eq!(server.use_statement(1, 2), Prepare::Parse);
        assert_eq!(server.use_statement(2, 2), Prepare::Parse);
        assert_eq!(server.news(), (2, 2));
        assert_eq!(server.use_statement(1, 2), Prepare::Ready);
        assert_eq!(server.use_statement(3, 2), Prepare::CloseThenParse(2, Worth::Sound));
        assert_eq!((server.news(), server.news()), ((2, 1), (0, 0)));
        assert!(server.has(1) && !server.has(2) && server.has(3));
    }

    #[test]
    fn what_is_spoilt_is_closed_before_it_is_prepared_again() {
        let mut server = ServerStatements::default();
        server.use_statement(1, 2);
        server.spoil(1);
        assert!(!server.has(1) && server.len() == 1);
        assert_eq!(server.use_statement(1, 2), Prepare::CloseThenParse(1, Worth::Spoilt));
        assert_eq!(server.use_statement(1, 2), Prepare::Ready);
        server.spoil(1);
        assert_eq!(server.use_statement(2, 1), Prepare::CloseThenParse(1, Worth::Spoilt));
    }

    #[test]
    fn what_stands_for_an_unnamed_statement_grows_old() {
        let (catalog, mut server) = (Catalog::default(), ServerStatements::default());
        let (scope, other): (Scope, Scope) = ("a".into(), "b".into());
        let when = |millis: u64, generation| When { now: Moment::from_nanos(millis * 1_000_000), generation };
        let (conduct, form) = (Conduct::default(), Form::Planned);
        let source = Source { scope: &scope, query: b"select 1", types: &[0, 0], conduct, form };
        let statement = catalog.unnamed(&source, when(0, 1));
        let sent = |scope| Sent { fingerprint: 5, scope, query: b"select 1", types: &[0, 0] };
        server.use_statement(statement.id(), 2);
        assert!(matches!(server.unnamed(&sent(&scope), when(0, 1)), Known::No));
        server.stands_for(5, &statement, when(0, 1));
        assert!(matches!(server.unnamed(&sent(&scope), when(999, 1)), Known::Fresh(_)));
        assert!(matches!(server.unnamed(&sent(&scope), when(1000, 1)), Known::Stale(_)));
        assert!(matches!(server.unnamed(&sent(&scope), when(0, 2)), Known::Stale(_)));
        assert!(matches!(server.unnamed(&sent(&other), when(0, 1)), Known::No));
        // It goes as any other does.
        server.use_statement(1000, 2);
        server.use_statement(1001, 2);
        assert!(matches!(server.unnamed(&sent(&scope), when(0, 1)), Known::No));
        assert!(server.unnamed.is_empty());
    }

    #[test]
    fn a_full_server_admits_few() {
        let mut server = ServerStatements::default();
        assert!(server.admits(1));
        server.use_statement(1, 1);
        assert_eq!((0..80).filter(|_| server.admits(1)).count(), 10);
    }
}
