//! A witness beside the proxy: asks every node directly, every 5 ms, whether it takes writes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_postgres::Config;

use crate::{Client, Cluster, Login, Moment, Result, eventually, now};

const INTERVAL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_millis(500);

/// A node began (`true`) or ceased (`false`) to take writes, as seen at a moment. One that does not answer takes none.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the answer came that showed it.
    pub at: Moment,
    /// The node.
    pub node: String,
    /// Whether it takes writes.
    pub writable: bool,
}

/// Watches all nodes of a cluster.
#[derive(Debug)]
pub struct Poller {
    seen: Arc<Mutex<Vec<Seen>>>,
    _asking: JoinSet<()>,
}

impl Poller {
    /// Starts watching.
    pub fn start(cluster: &Cluster) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut asking = JoinSet::new();
        for node in &cluster.nodes {
            let config = node.config(Login::MONITORING, "postgres");
            asking.spawn(watch(node.name.clone(), config, Arc::clone(&seen)));
        }
        Self { seen, _asking: asking }
    }

    /// Everything seen so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a node other than `old` takes writes, and says which and when it was first seen to.
    ///
    /// # Errors
    /// None does in time.
    pub async fn new_leader(&self, old: &str, after: Moment, within: Duration) -> Result<(String, Moment)> {
        let began = |seen: &Seen| seen.writable && seen.node != old && seen.at >= after;
        let what = format!("a node other than {old} takes writes");
        eventually(&what, within, async || {
            self.seen().into_iter().find(began).map(|seen| (seen.node, seen.at))
        })
        .await
    }
}

async fn watch(node: String, config: Config, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    let mut before = false;
    loop {
        tick.tick().await;
        if client.is_none() {
            client = Client::try_connect(&config, PATIENCE).await.ok();
        }
        let answer = match &client {
            Some(client) => timeout(PATIENCE, client.text("SELECT pg_is_in_recovery()")).await,
            None => Ok(Err(anyhow::anyhow!("not connected"))),
        };
        let writable = matches!(&answer, Ok(Ok(recovering)) if recovering == "f");
        if !matches!(answer, Ok(Ok(_))) {
            client = None;
        }
        if writable != before {
            before = writable;
            let entry = Seen { at: now(), node: node.clone(), writable };
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    }
}
