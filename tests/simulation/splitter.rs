//! What clients do whose statements are split: reads that go to standbys, and writes, on one connection.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    client::{Client, Outcome, Over, Session},
    wire::query,
};

impl Client {
    /// Reads or writes.
    pub(crate) async fn split(&mut self, session: &mut Session, kind: usize) -> Result<(), Over> {
        match kind {
            0..22 => self.select(session).await,
            22..34 => self.select_prepared(session).await,
            34..46 => self.insert(session).await,
            46..54 => self.insert_prepared(session).await,
            54..60 => self.read_only_block(session).await,
            60..66 => self.draw(session).await,
            66..80 => self.block(session).await,
            80..84 => self.copy(session).await,
            _ => self.pipelined_block(session).await,
        }
    }

    /// Looks like a read, and is none.
    async fn draw(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        self.send(session, &query(&format!("SELECT {}, {}, nextval('s')", row.0, row.1))).await;
        let outcome = self.outcome(session, row, 1).await;
        self.settle(&[], row, outcome)
    }

    /// A transaction that stays where it begins.
    async fn read_only_block(&mut self, session: &mut Session) -> Result<(), Over> {
        let begin = self.next_row();
        self.send(session, &query(&format!("BEGIN READ ONLY /* {}:{} */", begin.0, begin.1))).await;
        let outcome = self.outcome(session, begin, 1).await;
        if matches!(outcome, Outcome::Answered(Some(_)) | Outcome::Over(_)) {
            return self.settle(&[], begin, outcome);
        }
        for _ in 0..self.rng.within(1, 3) {
            let row = self.next_row();
            self.world.lock().ledger.promises.asks_within(row, begin);
            self.send(session, &query(&format!("SELECT {}, {}", row.0, row.1))).await;
            let outcome = self.outcome(session, row, 1).await;
            self.settle(&[], row, outcome)?;
            let pause = self.rng.within(0, 60);
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(pause)) => {}
                said = session.wire.next() => {
                    let outcome = self.word(said);
                    return self.settle(&[], row, outcome);
                }
            }
        }
        let end = self.next_row();
        self.send(session, &query(&format!("COMMIT /* {}:{} */", end.0, end.1))).await;
        let outcome = self.outcome(session, end, 1).await;
        self.settle(&[], end, outcome)
    }
}
