//! Whether clients are shown what they were promised, and told the truth of commits that no server answered.

use std::collections::BTreeSet;

use crate::{
    conn::Role,
    ledger::{Row, Told},
    node::Pg,
    promises::Promised,
    statement::Statement,
    world::{SYSTEM_ID, World},
};

impl World {
    /// A server answers a statement.
    pub(crate) fn answered(&mut self, conn: usize, statement: &Statement) {
        let Some(row) = statement.row() else { return };
        self.ledger.answered.insert(row);
        if !statement.reads() {
            return;
        }
        let (place, role) = (self.conns[conn].node, self.conns[conn].role);
        let node = &self.nodes[place];
        if role == Role::Splitter && node.pg == Pg::Standby {
            self.ledger.count.split += 1;
        }
        // Who keeps a replica for good is given it once.
        let keeps = role == Role::Reader && !self.shape.is_shared();
        let to = match self.shape.extras.consistency {
            _ if keeps => return,
            "global" => Promised::Everybody,
            "session" => Promised::Their,
            _ => return,
        };
        let visible: BTreeSet<Row> =
            node.log[..node.replayed].iter().flat_map(|record| record.rows.iter().copied()).collect();
        self.ledger.promises.shows(row, to, |row| visible.contains(row));
    }

    /// A client was told that a read is done.
    pub(crate) fn has_read(&mut self, read: Row) {
        self.ledger.count.promised += u64::from(self.shape.extras.is_consistent());
        if let Some(hidden) = self.ledger.promises.answered(read) {
            self.violated(format!("read {read:?} did not show its own client's {hidden:?}"));
        }
    }

    /// A client was told that something was lost which it was to see.
    pub(crate) fn told_of_loss(&mut self, client: u32, message: &str) {
        self.note("Told of a loss", client as usize, 0);
        self.ledger.count.lost += 1;
        let is_another = message.contains("another cluster");
        let anew = is_another && self.system_id != SYSTEM_ID;
        if self.ledger.count.terms == 0 && !anew {
            self.violated(format!("client {client} was told \"{message}\", and nobody was ever promoted"));
        }
        if is_another {
            return self.ledger.promises.begin(client);
        }
        let there = self.rows_of_leader();
        self.ledger.promises.lost(client, |row| there.as_ref().is_none_or(|there| there.contains(row)));
    }

    /// What is in the log of whoever leads, by what the program knows; or else by what is so.
    fn rows_of_leader(&self) -> Option<BTreeSet<Row>> {
        let known = self.known();
        let term = known.as_ref().and_then(|known| known.term());
        let place = term.and_then(|term| self.nodes.iter().position(|node| node.name == term.member));
        let node = &self.nodes[place.or_else(|| self.leader())?];
        Some(node.log.iter().flat_map(|record| record.rows.iter().copied()).collect())
    }

    /// A client was told what became of a commit that no server has answered: it is so on the leader that told it.
    pub(crate) fn told_fate(&mut self, rows: &[Row], last: Row, told: Told) {
        if self.ledger.answered.contains(&last) || !self.ledger.begun.contains(&last) {
            return;
        }
        let Some(there) = self.rows_of_leader() else { return };
        self.note("Told of a commit's fate", last.0 as usize, last.1.into());
        self.ledger.count.fates += 1;
        for row in rows {
            if there.contains(row) != (told == Told::Committed) {
                self.violated(format!("client was told {told:?} of {row:?}, which the leader denies"));
            }
        }
    }
}
