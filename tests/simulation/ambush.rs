//! A server dies in a commit: before it has done it, or when all that is missing is the answer.

use crate::{
    conn::{Busy, Conn, Ending},
    node::Pg,
    random::Rng,
    world::{Event, Ms, World},
};

/// What is to happen in the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambush {
    when: When,
    who: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Nothing is done.
    Before,
    /// It is in the log, and its server dies so much later.
    After(Ms),
}

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The server, and another one takes over.
    Server,
    /// The server, and it is back at once.
    Restarted,
    /// The connection alone.
    Connection,
}

impl Ambush {
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        Self {
            when: if rng.chance(30) { When::Before } else { When::After(rng.within(0, 4)) },
            who: [Who::Server, Who::Server, Who::Restarted, Who::Connection][rng.below(4)],
        }
    }
}

impl World {
    /// A commit is about to be done: whether it is not to be answered.
    pub(crate) fn is_ambushed(&mut self, conn: usize) -> bool {
        let place = self.conns[conn].node;
        let Conn { rows, xid, testified, .. } = &self.conns[conn];
        // Whoever has not been asked about itself can be told nothing.
        let asked = !rows.is_empty() && xid.is_some() && xid == testified;
        let leads = self.nodes[place].pg == Pg::Primary && asked;
        let Some(Ambush { when, who }) = self.ambush.take_if(|_| leads) else { return false };
        self.note("AMBUSH", conn, matches!(when, When::After(_)).into());
        let delay = match when {
            When::Before => 0,
            When::After(delay) => {
                let rows = std::mem::take(&mut self.conns[conn].rows);
                let xid = self.conns[conn].xid;
                self.append_of(place, rows.into(), 200, xid);
                delay
            }
        };
        self.conns[conn].busy = Busy::Doomed;
        self.conns[conn].step += 1;
        self.after(delay, Event::Spring { conn, who });
        true
    }

    pub(crate) fn spring(&mut self, conn: usize, who: Who) {
        let place = self.conns[conn].node;
        self.conns[conn].xid = None;
        self.reset(conn);
        match who {
            Who::Connection => {}
            Who::Server if self.nodes[place].pg == Pg::Primary => {
                self.note("CRASHES", place, 0);
                self.crash(place, Ending::Reset);
            }
            Who::Restarted => self.restart(place),
            Who::Server => {}
        }
    }
}
