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

fn looked_at(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

impl ClientStatements {
    /// What the client calls `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Named> {
        self.by_name.get(looked_at(name))
    }

    /// The client prepared `name`.
    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.restore(name, Named { statement, serial: self.serial });
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
