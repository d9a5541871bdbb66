//! The numbers that a server gives to transactions, and what it says became of them.

use crate::{
    conn::{Busy, Life},
    node::{Node, Pg, Record},
    world::World,
};

/// What a server knows of transactions' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Xids {
    next: u64,
    newest_ended: u64,
}

/// What a server says of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Committed,
    Aborted,
    InProgress,
    /// It has not given out that number.
    Future,
}

impl Default for Xids {
    fn default() -> Self {
        Self { next: 700, newest_ended: 0 }
    }
}

impl Xids {
    /// As a server has them that has just replayed this log.
    pub(crate) fn after(log: &[Record]) -> Self {
        let newest = log.iter().filter_map(|record| record.xid).max();
        newest.map_or_else(Self::default, |newest| Self { next: newest + 1, newest_ended: newest })
    }

    pub(crate) const fn assign(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn end(&mut self, number: u64) {
        self.newest_ended = self.newest_ended.max(number);
    }

    pub(crate) const fn newest_ended(&self) -> u64 {
        self.newest_ended
    }
}

impl Node {
    /// What a crash costs: records that were not flushed, and the numbers that only they bore.
    pub(crate) fn lose_unflushed(&mut self) {
        self.log.truncate(self.flushed.max(1));
        self.replayed = self.replayed.min(self.log.len());
        self.xids = Xids::after(&self.log);
    }
}

impl World {
    /// What a server says of a transaction, by its number.
    pub(crate) fn status(&self, place: usize, number: u64) -> Status {
        let node = &self.nodes[place];
        let mut conns = self.conns.iter();
        if conns.any(|conn| conn.node == place && conn.life == Life::Open && conn.xid == Some(number)) {
            Status::InProgress
        } else if node.log.iter().any(|record| record.xid == Some(number) && record.commits) {
            Status::Committed
        } else if number < node.xids.next {
            Status::Aborted
        } else {
            Status::Future
        }
    }

    /// A transaction is over and was not committed, or has a record of its commit.
    pub(crate) fn abort(&mut self, conn: usize) {
        self.conns[conn].rows.clear();
        let is_logged = matches!(self.conns[conn].busy, Busy::Waiting(..) | Busy::Doomed);
        let (Some(number), place) = (self.conns[conn].xid.take(), self.conns[conn].node) else { return };
        self.nodes[place].xids.end(number);
        if self.shape.extras.commit_fate && !is_logged && self.nodes[place].pg == Pg::Primary {
            self.append_of(place, [].into(), 60, Some(number));
        }
    }

    /// A transaction has written something: it has a number now.
    pub(crate) fn give_number(&mut self, conn: usize) {
        if self.conns[conn].xid.is_none() {
            let place = self.conns[conn].node;
            self.conns[conn].xid = Some(self.nodes[place].xids.assign());
        }
    }

    /// A statement is done: outside a block so is its transaction, and whoever looks now sees it.
    pub(crate) fn over_outside(&mut self, conn: usize) {
        if self.conns[conn].status == b'I'
            && let Some(number) = self.conns[conn].xid.take()
        {
            let place = self.conns[conn].node;
            self.nodes[place].xids.end(number);
        }
    }
}
