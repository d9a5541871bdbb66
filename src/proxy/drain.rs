//! Stopping: nobody new, transactions finish, then it is over.

use std::{sync::Arc, time::Duration};

use super::app::App;
use crate::client::registry::Order;

/// How long SIGINT lets transactions finish.
const QUICK_MAX: Duration = Duration::from_secs(3);

/// How long clients that are cut off at the end may take to read why.
const LAST_WORDS_MAX: Duration = Duration::from_millis(1200);

/// How often it is looked whether everybody has left.
const INTERVAL: Duration = Duration::from_millis(10);

/// How it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// SIGTERM: transactions get `drain_timeout`.
    Patient,
    /// SIGINT: they get three seconds at most.
    Quick,
}

/// Lets clients go: idle ones at once, others when their transaction has ended, all of them when time is up.
pub(super) async fn drain(app: &Arc<App>, haste: Haste) {
    let patience = app.config.load().limits().drain_timeout;
    let patience = if haste == Haste::Quick { patience.min(QUICK_MAX) } else { patience };
    tracing::info!(
        clients = app.registry.len(),
        ?patience,
        "stopping: no new clients, transactions may finish"
    );
    app.stopping.send_replace(true);
    app.registry.for_each(|entry| entry.tell(Order::Drain));
    if !empty(app, patience).await {
        tracing::warn!(clients = app.registry.len(), "time is up: cutting off the clients that are left");
        app.registry.for_each(|entry| entry.tell(Order::Terminate));
        empty(app, LAST_WORDS_MAX).await;
    }
    app.pools.close_idle();
}

async fn empty(app: &App, patience: Duration) -> bool {
    let gone = async {
        // The permit of a client is given back when it has been told its last word.
        while app.connections.used() > 0 {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(patience, gone).await.is_ok()
}
