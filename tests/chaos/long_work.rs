//! A client with something long: a COPY, or a transaction of many statements.

use std::time::Duration;

use anyhow::Context;
use futures_util::SinkExt;
use pgsteer_testkit::{Client, Moment, Result, now};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;

use crate::scenario::During;

/// Longer than anybody may be kept waiting.
const PATIENCE: Duration = Duration::from_secs(90);
/// As many as last for longer than a failover.
const COPY_ROWS: u32 = 4500;

/// What the client was told, and when.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) sqlstate: String,
    pub(crate) at: Moment,
    /// How many rows it was told are committed.
    pub(crate) rows: i64,
}

pub(crate) struct LongWork {
    /// What its rows are marked with.
    pub(crate) writer: i32,
    working: JoinHandle<Told>,
}

impl LongWork {
    /// Begins it; returns when the server has begun.
    pub(crate) async fn start(during: During, config: &Config, writer: i32) -> Result<Option<Self>> {
        if during == During::Nothing {
            return Ok(None);
        }
        let client = Client::connect(config).await?;
        let working = if during == During::Copy {
            let text = "COPY ledger (id, writer) FROM STDIN";
            let sink = client.copy_in::<_, std::io::Cursor<String>>(text).await.context("COPY")?;
            tokio::spawn(async move {
                let mut sink = Box::pin(sink);
                let row = format!("0\t{writer}\n");
                // An error that leaves the connection open is heard at the end.
                for _ in 0..COPY_ROWS {
                    if sink.send(std::io::Cursor::new(row.clone())).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
                match sink.as_mut().finish().await {
                    Ok(rows) => Told { sqlstate: "no error".to_owned(), at: now(), rows: rows.cast_signed() },
                    Err(error) => Told { sqlstate: client.words(&error).0, at: now(), rows: 0 },
                }
            })
        } else {
            client.batch_execute("BEGIN").await.context("BEGIN")?;
            tokio::spawn(async move {
                let text = format!("INSERT INTO ledger (id, writer) VALUES (0, {writer})");
                let sqlstate = loop {
                    match timeout(PATIENCE, client.batch_execute(&text)).await {
                        Ok(Ok(())) => sleep(Duration::from_millis(50)).await,
                        Ok(Err(error)) => break client.words(&error).0,
                        Err(_) => break "timeout".to_owned(),
                    }
                };
                Told { sqlstate, at: now(), rows: 0 }
            })
        };
        Ok(Some(Self { writer, working }))
    }

    /// What it was told; `None` if it has not been told anything within that time.
    pub(crate) async fn end(mut self, within: Duration) -> Option<Told> {
        let told = timeout(within, &mut self.working).await;
        self.working.abort();
        told.ok()?.ok()
    }
}
