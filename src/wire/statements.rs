//! Prepared statements: a client's name for one, and the name under which servers know it.
//!
//! A server's statement is shared by all clients for which it means the same: same text, same parameter types, and
//! the same [`Scope`], which holds every setting on which parsing depends. The server names are our own
//! (`pgsteer_…`), so a client's name never collides with another's.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::{
    conduct::Conduct,
    frame::{put, put_cstr},
};

type Map<K, V> = std::collections::HashMap<K, V, RandomState>;

/// Everything besides text and types that decides what a statement means: user, database, start-up settings and
/// the settings that bear on parsing, as one text.
pub type Scope = Arc<str>;

/// A client's statement as a server may have it prepared.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    key: Key,
    conduct: Conduct,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    scope: Scope,
    query: Arc<[u8]>,
    /// The parameter types as they stand on the wire: their count, then each oid.
    types: Arc<[u8]>,
}

impl Statement {
    /// Its number; never used twice in a process.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What running it may do.
    pub const fn conduct(&self) -> Conduct {
        self.conduct
    }

    /// Whether it was made under this scope.
    pub fn is_of(&self, scope: &Scope) -> bool {
        Arc::ptr_eq(&self.key.scope, scope) || self.key.scope == *scope
    }

    /// Its text.
    pub fn query(&self) -> &[u8] {
        &self.key.query
    }

    /// Appends the Parse message that gives a server this statement under its server name.
    pub fn put_parse(&self, out: &mut Vec<u8>) {
        put(out, b'P', |out| {
            self.put_name(out);
            put_cstr(out, &self.key.query);
            out.extend_from_slice(&self.key.types);
        });
    }

    /// Appends the Parse message that makes it a server's unnamed statement.
    pub fn put_parse_unnamed(&self, out: &mut Vec<u8>) {
        put(out, b'P', |out| {
            out.push(0);
            put_cstr(out, &self.key.query);
            out.extend_from_slice(&self.key.types);
        });
    }

    /// Appends its server name and the terminating zero.
    pub fn put_name(&self, out: &mut Vec<u8>) {
        put_server_name(out, self.id);
    }
}

/// What our names for servers' statements begin with.
const SERVER_PREFIX: &[u8] = b"pgsteer_";

/// Whether a client's name for a statement that it does not have could be taken for one of ours: where in the name it
/// must be changed so that it cannot.
pub fn taken_for_ours(name: &[u8]) -> Option<usize> {
    name.starts_with(SERVER_PREFIX).then_some(SERVER_PREFIX.len() - 1)
}

fn put_server_name(out: &mut Vec<u8>, id: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(SERVER_PREFIX);
    let digits = (u64::BITS - id.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(DIGITS[(id >> (place * 4)) as usize & 15]);
    }
    out.push(0);
}

/// Appends the Close message for the server's statement `id`.
pub fn put_close(out: &mut Vec<u8>, id: u64) {
    put(out, b'C', |out| {
        out.push(b'S');
        put_server_name(out, id);
    });
}

/// Who may share a statement with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Every client in the same scope that sends the same text and types.
    Scope,
    /// Nobody: what it means was settled when it was parsed (a literal `now`, settings that are not followed).
    Nobody,
}

/// All statements that clients hold, so that the same one is kept once.
#[derive(Debug, Default)]
pub struct Catalog {
    shared: Mutex<Shelf>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelf {
    statements: Map<Key, Weak<Statement>>,
    /// Dead entries are swept when the shelf has grown to this.
    sweep_at: usize,
}

impl Catalog {
    /// The statement for this text, or a new one.
    pub fn statement(
        &self,
        scope: &Scope,
        query: &[u8],
        types: &[u8],
        conduct: Conduct,
        sharing: Sharing,
    ) -> Arc<Statement> {
        let key = Key { scope: scope.clone(), query: query.into(), types: types.into() };
        if sharing == Sharing::Nobody {
            return self.make(key, conduct);
        }
        let mut shelf = self.shared.lock();
        if let Some(known) = shelf.statements.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if shelf.statements.len() >= shelf.sweep_at {
            shelf.statements.retain(|_, statement| statement.strong_count() > 0);
            shelf.sweep_at = (shelf.statements.len() * 2).max(256);
        }
        let statement = self.make(key.clone(), conduct);
        shelf.statements.insert(key, Arc::downgrade(&statement));
        statement
    }

    /// The same statement under another scope: a client that changed its settings since it prepared it.
    pub fn rescoped(&self, statement: &Statement, scope: &Scope, sharing: Sharing) -> Arc<Statement> {
        self.statement(scope, &statement.key.query, &statement.key.types, statement.conduct, sharing)
    }

    fn make(&self, key: Key, conduct: Conduct) -> Arc<Statement> {
        Arc::new(Statement { id: self.next_id.fetch_add(1, Ordering::Relaxed) + 1, key, conduct })
    }
}

/// The named statements of one client.
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: Map<Box<[u8]>, Arc<Statement>>,
}

impl ClientStatements {
    /// What the client calls `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.by_name.get(name)
    }

    /// The client prepared `name`.
    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.by_name.insert(name.into(), statement);
    }

    /// The client closed `name`.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Statement>> {
        self.by_name.remove(name)
    }

    /// The client has none any more.
    pub fn clear(&mut self) {
        self.by_name = Map::default();
    }

    /// How many it has.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The statements that one server has prepared for us, the least recently used to go first.
#[derive(Debug, Default)]
pub struct ServerStatements {
    used_at: Map<u64, u64>,
    uses: u64,
    parses: u64,
    /// Uses and parses that were told of.
    told: (u64, u64),
}

/// What a server must hear before a statement can be bound there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// Nothing: it has it.
    Ready,
    /// A Parse.
    Parse,
    /// A Close of this statement, then a Parse: it holds as many as it may.
    CloseThenParse(u64),
}

impl ServerStatements {
    /// Whether it has `id`.
    pub fn has(&self, id: u64) -> bool {
        self.used_at.contains_key(&id)
    }

    /// Uses statement `id` there, which must be one of at most `max`.
    pub fn use_statement(&mut self, id: u64, max: usize) -> Prepare {
        self.uses += 1;
        let uses = self.uses;
        if let Some(used_at) = self.used_at.get_mut(&id) {
            *used_at = uses;
            return Prepare::Ready;
        }
        let mut prepare = Prepare::Parse;
        if self.used_at.len() >= max.max(1) {
            let oldest = self.used_at.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.used_at.remove(&oldest);
                prepare = Prepare::CloseThenParse(oldest);
            }
        }
        self.used_at.insert(id, uses);
        self.parses += 1;
        prepare
    }

    /// How often statements were used since this was last asked, and how often that needed a Parse.
    pub fn news(&mut self) -> (u64, u64) {
        let before = std::mem::replace(&mut self.told, (self.uses, self.parses));
        (self.uses - before.0, self.parses - before.1)
    }

    /// It turned out not to have `id`.
    pub fn forget(&mut self, id: u64) {
        self.used_at.remove(&id);
    }

    /// It turned out still to have `id`.
    pub fn remember(&mut self, id: u64) {
        self.used_at.insert(id, self.uses);
    }

    /// It has none any more.
    pub fn clear(&mut self) {
        self.used_at.clear();
    }

    /// How many it has.
    pub fn len(&self) -> usize {
        self.used_at.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.used_at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_needs_the_same_text_types_and_scope() {
        let catalog = Catalog::default();
        let scope: Scope = "a".into();
        let make = |scope: &Scope, query: &str, types: &[u8], sharing| {
            catalog.statement(scope, query.as_bytes(), types, Conduct::default(), sharing)
        };
        let first = make(&scope, "select 1", &[0, 0], Sharing::Scope);
        for (scope, query, types, sharing, same) in [
            ("a", "select 1", &[0, 0][..], Sharing::Scope, true),
            ("b", "select 1", &[0, 0][..], Sharing::Scope, false),
            ("a", "select 2", &[0, 0][..], Sharing::Scope, false),
            ("a", "select 1", &[0, 1, 0, 0, 0, 23][..], Sharing::Scope, false),
            ("a", "select 1", &[0, 0][..], Sharing::Nobody, false),
        ] {
            let other = make(&scope.into(), query, types, sharing);
            assert_eq!(other.id() == first.id(), same, "{scope} {query}");
        }
        let mut out = Vec::new();
        first.put_parse(&mut out);
        assert_eq!(out, b"P\0\0\0\x19pgsteer_1\0select 1\0\0\0");
    }

    #[test]
    fn dead_statements_are_swept() {
        let catalog = Catalog::default();
        for n in 0..10_000 {
            let query = format!("select {n}");
            catalog.statement(&"s".into(), query.as_bytes(), &[0, 0], Conduct::default(), Sharing::Scope);
        }
        assert!(catalog.shared.lock().statements.len() <= 512);
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut server = ServerStatements::default();
        assert_eq!(server.use_statement(1, 2), Prepare::Parse);
        assert_eq!(server.use_statement(2, 2), Prepare::Parse);
        assert_eq!(server.news(), (2, 2));
        assert_eq!(server.use_statement(1, 2), Prepare::Ready);
        assert_eq!(server.use_statement(3, 2), Prepare::CloseThenParse(2));
        assert_eq!((server.news(), server.news()), ((2, 1), (0, 0)));
        assert!(server.has(1) && !server.has(2) && server.has(3));
    }
}
