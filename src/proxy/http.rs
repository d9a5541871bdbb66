//! The HTTP address: bound before anything is served, and shown what runs.

use std::{collections::BTreeSet, sync::Arc};

use tokio::net::TcpListener;

use super::app::App;
use crate::{
    admin::{self, ClusterView, View},
    clock::wall_time,
    config::{Config, RouteKind},
    session::routes::Purpose,
};

/// Binds `[http] address`, unless that is 0.
pub(super) async fn bind(config: &Config) -> Result<Option<TcpListener>, String> {
    let Some(address) = config.keys.http.address.0 else { return Ok(None) };
    let bound = TcpListener::bind(address).await.map_err(|error| {
        format!(
            "cannot serve metrics and status on {address}: {error}; \
             [http] address in the configuration names another, or switches this off with 0"
        )
    })?;
    Ok(Some(bound))
}

/// Answers requests until the program ends.
pub(super) async fn serve(listener: TcpListener, app: Arc<App>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving /metrics /health /ready /leader");
    }
    admin::http::serve(listener, Arc::new(view(&app))).await;
}

fn view(app: &Arc<App>) -> View {
    let cluster = |(name, cluster): (&String, &super::clusters::RunningCluster)| {
        let seen = ClusterView {
            watcher: cluster.watcher.clone(),
            router: cluster.router.clone(),
            rest: cluster.rest.clone(),
            probe_login: cluster.probe_login.clone(),
            hold_max: cluster.hold_max,
            switchover: admin::Switchover::default(),
        };
        (name.clone(), seen)
    };
    View {
        clock: app.clock,
        started_at: wall_time(),
        clusters: app.clusters.iter().map(cluster).collect(),
        routes: routes(&app.config.load()),
        pools: app.pools.clone(),
        registry: app.registry.clone(),
        workers: app.workers.iter().map(|(worker, _)| worker.clone()).collect(),
        connections: app.connections.clone(),
        replications: app.replications.clone(),
        switchboard: app.switchboard.clone(),
        tenants: {
            let app = app.clone();
            Box::new(move || app.tenants.len())
        },
        events: app.events.clone(),
        token: app.config.load().keys.http.token.clone(),
        stopping: app.stopping.subscribe(),
    }
}

/// Where listeners lead: to their own clusters, and to those that databases name. None of it changes without a
/// restart.
fn routes(config: &Config) -> BTreeSet<(String, Purpose, usize)> {
    let mut routes = BTreeSet::new();
    for listener in &config.listeners {
        let purpose = match listener.route {
            RouteKind::Write => Purpose::Write,
            RouteKind::Read => Purpose::Read,
            RouteKind::Split => Purpose::Split,
        };
        let named = config.keys.databases.values().filter_map(|database| database.cluster.as_ref());
        let selection = |cluster: &str| config.wanted_places(cluster, listener).of("");
        let clusters = named.chain([&listener.cluster]);
        routes.extend(clusters.map(|cluster| (cluster.clone(), purpose, selection(cluster))));
    }
    routes
}
