//! From a configuration to a running program, and to its end.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    app::{App, authenticator, users},
    clusters,
    drain::{Haste, drain},
    liaison::Liaison,
    limits::raise_open_files,
    listen::{self, Bound},
    reload::reload,
    settings::keepalive,
    timeouts,
    welcome::Welcomes,
    workers::{self, Threads},
};
use crate::{
    auth::mock::Mock,
    client::registry::Registry,
    clock::Clock,
    config::{Config, Source},
    net::NetDialer,
    pool::{pools::Pools, quota::Quota},
    session::context::Worker,
    wire::statements::Catalog,
};

/// Why the program could not start, or stopped: a sentence for whoever started it.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves clients until told to stop.
///
/// # Errors
/// The configuration cannot be used, or an address is taken.
pub fn run(source: Source) -> Result<(), Failure> {
    let config = source.load()?;
    let log = super::logging::start(&config);
    for warning in config.warnings() {
        tracing::warn!("configuration: {}", warning.what());
    }
    let limits = config.limits();
    if let Some(warning) = raise_open_files(limits.max_client_conn.into(), limits.max_client_conn.into()) {
        tracing::warn!("{warning}");
    }
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let threads = Threads::start(workers::count(config.keys.runtime.workers))?;
    let outcome = control.block_on(serve(source, config, &threads, log));
    threads.stop();
    outcome
}

async fn serve(
    source: Source,
    config: Config,
    threads: &Threads,
    log: super::logging::Log,
) -> Result<(), Failure> {
    let bound = config.listeners.iter().map(listen::bind).collect::<Result<Vec<Bound>, String>>()?;
    let http = super::http::bind(&config).await?;
    let app = assemble(config, threads)?;
    for (index, (_, runtime)) in app.workers.iter().enumerate() {
        runtime.spawn(app.pools.clone().watch_idle(index));
    }
    for listener in bound {
        let acceptor = listener.accept(app.clone());
        app.workers[listen::ACCEPTOR].1.spawn(async move {
            if let Err(error) = acceptor.await {
                tracing::error!("{error}");
            }
        });
    }
    tokio::spawn(timeouts::watch(app.clone()));
    if let Some(http) = http {
        tokio::spawn(super::http::serve(http, app.clone()));
    }
    until_stopped(&app, &source, &log).await?;
    tracing::info!("stopped");
    Ok(())
}

fn assemble(config: Config, threads: &Threads) -> Result<Arc<App>, Failure> {
    let clock = Clock::boot();
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("no random numbers: {error}"))?;
    let mock = Mock::new(secret);
    let users = users(&config, None, &mock);
    let authenticator = authenticator(&config, &users, &mock);
    let dial = Arc::new(NetDialer::new(keepalive(&config)));
    let connections = Quota::new(config.limits().max_client_conn as usize);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let welcomes = Arc::new(Welcomes::default());
    let liaison = Arc::new(Liaison::new(welcomes.clone(), config.clone()));
    let pools = Pools::new(dial, clock, threads.handles.clone(), liaison.clone());
    let runtime = tokio::runtime::Handle::current();
    let clusters = Arc::new(clusters::start(&config.load(), &pools, clock, &runtime)?);
    liaison.introduce(clusters.clone());
    let worker =
        |(index, handle): (usize, &tokio::runtime::Handle)| (Arc::new(Worker::new(index)), handle.clone());
    Ok(Arc::new(App {
        config,
        clock,
        clusters,
        pools,
        registry: Arc::new(Registry::default()),
        catalog: Arc::new(Catalog::default()),
        workers: threads.handles.iter().enumerate().map(worker).collect(),
        welcomes,
        authenticator: ArcSwap::from_pointee(authenticator),
        users: ArcSwap::new(users),
        mock,
        connections,
        tenants: dashmap::DashMap::new(),
        stopping: watch::Sender::new(false),
        events: Arc::default(),
    }))
}

/// Waits for signals: HUP reads the configuration again, TERM and INT end the program; a second one ends it at once.
async fn until_stopped(app: &Arc<App>, source: &Source, log: &super::logging::Log) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let haste = tokio::select! {
            _ = hangup.recv() => {
                reload(app, source);
                log.follow(&app.config.load());
                continue;
            }
            _ = terminate.recv() => Haste::Patient,
            _ = interrupt.recv() => Haste::Quick,
        };
        let drained = drain(app, haste);
        tokio::select! {
            () = drained => {}
            _ = terminate.recv() => tracing::warn!("told to stop a second time: not waiting any longer"),
            _ = interrupt.recv() => tracing::warn!("told to stop a second time: not waiting any longer"),
        }
        return Ok(());
    }
}
