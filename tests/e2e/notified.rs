//! What a client that listens is told, message by message: directly, and without a server of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use bytes::BytesMut;
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single};
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const OVERRIDES: &str = "[pool]\ndefault_pool_size = 3\n[auth]\nauth_type = \"trust\"\n";

const ROUNDS: usize = 200;

const SOON: Duration = Duration::from_secs(10);

/// Its own notifications, and what others had committed before, are with a client when its statement has ended: in front of
/// its ReadyForQuery, as PostgreSQL tells them, whatever else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_come_in_front_of_ready_for_query() -> Result {
    stand_where_postgresql_tells_them(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_come_in_front_of_ready_for_query_by_postgresql_18() -> Result {
    stand_where_postgresql_tells_them(Release::Eighteen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_come_in_front_of_ready_for_query_by_postgresql_19() -> Result {
    stand_where_postgresql_tells_them(Release::Nineteen).await
}

async fn stand_where_postgresql_tells_them(release: Release) -> Result {
    let single = Single::start(release, Door::Open, "fsync = off", OVERRIDES).await?;
    let load: Vec<_> = (0..3)
        .map(|number| {
            let config = single.proxy.write_config();
            tokio::spawn(async move {
                let ended: Result = async {
                    let client = Client::connect(&config).await?;
                    loop {
                        client.batch_execute("SELECT sum(n) FROM generate_series(1, 300) n").await?;
                        client.batch_execute(&format!("NOTIFY other, '{number}'")).await?;
                        if number == 0 {
                            // Listens on something else, and not always.
                            client.batch_execute("LISTEN other; UNLISTEN other").await?;
                        }
                    }
                }
                .await;
                ended
            })
        })
        .collect();
    for (whose, address) in single.both() {
        let sender = Client::connect(&single.proxy.write_config()).await?;
        let mut listener = Listener::connect(address).await?;
        ensure!(listener.ask(&["LISTEN news"]).await? == "CZ", "{whose}: LISTEN");
        for round in 0..ROUNDS {
            let told = listener.ask(&["NOTIFY news, 'own'"]).await?;
            ensure!(told == "C[*own]Z", "{whose}, round {round}, its own: {told}");
            sender.batch_execute("NOTIFY news, 'others'").await?;
            let told = listener.ask(&["SET extra_float_digits = 1"]).await?;
            ensure!(
                told == "C[others]Z" || told == "[others]CZ",
                "{whose}, round {round}, another's: {told}"
            );
            let told = listener.ask(&["BEGIN", "NOTIFY news, 'a'", "COMMIT", "NOTIFY news, 'b'", ""]).await?;
            ensure!(told == "CTCTC[*a]ZC[*b]ZIZ", "{whose}, round {round}, at once: {told}");
        }
        ensure!(
            listener.ask(&["BEGIN", "UNLISTEN *", "NOTIFY news", "COMMIT"]).await? == "CTCTCTCZ",
            "{whose}"
        );
        let told = listener.ask(&["BEGIN", "LISTEN new", "NOTIFY new, 'in it'", "COMMIT"]).await?;
        ensure!(told == "CTCTCTC[*in it]Z", "{whose}, in the transaction that listens: {told}");
    }
    for task in load {
        ensure!(!task.is_finished(), "the load has ended");
        task.abort();
    }
    Ok(())
}

/// A client that listens, and what it is told in its place.
struct Listener {
    stream: TcpStream,
    unread: BytesMut,
    /// The process id that it was told.
    pid: Vec<u8>,
}

impl Listener {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let mut listener =
            Self { stream: TcpStream::connect(address).await?, unread: BytesMut::new(), pid: Vec::new() };
        let mut hello = BytesMut::new();
        let who = [("user", Login::TRADER.user), ("database", Cluster::DATABASE)];
        frontend::startup_message(who, &mut hello)?;
        listener.stream.write_all(&hello).await?;
        loop {
            match listener.message().await? {
                (b'K', body) => listener.pid = body[..4].to_vec(),
                (b'Z', _) => return Ok(listener),
                _ => {}
            }
        }
    }

    /// Sends queries at once, and reads up to the last ReadyForQuery: tags, `[payload]` for a notification and `[*payload]` for
    /// one of its own, and `T` for a ReadyForQuery in a transaction.
    async fn ask(&mut self, queries: &[&str]) -> Result<String> {
        let mut bytes = BytesMut::new();
        for query in queries {
            frontend::query(query, &mut bytes)?;
        }
        self.stream.write_all(&bytes).await?;
        let (mut told, mut left) = (String::new(), queries.len());
        while left > 0 {
            let (tag, body) =
                timeout(SOON, self.message()).await.with_context(|| format!("after {told}"))??;
            match tag {
                b'A' => {
                    let payload = body[4..].split(|byte| *byte == 0).nth(1).context("no payload")?;
                    let own = if body.starts_with(&self.pid) { "*" } else { "" };
                    told.push_str(&format!("[{own}{}]", String::from_utf8_lossy(payload)));
                }
                b'Z' => {
                    told.push(if body[0] == b'I' { 'Z' } else { char::from(body[0]) });
                    left -= 1;
                }
                tag => told.push(char::from(tag)),
            }
        }
        Ok(told)
    }

    async fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let [tag, a, b, c, d, ..] = self.unread[..] {
                let total = u32::from_be_bytes([a, b, c, d]) as usize + 1;
                if self.unread.len() >= total {
                    return Ok((tag, self.unread.split_to(total)[5..].to_vec()));
                }
            }
            ensure!(self.stream.read_buf(&mut self.unread).await? > 0, "the connection ended");
        }
    }
}
