//! The statements that one server has prepared for us.
//!
//! It holds as many as it may (`max_prepared_statements`), whoever's they are, and the places are shared fairly. What is in
//! use there is the client's that has used it last. Where there is no room a newcomer takes the place that was not used
//! for longest, of the client that has most places, the newcomer among its own; or, whoever's it is, one that
//! was not used for very long (`TURNS`). So a client with thousands of statements takes places from itself, and from
//! those who have more than it, and never those that another has few of and uses.

use std::{cmp::Reverse, sync::Arc};

use super::{
    schema::When,
    statements::{Map, Scope, Statement, fingerprint},
};

/// A place may be taken from a client that has fewer than others when it was not used for so many uses of the server's
/// statements for each place that there is: clients go, and what they used is nobody's then. One that is used more often
/// costs its client no second Parse; one that is used less, a Parse in so many uses.
const TURNS: u64 = 16;

/// On a server that holds all it may, one in so many texts without a name takes another statement's place: more texts
/// than there is room for must not cost more than they would without any room.
const KNOCKS: u64 = 8;

/// Tells the clients of a server apart: the process id that each was told.
pub type Client = u32;

/// No client.
const NOBODY: Client = 0;

/// The statements that one server has prepared for us.
#[derive(Debug, Default)]
pub struct ServerStatements {
    held: Map<u64, Held>,
    /// Of these, those that stand for unnamed ones, by the fingerprint of what a client sends for them.
    unnamed: Map<u64, Parsed>,
    uses: u64,
    parses: u64,
    /// Uses and parses that were told of.
    told: (u64, u64),
    knocks: u64,
}

#[derive(Debug)]
struct Held {
    used_at: u64,
    /// By whom.
    client: Client,
    /// Where it stands among the unnamed ones, if it does.
    fingerprint: Option<u64>,
    worth: Worth,
}

/// What a client has there, and what is to come.
#[derive(Debug, Default)]
struct Holding {
    places: usize,
    oldest: Option<Oldest>,
}

/// A statement that was not used for longer than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Oldest {
    used_at: u64,
    id: u64,
    worth: Worth,
}

/// Whether what is prepared there is what clients take it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// It is.
    Sound,
    /// The schema has changed since they parsed it: it must be closed before it is prepared again.
    Spoilt,
}

impl Held {
    const fn new(used_at: u64, client: Client, worth: Worth) -> Self {
        Self { used_at, client, fingerprint: None, worth }
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

    /// A client uses statement `id` there, which must be one of at most `max`.
    pub fn use_statement(&mut self, id: u64, client: Client, max: usize) -> Prepare {
        self.uses += 1;
        let uses = self.uses;
        if let Some(held) = self.held.get_mut(&id) {
            (held.used_at, held.client) = (uses, client);
            if held.worth == Worth::Sound {
                return Prepare::Ready;
            }
            held.worth = Worth::Sound;
            self.parses += 1;
            return Prepare::CloseThenParse(id, Worth::Spoilt);
        }
        let mut prepare = Prepare::Parse;
        if self.held.len() >= max.max(1)
            && let Some((given_up, worth)) = self.gives_way(client, max)
        {
            self.forget(given_up);
            prepare = Prepare::CloseThenParse(given_up, worth);
        }
        self.held.insert(id, Held::new(uses, client, Worth::Sound));
        self.parses += 1;
        prepare
    }

    /// What gives way to a newcomer of this client's.
    #[cold]
    fn gives_way(&self, client: Client, max: usize) -> Option<(u64, Worth)> {
        let mut holdings = Map::<Client, Holding>::default();
        holdings.insert(client, Holding { places: 1, oldest: None });
        let mut oldest = Oldest { used_at: u64::MAX, id: 0, worth: Worth::Sound };
        for (id, held) in &self.held {
            let this = Oldest { used_at: held.used_at, id: *id, worth: held.worth };
            let holding = holdings.entry(held.client).or_default();
            holding.places += 1;
            holding.oldest = Some(holding.oldest.map_or(this, |known| known.min(this)));
            oldest = oldest.min(this);
        }
        let idle = self.uses.saturating_sub(oldest.used_at);
        let taken = if idle > TURNS.saturating_mul(max as u64) {
            Some(oldest)
        } else {
            let most =
                holdings.values().filter_map(|holding| Some((holding.places, Reverse(holding.oldest?))));
            most.max().map(|(_, Reverse(oldest))| oldest)
        };
        taken.map(|taken| (taken.id, taken.worth))
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
    /// whether it is its turn to take another's. Not just every eighth: in what order clients come must not decide which
    /// of them never has a turn.
    pub fn admits(&mut self, max: usize) -> bool {
        if self.held.len() < max {
            return true;
        }
        self.knocks += 1;
        fingerprint(0, &[&self.knocks.to_ne_bytes()]).is_multiple_of(KNOCKS)
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

    /// It is given `next` in the place of `id`.
    pub fn replace(&mut self, id: u64, next: u64) {
        let client = self.held.get(&id).map_or(NOBODY, |held| held.client);
        self.forget(id);
        self.uses += 1;
        self.parses += 1;
        self.held.insert(next, Held::new(self.uses, client, Worth::Sound));
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
        self.held.insert(id, Held::new(self.uses, NOBODY, Worth::Sound));
    }

    /// What it has as `id` is not what clients take that for, or not for sure.
    pub fn spoil(&mut self, id: u64) {
        if let Some(client) = self.held.get(&id).map(|held| held.client) {
            self.forget(id);
            self.held.insert(id, Held::new(self.uses, client, Worth::Spoilt));
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
mod tests;
