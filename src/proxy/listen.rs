//! Accepting connections and dealing them to the workers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{app::App, serve::serve, settings::keepalive};
use crate::{
    config::{ListenAddress, Listener, RouteKind, WantedPlaces},
    net::{Peer, Stream, UnixSocket},
    session::{context::Context, routes::Purpose},
    wire::error::{PgError, SqlState},
};

/// The worker that accepts.
pub(super) const ACCEPTOR: usize = 0;

/// How long nothing is accepted after an attempt failed for want of something (files, memory).
const BACK_OFF: Duration = Duration::from_millis(100);

/// One listener, as one worker has it.
pub(super) struct Door {
    pub(super) listener: Listener,
    /// For the listener's own cluster.
    pub(super) context: Arc<Context>,
    /// For each cluster, since a database may lead to another than the listener's.
    contexts: BTreeMap<String, ClusterDoor>,
}

/// A listener's way to one cluster.
pub(super) struct ClusterDoor {
    pub(super) cluster: String,
    pub(super) context: Arc<Context>,
    /// What its clients want of replicas there.
    pub(super) wanted: WantedPlaces,
}

impl Door {
    /// The doors of a listener, one for each worker.
    pub(super) fn all(app: &App, listener: &Listener) -> Result<Vec<Arc<Self>>, String> {
        let purpose = match listener.route {
            RouteKind::Write => Purpose::Write,
            RouteKind::Read => Purpose::Read,
            RouteKind::Split => Purpose::Split,
        };
        let config = app.config.load();
        let door = |worker: &Arc<crate::session::context::Worker>| {
            let mut contexts = BTreeMap::new();
            for (name, cluster) in &*app.clusters {
                let context = Arc::new(Context {
                    worker: worker.clone(),
                    purpose,
                    mode: listener.pool_mode.map(super::settings::pool_mode),
                    consistency: listener.consistency.map(super::settings::consistency),
                    router: cluster.router.clone(),
                    pools: app.pools.clone(),
                    switchboard: app.switchboard.clone(),
                    catalog: app.catalog.clone(),
                    atlas: app.atlas.clone(),
                    registry: app.registry.clone(),
                    clock: app.clock,
                });
                let wanted = config.wanted_places(name, listener);
                contexts.insert(name.clone(), ClusterDoor { cluster: name.clone(), context, wanted });
            }
            let own = contexts.get(&listener.cluster).map(|door| door.context.clone());
            let context =
                own.ok_or_else(|| format!("listener {}: no cluster {}", listener.address, listener.cluster))?;
            Ok(Arc::new(Self { listener: listener.clone(), context, contexts }))
        };
        app.workers.iter().map(|(worker, _)| door(worker)).collect()
    }

    /// The way to a cluster.
    pub(super) fn context_of(&self, cluster: &str, _app: &App) -> Result<&ClusterDoor, PgError> {
        self.contexts.get(cluster).ok_or_else(|| {
            PgError::fatal(SqlState::INTERNAL_ERROR, format!("cluster \"{cluster}\" is not running"))
                .hint("A cluster that was added to the configuration is served after a restart.")
        })
    }
}

/// A socket that listens.
pub(super) struct Bound {
    socket: Socket,
    listener: Listener,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// Binds a listener, so that a second instance or a missing privilege is noticed before anything is served.
pub(super) fn bind(listener: &Listener) -> Result<Bound, String> {
    let backlog = i32::try_from(listener.backlog).unwrap_or(i32::MAX);
    let bound = match &listener.address {
        ListenAddress::Tcp(address) => bind_tcp(*address, backlog).map(Socket::Tcp),
        ListenAddress::Unix { folder, port } => {
            UnixSocket::bind(folder, *port, listener.socket_mode.0, backlog).map(Socket::Unix)
        }
    };
    let socket = bound.map_err(|error| format!("cannot listen on {}: {error}", listener.address))?;
    Ok(Bound { socket, listener: listener.clone() })
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// What accepts, once it is with a runtime. A Unix socket's file goes with it.
enum Acceptor {
    Tcp(tokio::net::TcpListener),
    Unix { listener: tokio::net::UnixListener, _file: UnixSocket },
}

impl Acceptor {
    fn of(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Socket::Unix(socket) => {
                let listener = tokio::net::UnixListener::from_std(socket.listener.try_clone()?)?;
                Self::Unix { listener, _file: socket }
            }
        })
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(socket) => {
                socket.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _unnamed) = listener.accept().await?;
                let peer = Peer::of_unix(&stream);
                Ok((Stream::Unix(stream), peer))
            }
        }
    }

    /// Where it listens, with the port that was taken if any was to be.
    fn address(&self, asked: &ListenAddress) -> ListenAddress {
        match self {
            Self::Tcp(socket) => socket.local_addr().map_or_else(|_| asked.clone(), ListenAddress::Tcp),
            Self::Unix { .. } => asked.clone(),
        }
    }
}

impl Bound {
    /// Accepts until the program has ended: while it stops, too, because whoever still waits may be cancelled. To be run
    /// on a worker: what it deals to itself costs no wake-up.
    pub(super) async fn accept(self, app: Arc<App>) -> Result<Infallible, String> {
        let doors = Door::all(&app, &self.listener)?;
        let socket = Acceptor::of(self.socket).map_err(|error| error.to_string())?;
        let address = socket.address(&self.listener.address);
        tracing::info!(%address, route = self.listener.route.word(), cluster = self.listener.cluster, "listening");
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => deal(&app, &doors, stream, peer),
                Err(error) => {
                    tracing::warn!(%address, "cannot accept a connection: {error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Gives a connection to the worker with the fewest clients. The worker that accepts it has it registered already;
/// another registers it anew, once.
fn deal(app: &Arc<App>, doors: &[Arc<Door>], stream: Stream, peer: Peer) {
    let load = |place: &usize| app.workers[*place].0.clients.load(Ordering::Relaxed);
    let Some(place) = (0..doors.len()).min_by_key(load) else { return };
    let (app, door) = (app.clone(), doors[place].clone());
    if let Stream::Tcp(stream) = &stream
        && let Err(error) = keepalive(&app.config.load()).apply(stream)
    {
        tracing::debug!(client = %peer, "gone before it was served: {error}");
        return;
    }
    if place == ACCEPTOR {
        tokio::spawn(serve(app, door, stream, peer));
        return;
    }
    let Ok(stream) = stream.detach() else { return };
    let runtime = app.workers[place].1.clone();
    runtime.spawn(async move {
        match stream.attach() {
            Ok(stream) => serve(app, door, stream, peer).await,
            Err(error) => tracing::warn!(client = %peer, "cannot serve a connection: {error}"),
        }
    });
}
