//! Prepared statements: a client's name for one, and the name under which servers know it.
//!
//! A server's statement is shared by all clients for which it means the same: same text, same parameter types, and
//! the same [`Scope`], which holds every setting on which parsing depends. The server names are our own
//! (`pgsteer_…`), so a client's name never collides with another's.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::{
    conduct::Conduct,
    frame::{put, put_cstr},
    schema::Schema,
    sightings::Sightings,
};

pub(super) type Map<K, V> = std::collections::HashMap<K, V, RandomState>;

/// Everything besides text and types that decides what a statement means: user, database, start-up settings and
/// the settings that bear on parsing, as one text.
#[derive(Clone, Debug)]
pub struct Scope {
    text: Arc<str>,
    fingerprint: u64,
}

impl Scope {
    /// A number that tells it from others, nearly always.
    #[inline]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl From<&str> for Scope {
    fn from(text: &str) -> Self {
        Self { text: text.into(), fingerprint: fingerprint(0, &[text.as_bytes()]) }
    }
}

impl From<String> for Scope {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq for Scope {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
            || (self.fingerprint == other.fingerprint && self.text == other.text)
    }
}

impl Eq for Scope {}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

/// A number for a text, the same in every run.
#[inline]
pub fn fingerprint(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::with_seed(seed).build_hasher();
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// A client's statement as a server may have it prepared.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    key: Key,
    conduct: Conduct,
    /// What was found out of it last by those who split reads from writes; 0: nothing.
    pub verdict: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    scope: Scope,
    query: Arc<[u8]>,
    /// The parameter types as they stand on the wire: their count, then each oid.
    types: Arc<[u8]>,
    name: Name,
}

/// Whether clients gave it a name. What has one is parsed once for all its life; what has none is parsed anew when it
/// has grown old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Given,
    None,
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
        self.key.scope == *scope
    }

    /// Whether it is what a client would get that sends this.
    #[inline]
    pub fn is(&self, scope: &Scope, query: &[u8], types: &[u8]) -> bool {
        *self.key.query == *query && *self.key.types == *types && self.is_of(scope)
    }

    /// The number for all that it is, as [`fingerprint`] makes it of what a client sends.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.key.scope.fingerprint, &[&self.key.query, &self.key.types])
    }

    /// Whether it is a client's unnamed statement.
    pub fn is_unnamed(&self) -> bool {
        self.key.name == Name::None
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

    /// Appends the Parse message that gives a server this statement under a name of the client's.
    pub fn put_parse_as(&self, name: &[u8], out: &mut Vec<u8>) {
        put(out, b'P', |out| {
            put_cstr(out, name);
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
pub const SERVER_PREFIX: &[u8] = b"pgsteer_";

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

/// Appends the Parse message that takes the name [`TAKEN`], for nothing.
pub fn put_parse_taken(out: &mut Vec<u8>) {
    put(out, b'P', |out| {
        put_server_name(out, TAKEN);
        out.extend_from_slice(&[0; 3]);
    });
}

/// Appends a Parse message under the name [`TAKEN`]; `rest` is what follows the name.
pub fn put_parse_twice(out: &mut Vec<u8>, rest: &[u8]) {
    put(out, b'P', |out| {
        put_server_name(out, TAKEN);
        out.extend_from_slice(rest);
    });
}

/// The number of a statement that is empty and there for its name alone: parsing anything under it fails as it does under
/// any name in use.
pub const TAKEN: u64 = 0;

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
    /// Texts without a name that were seen lately.
    pub sightings: Sightings,
    schemas: Mutex<BTreeMap<String, Weak<Schema>>>,
}

#[derive(Debug, Default)]
struct Shelf {
    statements: Map<Key, Weak<Statement>>,
    /// Dead entries are swept when the shelf has grown to this.
    sweep_at: usize,
}

impl Catalog {
    /// The schema of a database.
    pub fn schema(&self, database: &str) -> Arc<Schema> {
        let mut schemas = self.schemas.lock();
        if let Some(known) = schemas.get(database).and_then(Weak::upgrade) {
            return known;
        }
        schemas.retain(|_, schema| schema.strong_count() > 0);
        let schema = Arc::default();
        schemas.insert(database.to_owned(), Arc::downgrade(&schema));
        schema
    }

    /// The statement for this text, or a new one.
    pub fn statement(
        &self,
        scope: &Scope,
        query: &[u8],
        types: &[u8],
        conduct: Conduct,
        sharing: Sharing,
    ) -> Arc<Statement> {
        let key = Key { scope: scope.clone(), query: query.into(), types: types.into(), name: Name::Given };
        self.keep(key, conduct, sharing)
    }

    /// The same for a text that was given no name. Those are kept apart, because they do not keep what they meant when
    /// they were parsed first.
    pub fn unnamed(&self, scope: &Scope, query: &[u8], types: &[u8], conduct: Conduct) -> Arc<Statement> {
        let key = Key { scope: scope.clone(), query: query.into(), types: types.into(), name: Name::None };
        self.keep(key, conduct, Sharing::Scope)
    }

    fn keep(&self, key: Key, conduct: Conduct, sharing: Sharing) -> Arc<Statement> {
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
        self.keep(Key { scope: scope.clone(), ..statement.key.clone() }, statement.conduct, sharing)
    }

    fn make(&self, key: Key, conduct: Conduct) -> Arc<Statement> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Statement { id, key, conduct, verdict: AtomicU64::new(0) })
    }
}

/// A client's unnamed statement.
#[derive(Clone, Debug, Default)]
pub enum Unnamed {
    /// It has none.
    #[default]
    None,
    /// The Parse message, as it was sent, and what running it may do.
    Text(Box<(Box<[u8]>, Conduct)>),
    /// One that servers hold for whoever sends the same.
    Shared(Arc<Statement>),
}

/// Whose the server's own unnamed statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnnamedAt {
    /// Anybody's.
    #[default]
    Unknown,
    /// The client's.
    Ours,
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
}
