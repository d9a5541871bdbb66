//! Prepared statements: a client's name for one, and the name under which servers know it.
//!
//! A server's statement is shared by all clients for which it means the same: same text, same parameter types, and
//! the same [`Scope`], which holds every setting on which parsing depends. The server names are our own
//! (`pgsteer_…`), so a client's name never collides with another's.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use foldhash::fast::RandomState;

use super::{
    conduct::{Conduct, Form},
    frame::{put, put_cstr},
    schema::When,
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

/// What a client has parsed.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What its meaning depends on.
    pub scope: &'a Scope,
    /// The text.
    pub query: &'a [u8],
    /// The parameter types as they stand on the wire.
    pub types: &'a [u8],
    /// What running it may do.
    pub conduct: Conduct,
    /// What it is to the parser.
    pub form: Form,
}

/// A client's statement as servers may have it prepared. As in PostgreSQL its parameters and what it yields are settled
/// when it is parsed first; wherever it is parsed again it is held against that.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    key: Key,
    conduct: Conduct,
    form: Form,
    /// When it was parsed first.
    parsed: Option<When>,
    /// The parameter types that the server has found, as they stand on the wire, once it has told them.
    found: OnceLock<Box<[u8]>>,
    /// A number for what it yields, once a server has told that.
    result: OnceLock<u64>,
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

    /// Whether what it yields is settled when it is parsed, and no server has told it so far.
    #[inline]
    pub fn is_untold(&self) -> bool {
        self.form == Form::Planned && self.result.get().is_none()
    }

    /// What it is to the parser.
    #[inline]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Whether it is known what it yields.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.result.get().is_some()
    }

    /// It is described as having these parameter types. False: they were others before.
    pub fn takes(&self, types: &[u8]) -> bool {
        **self.found.get_or_init(|| types.into()) == *types
    }

    /// The parameter types that a server has found.
    pub fn found(&self) -> Option<&[u8]> {
        self.found.get().map(|found| &**found)
    }

    /// It is described as yielding this. False: it was something else before.
    pub fn yields(&self, result: u64) -> bool {
        *self.result.get_or_init(|| result) == result
    }

    /// Whether it yields what is known of `other`.
    fn yields_as(&self, other: &Self) -> bool {
        other.result.get().is_none_or(|result| self.result.get() == Some(result))
    }

    /// When it was parsed first; `None` if it is nobody's but its client's.
    pub const fn parsed(&self) -> Option<When> {
        self.parsed
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
            out.extend_from_slice(self.types());
        });
    }

    /// Appends the Parse message that gives a server this statement under a name of the client's.
    pub fn put_parse_as(&self, name: &[u8], out: &mut Vec<u8>) {
        put_parse_as(name, &self.key.query, self.types(), out);
    }

    /// The types of its parameters as far as they are settled.
    pub fn types(&self) -> &[u8] {
        self.found.get().map_or(&*self.key.types, |found| &**found)
    }

    /// Appends the Describe message for it.
    pub fn put_describe(&self, out: &mut Vec<u8>) {
        put(out, b'D', |out| {
            out.push(b'S');
            self.put_name(out);
        });
    }

    /// Appends its server name and the terminating zero.
    pub fn put_name(&self, out: &mut Vec<u8>) {
        put_server_name(out, self.id);
    }
}

/// What our names for servers' statements begin with. None is so short.
pub const SERVER_PREFIX: &[u8] = b"pgsteer_";

/// Whether a client's name for a statement that it does not have could be taken for one of ours.
pub fn taken_for_ours(name: &[u8]) -> bool {
    name.starts_with(SERVER_PREFIX)
}

/// Appends our name for the server's statement `id`, and the terminating zero.
pub fn put_server_name(out: &mut Vec<u8>, id: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(SERVER_PREFIX);
    let digits = (u64::BITS - id.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|place| DIGITS[(id >> (place * 4)) as usize & 15]));
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

/// The number of the statement by which a transaction is asked for its number before it is committed.
pub const FATE: u64 = u64::MAX;

/// The number of the statement by which a transaction that begins is given a number and asked for it.
pub const FATE_FIRST: u64 = u64::MAX - 1;

/// Appends the Parse message for a statement of ours.
pub fn put_parse(out: &mut Vec<u8>, id: u64, text: &[u8]) {
    put(out, b'P', |out| {
        put_server_name(out, id);
        put_cstr(out, text);
        out.extend_from_slice(&[0; 2]);
    });
}

/// Appends the Parse message for a statement of this name, with parameter types as they stand on the wire.
pub fn put_parse_as(name: &[u8], text: &[u8], types: &[u8], out: &mut Vec<u8>) {
    put(out, b'P', |out| {
        put_cstr(out, name);
        put_cstr(out, text);
        out.extend_from_slice(types);
    });
}

/// Appends the Describe message for a statement of this name.
pub fn put_describe_as(name: &[u8], out: &mut Vec<u8>) {
    put(out, b'D', |out| {
        out.push(b'S');
        put_cstr(out, name);
    });
}

/// Appends the Close message for a statement of this name.
pub fn put_close_as(name: &[u8], out: &mut Vec<u8>) {
    put(out, b'C', |out| {
        out.push(b'S');
        put_cstr(out, name);
    });
}

/// Appends the Close message for the server's statement `id`.
pub fn put_close(out: &mut Vec<u8>, id: u64) {
    put(out, b'C', |out| {
        out.push(b'S');
        put_server_name(out, id);
    });
}

mod catalog;
mod unnamed;

pub use catalog::{Catalog, Sharing};
pub use unnamed::{Description, Unnamed, UnnamedAt, UnnamedText};
