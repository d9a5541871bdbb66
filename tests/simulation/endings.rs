//! How connections and statements end before their time.

use pgsteer::wire::{
    error::{PgError, SqlState},
    startup::BackendKey,
};

use crate::{
    conn::{Busy, Ending, Life, Role},
    world::World,
};

impl World {
    /// A cancel request: whose statement does it hit?
    pub(crate) fn cancel(&mut self, key: &BackendKey) {
        let conn = (key.pid as usize).wrapping_sub(1);
        let Some(target) = self.conns.get(conn) else { return };
        if target.key.to_be_bytes()[..] != key.secret[..] || target.life != Life::Open {
            return;
        }
        let Busy::Running(statement, protocol) = target.busy.clone() else { return };
        let Some((client, number)) = statement.row() else { return };
        // With a server of its own for the session, a client may be hit by an old request of its own.
        let own = !self.shape.is_shared() && self.ledger.unwanted.iter().any(|(asker, _)| *asker == client);
        if !own && !self.ledger.unwanted.contains(&(client, number)) {
            self.violated(format!(
                "statement {number} of client {client} was cancelled by another's request"
            ));
        }
        self.note("cancelled", client as usize, number.into());
        self.ledger.count.cancelled += 1;
        self.fail(conn, SqlState::QUERY_CANCELED, &format!("{client}:{number}"), protocol);
        self.advance(conn);
    }

    /// The server ends the connection in order.
    pub(crate) fn hang_up(&mut self, conn: usize) {
        self.conns[conn].life = Life::Ended;
        self.abort(conn);
        self.conns[conn].wake();
    }

    /// The connection is torn.
    pub(crate) fn reset(&mut self, conn: usize) {
        let conn = &mut self.conns[conn];
        if conn.life != Life::Ended {
            conn.life = Life::Broken;
            conn.outbox.clear();
            conn.wake();
        }
    }

    /// All connections of a server end.
    pub(crate) fn close_all(&mut self, node: usize, how: Ending) {
        for conn in 0..self.conns.len() {
            if self.conns[conn].node != node || self.conns[conn].life != Life::Open {
                continue;
            }
            match how {
                Ending::Reset => self.reset(conn),
                Ending::Silence => self.conns[conn].life = Life::Silent,
                Ending::Shutdown => {
                    // One that waits for its standby has committed, and says no more.
                    if !matches!(self.conns[conn].busy, Busy::Waiting(..) | Busy::Doomed)
                        && self.conns[conn].role != Role::Unknown
                    {
                        let mut out = Vec::new();
                        let why = "terminating connection due to administrator command";
                        PgError::fatal(SqlState::ADMIN_SHUTDOWN, why).encode(&mut out);
                        self.conns[conn].say(&out);
                    }
                    self.hang_up(conn);
                }
            }
        }
    }

    /// What the program has closed.
    pub(crate) fn dropped(&mut self, conn: usize) {
        self.note("dropped", conn, 0);
        let conn_of = &mut self.conns[conn];
        conn_of.dropped = true;
        conn_of.reader = None;
        // What was sent before runs to its end; what is open is rolled back.
        if conn_of.busy == Busy::Idle && conn_of.queue.is_empty() {
            self.hang_up(conn);
        } else {
            // The end itself arrives behind what was sent.
            let conn_of = &mut self.conns[conn];
            conn_of.queue.push_back((b'X', Vec::new()));
            conn_of.in_flight += usize::from(conn_of.in_flight > 0);
        }
    }
}
