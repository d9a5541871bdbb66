//! What the administration sees of the running program.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::switchover::Switchover;
use crate::{
    client::registry::Registry,
    clock::Clock,
    cluster::{rest::PatroniRest, watcher::WatcherHandle},
    config::Secret,
    metrics::Events,
    notify::switchboard::Switchboard,
    pool::{pools::Pools, quota::Quota},
    route::router::Router,
    server::ServerLogin,
    session::{context::Worker, routes::Purpose},
};

/// What is seen. Nothing in it is changed from here but by an operator's order.
pub struct View {
    /// The time.
    pub clock: Clock,
    /// When the process started, by the wall clock.
    pub started_at: Duration,
    /// The clusters by name.
    pub clusters: BTreeMap<String, ClusterView>,
    /// What clients can come for: the clusters and routes to which a listener leads.
    /// The number is the place of what they want of replicas.
    pub routes: BTreeSet<(String, Purpose, usize)>,
    /// All pools.
    pub pools: Pools,
    /// All clients.
    pub registry: Arc<Registry>,
    /// All workers.
    pub workers: Vec<Arc<Worker>>,
    /// Client connections.
    pub connections: Arc<Quota>,
    /// Replication connections, which are clients' as well.
    pub replications: Arc<Quota>,
    /// Who listens for notifications without a server.
    pub switchboard: Arc<Switchboard>,
    /// Users and databases that are remembered.
    pub tenants: Box<dyn Fn() -> usize + Send + Sync>,
    /// What was counted for the whole process.
    pub events: Arc<Events>,
    /// Who shows it may give orders; `None`: nobody may.
    pub token: Option<Secret>,
    /// Whether it is about to end.
    pub stopping: tokio::sync::watch::Receiver<bool>,
}

/// One cluster.
pub struct ClusterView {
    /// What is known of it.
    pub watcher: WatcherHandle,
    /// Where its writes and reads go.
    pub router: Arc<Router>,
    /// How Patroni is asked for a change of leader; `None` where there is no Patroni.
    pub rest: Option<Arc<PatroniRest>>,
    /// As whom a checkpoint is asked for.
    pub probe_login: Arc<ArcSwap<ServerLogin>>,
    /// How long new transactions wait for a leader that steps down.
    pub hold_max: Duration,
    /// The change of leader that an operator has asked for last.
    pub switchover: Switchover,
}
