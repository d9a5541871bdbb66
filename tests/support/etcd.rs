//! A real etcd of one member.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::WatchStream;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::{Moment, Part, Result, Sandbox, Store, eventually, http, now};

/// The store.
#[derive(Debug)]
pub struct Etcd {
    part: Part,
    /// Where clients find it.
    pub address: SocketAddr,
    peers: SocketAddr,
    api: Store,
    running: Option<Child>,
}

impl Etcd {
    pub(crate) fn prepare(sandbox: &Sandbox, api: Store) -> Result<Self> {
        Ok(Self {
            part: sandbox.part_at(1, "etcd")?,
            address: sandbox.address(1, 2379)?,
            peers: sandbox.address(1, 2380)?,
            api,
            running: None,
        })
    }

    /// Starts it, with the data it had, and waits until it answers.
    ///
    /// # Errors
    /// It does not answer in time.
    pub async fn start(&mut self) -> Result {
        let client = format!("http://{}", self.address);
        let peer = format!("http://{}", self.peers);
        let mut arguments = vec![
            "--name=etcd".to_owned(),
            format!("--data-dir={}", self.part.folder().join("data").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=etcd={peer}"),
        ];
        if self.api == Store::Etcd2 {
            arguments.push("--enable-v2".to_owned());
        }
        self.running = Some(self.part.start(Path::new("etcd"), &arguments)?);
        let address = self.address;
        eventually("etcd is healthy", Duration::from_secs(20), async || {
            let answer = http::request(address, "GET", "/health", "", Duration::from_secs(1)).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await
    }

    /// Kills it; the data stays. The answer is when.
    ///
    /// # Errors
    /// It escaped.
    pub async fn stop(&mut self) -> Result<Moment> {
        let at = self.part.signal("KILL").await?;
        if let Some(mut child) = self.running.take() {
            child.wait().await?;
        }
        Ok(at)
    }

    /// Writes a key, as somebody might by hand.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn put(&self, key: &str, value: &str) -> Result {
        let mut client = etcd_client::Client::connect([self.address.to_string()], None).await?;
        client.put(key, value, None).await?;
        Ok(())
    }

    /// Takes a key away, as its lease would when it ends.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn delete(&self, key: &str) -> Result {
        let mut client = etcd_client::Client::connect([self.address.to_string()], None).await?;
        client.delete(key, None).await?;
        Ok(())
    }

    /// Stops it where it stands; connections stay open and nothing answers. The answer is when.
    ///
    /// # Errors
    /// It escaped.
    pub async fn freeze(&self) -> Result<Moment> {
        self.part.signal("STOP").await
    }

    /// Lets it go on. The answer is when.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn thaw(&self) -> Result<Moment> {
        self.part.signal("CONT").await
    }
}

/// The leader key changed at a moment, to a member or to nothing.
pub type LeaderChange = (Moment, Option<String>);

/// A witness of the leader key: it watches the store directly.
#[derive(Debug)]
pub struct LeaderKey {
    changes: Arc<Mutex<Vec<LeaderChange>>>,
    watching: JoinHandle<()>,
}

impl LeaderKey {
    pub(crate) async fn watch(etcd: SocketAddr, key: String) -> Result<Self> {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&changes);
        let mut stream = Self::stream(etcd, &key).await?;
        let watching = tokio::spawn(async move {
            loop {
                while let Ok(Some(answer)) = stream.message().await {
                    let events = answer.events().iter().map(|event| match event.event_type() {
                        etcd_client::EventType::Put => {
                            event.kv().map(|pair| String::from_utf8_lossy(pair.value()).into_owned())
                        }
                        etcd_client::EventType::Delete => None,
                    });
                    let at = now();
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.extend(events.map(|leader| (at, leader)));
                }
                stream = Self::again(etcd, &key).await;
            }
        });
        Ok(Self { changes, watching })
    }

    async fn stream(etcd: SocketAddr, key: &str) -> Result<WatchStream> {
        let mut client = etcd_client::Client::connect([etcd.to_string()], None).await?;
        Ok(client.watch(key, None).await?)
    }

    /// Once the store is there again.
    async fn again(etcd: SocketAddr, key: &str) -> WatchStream {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            if let Ok(stream) = Self::stream(etcd, key).await {
                return stream;
            }
        }
    }

    /// One that sees nothing.
    pub(crate) fn blind() -> Self {
        Self { changes: Arc::default(), watching: tokio::spawn(std::future::ready(())) }
    }

    /// What changed so far, in order.
    pub fn changes(&self) -> Vec<LeaderChange> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LeaderKey {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
