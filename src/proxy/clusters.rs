//! The clusters that are watched, and what follows from each new topology.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{
    settings::approach,
    stores::{Unwatchable, WatchedBy, certificates},
};
use crate::{
    auth::secrets::{Credential, Password},
    clock::Clock,
    cluster::{
        fence::Fence,
        policy::{ClusterPolicy, LagBound, ProbePolicy, ReadPolicy},
        rest::PatroniRest,
        topology::{Mark, Standing, Topology, Within},
        watcher::{Watcher, WatcherHandle},
    },
    config::{self, Cluster, Config, Fallback, PatroniApi, StoreTls},
    pool::{pools::Pools, tether::Revoked},
    route::{
        balance::Balance,
        router::Router,
        selection::{Selection, SyncStandbys, Tag},
        table::{ReadFallback, RoutePolicy, RoutingTable},
    },
    server::{Approach, ServerLogin},
};

/// What is done with each new topology.
type Publisher = dyn Fn(&Arc<Topology>) + Send + Sync;

/// A cluster that is watched.
pub(super) struct RunningCluster {
    pub(super) router: Arc<Router>,
    pub(super) watcher: WatcherHandle,
    policy: Arc<ArcSwap<RoutePolicy>>,
    pub(super) probe_login: Arc<ArcSwap<ServerLogin>>,
    pub(super) rest: Option<Arc<PatroniRest>>,
    pub(super) hold_max: Duration,
    publish: Arc<Publisher>,
}

impl RunningCluster {
    /// Goes by other settings for replicas, and reaches the members in another way, from now on. To be called on the runtime that watches the cluster, so that
    /// routing tables stay in order.
    pub(super) fn reconfigure(&self, config: &Config, cluster: &Cluster, approach: &Approach) {
        self.probe_login.rcu(|login| ServerLogin { approach: approach.clone(), ..(**login).clone() });
        self.policy.store(Arc::new(route_policy(config, cluster)));
        if !self.watcher.set_reads(read_policy(config, cluster)) {
            tracing::error!(
                cluster = cluster.name,
                "busy: the bounds for replicas stay as they were; reload again"
            );
        }
        (self.publish)(&self.watcher.topology());
    }
}

/// Starts to watch every cluster of the configuration, on `runtime`.
pub(super) fn start(
    config: &Config,
    pools: &Pools,
    clock: Clock,
    runtime: &tokio::runtime::Handle,
    open_store: &dyn Fn(&Cluster, Clock) -> Result<WatchedBy, Unwatchable>,
) -> Result<BTreeMap<String, RunningCluster>, Unwatchable> {
    let mut running = BTreeMap::new();
    for (name, cluster) in &config.clusters {
        let (authority, store) = open_store(cluster, clock)?;
        let fence = Arc::new(Fence::closed());
        let router = Arc::new(Router::new(fence.clone()));
        let followed = Arc::new(ArcSwap::from_pointee(route_policy(config, cluster)));
        let publish: Arc<Publisher> =
            Arc::new(publisher(name, followed.clone(), router.clone(), pools.clone()));
        let policy = ClusterPolicy {
            name: name.as_str().into(),
            authority,
            probe: probe_policy(cluster, approach(config, name, None)),
            reads: read_policy(config, cluster),
            names_interval: cluster.names_interval,
            rest: cluster.patroni.as_ref().map(|api| patroni(api, name, pools)).transpose()?.map(Arc::new),
            switchover_hold_max: cluster.switchover_hold_max,
            headway: router.headway().clone(),
        };
        let probe_login = policy.probe.login.clone();
        let (rest, hold_max) = (policy.rest.clone(), policy.switchover_hold_max);
        let published = publish.clone();
        let published = Box::new(move |topology: &Arc<Topology>| published(topology));
        let watcher = Watcher::spawn(runtime.clone(), clock, pools.dial(), store, policy, fence, published);
        let policy = followed;
        let cluster = RunningCluster { router, watcher, policy, probe_login, rest, hold_max, publish };
        running.insert(name.clone(), cluster);
    }
    Ok(running)
}

/// What is done with each new topology: the routing table that follows from it is put in force, and the pools are
/// brought in line. All of it before the next fact is looked at.
fn publisher(
    name: &str,
    policy: Arc<ArcSwap<RoutePolicy>>,
    router: Arc<Router>,
    pools: Pools,
) -> impl Fn(&Arc<Topology>) + Send + Sync + use<> {
    let name = name.to_owned();
    move |topology| {
        for (member, known) in &topology.members {
            if let Some(latency) = known.latency {
                pools.load(&name, member).set_latency(latency);
            }
        }
        if !router.publish(RoutingTable::derive(topology, &policy.load())) {
            return;
        }
        let why = Revoked { reason: why(topology).into() };
        let cut = pools.apply(&name, &router.load(), &why);
        if cut > 0 {
            tracing::warn!(cluster = name, leases = cut, "cut off what was under way: {}", why.reason);
        }
    }
}

/// What ended the last term, or took a member out, for those who are cut off by it: whichever came last.
fn why(topology: &Topology) -> String {
    let deposed = topology.deposed.iter().map(|deposed| {
        (deposed.at, format!("{} does not lead any more: {}", deposed.term.member, deposed.reason))
    });
    let down = topology.members.iter().filter_map(|(name, member)| {
        let marked = member.mark.filter(|marked| marked.mark == Mark::Down)?;
        Some((marked.since, format!("{name}: {}", marked.mark)))
    });
    let lost = topology.members.iter().filter_map(|(name, member)| match (&member.standing, &member.probe) {
        (Standing::Lost(why), Some(probe)) => Some((probe.at, format!("the replica {name} is lost: {why}"))),
        _ => None,
    });
    let newest = deposed.chain(down).chain(lost).max_by_key(|(at, _)| *at);
    newest.map_or_else(|| "the cluster has another leader".to_owned(), |(_, why)| why)
}

/// How Patroni's REST API is reached.
fn patroni(api: &PatroniApi, cluster: &str, pools: &Pools) -> Result<PatroniRest, Unwatchable> {
    let files = StoreTls { ca_file: api.ca_file.clone(), client: api.client.clone() };
    let connector = match files.ca_file {
        None => None,
        Some(_) => {
            let tls = certificates(&files);
            tls.map_err(|why| format!("cluster {cluster}: Patroni's REST API: {why}"))?.connector
        }
    };
    let login = api.login.as_ref().map(|(user, password)| (user.as_str(), password.expose()));
    Ok(PatroniRest::new(pools.dial(), connector, login))
}

fn route_policy(config: &Config, cluster: &Cluster) -> RoutePolicy {
    let replicas = &cluster.replicas;
    RoutePolicy {
        fallback: match replicas.fallback {
            Fallback::Wait => ReadFallback::Wait,
            Fallback::Leader => ReadFallback::Leader,
            Fallback::Error => ReadFallback::Error,
        },
        balance: match replicas.balance {
            config::Balance::RoundRobin => Balance::RoundRobin,
            config::Balance::LeastConnections => Balance::LeastConnections,
            config::Balance::Latency => Balance::Latency,
        },
        zone: replicas.zone.clone(),
        selections: config.wanted(&cluster.name).into_iter().enumerate().map(selection).collect(),
    }
}

/// What somebody wants; the lag bounds stand in the same order.
fn selection((bound, wanted): (usize, config::Wanted)) -> Selection {
    let tag = |tag: config::Tag| Tag { name: tag.name, value: tag.value };
    Selection {
        bound,
        tags: wanted.required_tags.into_iter().map(tag).collect(),
        sync: match wanted.sync_standbys {
            config::SyncStandbys::Any => SyncStandbys::Any,
            config::SyncStandbys::Prefer => SyncStandbys::Prefer,
            config::SyncStandbys::Avoid => SyncStandbys::Avoid,
            config::SyncStandbys::Only => SyncStandbys::Only,
            config::SyncStandbys::Never => SyncStandbys::Never,
        },
    }
}

const _: () = assert!(config::WANTS_MAX <= Within::BOUNDS_MAX, "each want has a bound");

fn read_policy(config: &Config, cluster: &Cluster) -> ReadPolicy {
    let bound = |wanted: config::Wanted| LagBound {
        bytes: wanted.lag_bytes_max.unwrap_or(u64::MAX),
        time: wanted.lag_time_max.unwrap_or(Duration::MAX),
    };
    ReadPolicy {
        bounds: config.wanted(&cluster.name).into_iter().map(bound).collect(),
        no_leader_grace: cluster.replicas.no_leader_grace.0,
        slow_start: cluster.replicas.slow_start.0,
    }
}

fn probe_policy(cluster: &Cluster, approach: Approach) -> ProbePolicy {
    let probe = &cluster.probe;
    let password = |secret: &config::Secret| Credential::Password(Password::new(secret.expose().as_bytes()));
    ProbePolicy {
        interval: probe.interval,
        timeout: probe.timeout,
        login: Arc::new(ArcSwap::from_pointee(ServerLogin {
            user: probe.user.clone(),
            database: probe.database.clone(),
            parameters: vec![("application_name".to_owned(), "pgsteer".to_owned())],
            credential: probe.password.as_ref().map_or(Credential::None, password),
            protocol: super::settings::protocol(cluster.protocol),
            approach,
        })),
    }
}
