//! From a configuration to a running program, and to its end.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    app::App,
    assembly::{Surroundings, assemble, attend},
    drain::{Haste, drain},
    limits::raise_open_files,
    listen::{self, Bound},
    reload::reload,
    workers::{self, Threads},
};
use crate::config::{Config, Source};

/// Why the program could not start, or stopped: a sentence for whoever started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves clients until told to stop.
///
/// # Errors
/// The configuration cannot be used, or an address is taken.
pub fn run(source: Source) -> Result<(), Failure> {
    let config = source.load()?;
    let log = super::logging::start(&config);
    for warning in config.warnings() {
        tracing::warn!("configuration: {warning}");
    }
    let limits = config.limits();
    let clients = u64::from(limits.max_client_conn);
    let servers = clients + u64::from(limits.max_replication_connections);
    if let Some(warning) = raise_open_files(clients, servers) {
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
    let surroundings = Surroundings::real(&config, threads.handles.clone());
    let app = assemble(config, surroundings)?;
    attend(&app);
    for listener in bound {
        let acceptor = listener.accept(app.clone());
        app.workers[listen::ACCEPTOR].1.spawn(async move {
            let Err(error) = acceptor.await;
            tracing::error!("{error}");
        });
    }
    if let Some(http) = http {
        tokio::spawn(super::http::serve(http, app.clone()));
    }
    until_stopped(&app, &source, &log).await?;
    tracing::info!("stopped");
    Ok(())
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
