//! Time limits of clients, looked at by one task instead of a timer for each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::app::App;
use crate::{
    client::registry::{Activity, ClientEntry, Order},
    clock::Moment,
    pool::{account::Account, warming::Warmth},
    session::{cancel::cancel_client, session::WAIT_NOTICE_AFTER},
};

/// How often the limits are looked at: a time-out comes at most so much late.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long a query that was cancelled may take to end before its client is cut off.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Watches over the clients' time limits and lets the pools look at the clock, until the program ends.
pub(super) async fn watch(app: Arc<App>) {
    let mut cancelled: BTreeMap<u32, Moment> = BTreeMap::new();
    let mut warmth = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        warmth = keep_warm(&app, warmth);
        app.pools.tick();
        let now = app.clock.now();
        app.lookups.sweep(now);
        let stopping = *app.stopping.borrow();
        let mut running = BTreeMap::new();
        app.registry.for_each(|entry| {
            if stopping {
                entry.tell(Order::Drain);
            }
            if let Some(began) = look(&app, entry, now, cancelled.get(&entry.key.pid).copied()) {
                running.insert(entry.key.pid, began);
            }
        });
        cancelled = running;
    }
}

/// Has connections opened ahead; where that has been switched off, they are let go. What holds now.
fn keep_warm(app: &App, before: Option<Warmth>) -> Option<Warmth> {
    let limits = app.config.load().limits();
    let [members, each] = [limits.warm_candidates, limits.warm_connections_max].map(|count| count as usize);
    let warmth = Warmth { members, each };
    if members > 0 || before.is_some_and(|before| before.members > 0) {
        for (name, cluster) in &*app.clusters {
            app.pools.keep_warm(name, &cluster.router.load(), warmth);
        }
    }
    Some(warmth)
}

/// Looks at one client. Returns when its query began, if that was cancelled for running too long.
fn look(app: &Arc<App>, entry: &Arc<ClientEntry>, now: Moment, cancelled: Option<Moment>) -> Option<Moment> {
    let settings = entry.account.settings.load();
    let (activity, since) = entry.activity();
    let over = |limit: Option<Duration>| limit.is_some_and(|limit| now.since(since) >= limit);
    if let (Some(limit), Some(began)) = (settings.transaction_timeout, entry.transaction_since())
        && now.since(began) >= limit
    {
        entry.tell(Order::TransactionTimeout);
    }
    match activity {
        Activity::Pinned if over(settings.pin_timeout) => entry.tell(Order::PinTimeout),
        Activity::Idle | Activity::Pinned if over(settings.client_idle_timeout) => {
            entry.tell(Order::IdleTimeout)
        }
        Activity::Idle if over(entry.rest_max()) => entry.tell(Order::IdleSessionTimeout),
        Activity::IdleInTransaction if over(settings.idle_transaction_timeout) => {
            entry.tell(Order::IdleInTransactionTimeout);
        }
        // It looks at its own limits, and says that it waits.
        Activity::Waiting if over(settings.query_wait_timeout) || over(Some(WAIT_NOTICE_AFTER)) => {
            entry.tether.wake();
        }
        Activity::Running if over(settings.query_timeout) => {
            if cancelled == Some(since) {
                let grace = settings.query_timeout.unwrap_or_default() + CANCEL_GRACE;
                if now.since(since) >= grace {
                    entry.tell(Order::QueryTimeout);
                }
            } else {
                let (app, entry) = (app.clone(), entry.clone());
                tokio::spawn(async move {
                    let outcome = cancel_client(&entry, &*app.pools.dial()).await;
                    app.events.cancels.count(["query_timeout", outcome.word()]);
                    // The server tells the client of a user's request, since that is how it is asked.
                    let (pid, outcome) = (entry.key.pid, outcome.word());
                    let Account { login, alias, .. } = &*entry.account;
                    tracing::info!(user = %login, database = %alias, pid, outcome, "query_timeout: cancelling the query");
                });
            }
            return Some(since);
        }
        _ => {}
    }
    None
}
