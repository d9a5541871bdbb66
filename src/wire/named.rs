//! The statements that one client has named.

use std::sync::Arc;

use super::statements::{Map, Statement};

/// Tells a client's statements apart, also those that are the same on the server; 0: none that has a name.
pub type Serial = u32;

/// A client's named statement.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it stands for.
    pub statement: Arc<Statement>,
    /// Its number.
    pub serial: Serial,
    /// Who has parsed it.
    pub parsed: Parsed,
}

impl Named {
    fn is_unused(&self, id: u64) -> bool {
        self.parsed == Parsed::ForAnother && self.statement.id() == id
    }
}

/// Who has parsed what a client has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A server, for this client, or it has been used since.
    Now,
    /// A server, for another a moment ago: the client's Parse was answered by us, and it was not used since. Should the schema
    /// have changed in between, it is what a server makes of it when it is used.
    ForAnother,
}

/// The named statements of one client.
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: Map<Box<[u8]>, Named>,
    serial: Serial,
    /// Bytes of their texts.
    bytes: usize,
}

/// Named statements of one client at most.
pub const STATEMENTS_MAX: usize = 64 * 1024;

/// Bytes in their texts at most.
pub const TEXT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// PostgreSQL looks no further than this at a statement's name (`NAMEDATALEN`).
const NAME_BYTES_MAX: usize = 63;

/// As much of a name as PostgreSQL looks at.
pub fn looked_at(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

impl ClientStatements {
    /// What the client calls `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Named> {
        self.by_name.get(looked_at(name))
    }

    /// The client prepared `name`. Its number.
    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>, parsed: Parsed) -> Serial {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.restore(name, Named { statement, serial: self.serial, parsed });
        self.serial
    }

    /// The client uses `name` on a server that has it.
    pub fn used(&mut self, name: &[u8]) {
        if let Some(named) = self.by_name.get_mut(looked_at(name)) {
            named.parsed = Parsed::Now;
        }
    }

    /// The client's statement of this number is another, in the same words.
    pub fn replace(&mut self, serial: Serial, next: &Arc<Statement>) {
        for named in self.by_name.values_mut().filter(|named| named.serial == serial) {
            named.statement = next.clone();
        }
    }

    /// Whether the client has statement `id` under a name that it has not used, parsed for another.
    pub fn has_unused(&self, id: u64) -> bool {
        self.by_name.values().any(|named| named.is_unused(id))
    }

    /// That is another from now on, in the same words.
    pub fn replace_unused(&mut self, id: u64, next: &Arc<Statement>) {
        for named in self.by_name.values_mut().filter(|named| named.is_unused(id)) {
            named.statement = next.clone();
        }
    }

    /// Whether the client may prepare one more.
    pub fn has_room_for(&self, query: &[u8]) -> bool {
        self.by_name.len() < STATEMENTS_MAX && self.bytes + query.len() <= TEXT_BYTES_MAX
    }

    /// The client still has what it called `name`.
    pub fn restore(&mut self, name: &[u8], named: Named) {
        self.bytes += named.statement.query().len();
        if let Some(before) = self.by_name.insert(looked_at(name).into(), named) {
            self.bytes -= before.statement.query().len();
        }
    }

    /// The client closed `name`.
    pub fn remove(&mut self, name: &[u8]) -> Option<Named> {
        let named = self.by_name.remove(looked_at(name))?;
        self.bytes -= named.statement.query().len();
        Some(named)
    }

    /// The name under which the client has the statement of this number.
    pub fn name_of(&self, serial: Serial) -> Option<&[u8]> {
        self.by_name.iter().find(|(_, named)| named.serial == serial).map(|(name, _)| &**name)
    }

    /// What the client's statement of this number stands for.
    pub fn of(&self, serial: Serial) -> Option<&Arc<Statement>> {
        self.by_name.values().find(|named| named.serial == serial).map(|named| &named.statement)
    }

    /// The client has none any more.
    pub fn clear(&mut self) {
        self.by_name = Map::default();
        self.bytes = 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        wire::{
            conduct::{Conduct, Form},
            schema::When,
            statements::{Catalog, Scope, Sharing, Source},
        },
    };

    /// One client's statements, each with a text of its own.
    fn prepare(catalog: &Catalog, scope: &Scope, count: usize, second: u64) -> ClientStatements {
        let mut statements = ClientStatements::default();
        let when = Some(When { now: Moment::from_nanos(second * 1_000_000_000), generation: 0 });
        for number in 0..count {
            let query = format!("select {number}, {:1000}", "");
            let (query, types, conduct) = (query.as_bytes(), &[0, 0][..], Conduct::default());
            let source = Source { scope, query, types, conduct, form: Form::Planned };
            let sharing = if second < 100 { Sharing::Scope } else { Sharing::Nobody };
            let statement = catalog.statement(&source, sharing, when);
            assert!(statements.has_room_for(query));
            statements.insert(format!("s{number}").as_bytes(), statement, Parsed::Now);
        }
        statements
    }

    #[test]
    fn texts_are_kept_once() {
        let (catalog, scope) = (Catalog::default(), Scope::from("a"));
        // Some in the same second, some later, some that share nothing else.
        let seconds = [0, 0, 0, 2, 2, 4, 6, 100, 101];
        let clients = seconds.map(|second| prepare(&catalog, &scope, 2000, second));
        for number in 0..2000 {
            let name = format!("s{number}");
            let held = clients.each_ref().map(|client| &client.get(name.as_bytes()).unwrap().statement);
            assert!(held.iter().all(|other| std::ptr::eq(other.query(), held[0].query())));
            let [first, second, third, fourth, ..] = held;
            assert!(Arc::ptr_eq(first, second) && Arc::ptr_eq(first, third) && !Arc::ptr_eq(first, fourth));
        }
        // What each client has of its own: a name, and where its statement is; at most that, but for its text.
        assert!(size_of::<(Box<[u8]>, Named)>() <= 32);
        assert!(size_of::<Statement>() <= 200, "{}", size_of::<Statement>());
    }

    #[test]
    fn texts_are_bounded_together() {
        let (catalog, scope) = (Catalog::default(), Scope::from("a"));
        let mut statements = prepare(&catalog, &scope, 3, 0);
        let bytes = statements.bytes;
        assert!(bytes > 3000 && statements.has_room_for(&vec![0; TEXT_BYTES_MAX - bytes]));
        assert!(!statements.has_room_for(&vec![0; TEXT_BYTES_MAX - bytes + 1]));
        let named = statements.remove(b"s0").unwrap();
        statements.restore(b"s0", named.clone());
        statements.restore(b"s0", named);
        assert_eq!(statements.bytes, bytes);
        statements.clear();
        assert_eq!(statements.bytes, 0);
    }
}
