//! The program put together from a configuration and its surroundings: what it runs on and whom it talks to.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::watch};

use super::{
    app::App,
    clusters,
    drain::{Haste, drain},
    liaison::Liaison,
    listen::{ACCEPTOR, Door},
    lookups::Lookups,
    reception::{authenticator, users},
    reload::reload,
    run::Failure,
    serve::serve,
    settings::keepalive,
    stores::{self, Unwatchable, WatchedBy},
    timeouts,
    welcome::Welcomes,
};
use crate::{
    auth::mock::Mock,
    client::{Outside, Patience, registry::Registry},
    clock::Clock,
    cluster::watcher::WatcherHandle,
    config::{Cluster, Config, Source},
    metrics::Events,
    net::{Dial, NetDialer, Peer, Stream},
    notify::switchboard::Switchboard,
    pool::{pools::Pools, quota::Quota},
    session::context::Worker,
    wire::statements::Catalog,
};

/// Says who knows of a cluster's leader.
pub type OpenStore = Box<dyn Fn(&Cluster, Clock) -> Result<WatchedBy, Unwatchable>>;

/// What the program runs on and whom it talks to. The real ones, or those of a simulation.
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// Who dials servers.
    pub dial: Arc<dyn Dial>,
    /// The runtime that watches the clusters.
    pub control: Handle,
    /// The runtimes that serve clients; at least one.
    pub workers: Vec<Handle>,
    /// Opens a cluster's store.
    pub open_store: OpenStore,
}

impl Surroundings {
    /// The machine's clock, the network, the stores that the configuration names. Must be called on the runtime that
    /// is to watch the clusters.
    pub(super) fn real(config: &Config, workers: Vec<Handle>) -> Self {
        let dial: Arc<dyn Dial> = Arc::new(NetDialer::new(keepalive(config)));
        let to_store = dial.clone();
        Self {
            clock: Clock::boot(),
            dial,
            control: Handle::current(),
            workers,
            open_store: Box::new(move |cluster, clock| stores::watched_by(cluster, clock, &to_store)),
        }
    }
}

/// Connections that may be logging in at once, beyond `max_client_conn`: cancel requests must get through, and a client
/// too many is told so.
pub(super) const SPARE_ARRIVALS: usize = 100;

/// Connections that may be told at once that there are too many.
const TURNED_AWAY_MAX: usize = 100;

/// Puts the program together and begins to watch its clusters.
pub(super) fn assemble(config: Config, around: Surroundings) -> Result<Arc<App>, Failure> {
    let Surroundings { clock, dial, control, workers, open_store } = around;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("no random numbers: {error}"))?;
    let mock = Mock::new(secret);
    let users = users(&config, None, &mock);
    let events = Arc::<Events>::default();
    let outside = Arc::new(Outside::new(clock));
    let patience = Arc::new(Patience::new(clock, events.clone()));
    let authenticator = authenticator(&config, &users, &mock, &patience, &outside)?;
    let connections = Quota::new(config.limits().max_client_conn as usize);
    let arrivals = Quota::new(config.limits().max_client_conn as usize + SPARE_ARRIVALS);
    let replications = Quota::new(config.limits().max_replication_connections as usize);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let welcomes = Arc::new(Welcomes::default());
    let liaison = Arc::new(Liaison::new(welcomes.clone(), config.clone()));
    let pools = Pools::new(dial, clock, workers.clone(), liaison.clone());
    let nonce = getrandom::u64().map_err(|error| format!("no random numbers: {error}"))?;
    let switchboard = Arc::new(Switchboard::new(pools.clone(), control.clone(), nonce));
    let clusters = Arc::new(clusters::start(&config.load(), &pools, clock, &control, &open_store)?);
    liaison.introduce(clusters.clone());
    let worker = |(index, handle): (usize, Handle)| (Arc::new(Worker::new(index)), handle);
    Ok(Arc::new(App {
        config,
        clock,
        clusters,
        pools,
        switchboard,
        registry: Arc::new(Registry::default()),
        catalog: Arc::new(Catalog::default()),
        atlas: Arc::default(),
        workers: workers.into_iter().enumerate().map(worker).collect(),
        welcomes,
        authenticator: ArcSwap::from_pointee(authenticator),
        users: ArcSwap::new(users),
        mock,
        patience,
        outside,
        lookups: Lookups::default(),
        connections,
        replications,
        arrivals,
        turned_away: Quota::new(TURNED_AWAY_MAX),
        tenants: dashmap::DashMap::new(),
        stopping: watch::Sender::new(false),
        events,
    }))
}

/// Starts what goes on beside the clients: idle servers are listened to, time limits watched over. To be called on
/// the runtime that watches the clusters.
pub(super) fn attend(app: &Arc<App>) {
    for (index, (_, runtime)) in app.workers.iter().enumerate() {
        runtime.spawn(app.pools.clone().watch_idle(index));
    }
    tokio::spawn(timeouts::watch(app.clone()));
}

/// The program without a process of its own: no sockets, no signals. Connections are handed to it.
#[derive(Clone)]
pub struct Embedded {
    app: Arc<App>,
    /// Of each listener, on the worker that accepts.
    doors: Arc<[Arc<Door>]>,
}

impl Embedded {
    /// Puts the program together and starts what goes on beside the clients. Must be called on
    /// [`Surroundings::control`].
    ///
    /// # Errors
    /// A cluster of the configuration cannot be watched.
    pub fn start(config: Config, around: Surroundings) -> Result<Self, Failure> {
        let app = assemble(config, around)?;
        attend(&app);
        let config = app.config.load_full();
        let doors = config.listeners.iter().map(|listener| {
            let mut doors = Door::all(&app, listener)?;
            Ok(doors.swap_remove(ACCEPTOR))
        });
        let doors = doors.collect::<Result<_, String>>()?;
        Ok(Self { app, doors })
    }

    /// Serves one connection of the listener in this place of the configuration, from its first byte to its last.
    pub async fn serve(self, listener: usize, stream: Stream, peer: SocketAddr) {
        if let Some(door) = self.doors.get(listener).cloned() {
            serve(self.app, door, stream, Peer::Tcp(peer)).await;
        }
    }

    /// All pools.
    pub fn pools(&self) -> &Pools {
        &self.app.pools
    }

    /// The clients that are logged in.
    pub fn clients(&self) -> usize {
        self.app.registry.len()
    }

    /// Reads the configuration again, as SIGHUP has it done.
    pub fn reload(&self, source: &Source) {
        reload(&self.app, source);
    }

    /// Lets clients go, as SIGTERM has it done: over when all have left, or were told to.
    pub async fn drain(&self) {
        drain(&self.app, Haste::Patient).await;
    }

    /// The watcher of a cluster.
    pub fn watcher(&self, cluster: &str) -> Option<&WatcherHandle> {
        self.app.clusters.get(cluster).map(|cluster| &cluster.watcher)
    }
}
