//! COPY from a client: the server waits for data, and commits when all of it has come.

use std::time::Duration;

use pgsteer::wire::{
    error::{Severity, SqlState},
    frame::put,
};
use tokio::time::sleep;

use crate::{
    client::{Client, Outcome, Over, Session},
    conn::{Busy, Protocol},
    ledger::Row,
    statement::Statement,
    wire::{Said, query},
    world::World,
};

/// CopyInResponse: text, no columns.
const COPY_IN: &[u8] = b"G\0\0\0\x07\0\0\0";

impl World {
    /// The server asks for the data.
    pub(crate) fn copies(&mut self, conn: usize, row: Row) {
        self.conns[conn].busy = Busy::Idle;
        self.conns[conn].copying = Some(row);
        self.conns[conn].say(COPY_IN);
    }

    /// All of it has come.
    pub(crate) fn copied(&mut self, conn: usize) {
        let Some(row) = self.conns[conn].copying.take() else { return };
        self.give_number(conn);
        self.commit(conn, vec![row], Statement::Copy(row), Protocol::Simple, b'I');
    }
}

impl Client {
    /// A COPY of one row, in pieces.
    pub(crate) async fn copy(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        self.send(session, &query(&format!("COPY t FROM STDIN /* {}:{} */", row.0, row.1))).await;
        if let Some(outcome) = self.is_refused(session).await {
            return self.settle(&[row], row, outcome);
        }
        for _ in 0..self.rng.within(1, 3) {
            let mut piece = Vec::new();
            put(&mut piece, b'd', |out| out.extend_from_slice(b"1\t"));
            self.send(session, &piece).await;
            let pause = self.rng.within(0, 100);
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(pause)) => {}
                said = session.wire.next() => {
                    let outcome = self.word(said);
                    return self.settle(&[row], row, outcome);
                }
            }
        }
        self.send(session, b"c\0\0\0\x04").await;
        let outcome = self.outcome(session, row, 1).await;
        self.settle(&[row], row, outcome)
    }

    /// What came instead of a request for data.
    async fn is_refused(&self, session: &mut Session) -> Option<Outcome> {
        let mut failed = None;
        loop {
            match session.wire.next().await {
                Said::CopyIn => return None,
                Said::Ready => return Some(Outcome::Answered(failed)),
                Said::Error(error) if error.severity == Severity::Error => {
                    if error.code == SqlState::WRITE_LOST {
                        self.world.lock().told_of_loss(self.number, &error.message);
                    }
                    failed = Some(error);
                }
                said @ (Said::Error(_) | Said::Gone { .. }) => return Some(self.word(said)),
                _ => {}
            }
        }
    }
}
