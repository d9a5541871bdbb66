//! Asking a server what a client has left in its session, before the server is given back.

use std::{sync::Arc, time::Duration};

use super::context::Context;
use crate::{
    clock::Moment,
    pool::lease::Lease,
    server::{Told, ask},
};

/// An inspection takes no longer.
const INSPECTION_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether there is the right to write again.
const FENCE_RECHECK: Duration = Duration::from_millis(5);

/// What an inspection came to.
pub(super) enum Inspected {
    /// The answer, or why the server did not say.
    Told(Told),
    /// The server is gone; how that showed.
    Lost(String),
    /// The right to write did not come back in time.
    NoRight,
}

/// Asks a leased server. Nothing is sent to it without the right to write there, and nothing that a leader says is believed before
/// somebody watches it: this process may have stood still meanwhile, and the lease been revoked for good reason.
pub(super) async fn inspect(
    context: Arc<Context>,
    mut lease: Lease,
    queries: Vec<Vec<u8>>,
    patience: Option<Duration>,
) -> (Lease, Inspected) {
    let since = context.clock.now();
    let is_over = |now: Moment| patience.is_some_and(|patience| now.since(since) >= patience);
    let term = lease.office();
    while term != 0 && !context.router.may_send(term, context.clock.now()) {
        if is_over(context.clock.now()) {
            return (lease, Inspected::NoRight);
        }
        tokio::time::sleep(FENCE_RECHECK).await;
    }
    let Some(server) = lease.server() else {
        return (lease, Inspected::Lost("it was given back".to_owned()));
    };
    let asked = tokio::time::timeout(INSPECTION_MAX, ask(&mut server.conn.stream, &queries)).await;
    while term != 0 && !context.router.fence().is_attended(context.clock.now()) {
        if is_over(context.clock.now()) {
            return (lease, Inspected::NoRight);
        }
        tokio::time::sleep(FENCE_RECHECK).await;
    }
    let inspected = match asked {
        Ok(Ok(told)) => Inspected::Told(told),
        Ok(Err(error)) => Inspected::Lost(error.to_string()),
        Err(_) => Inspected::Lost("it did not say in time what its session holds".to_owned()),
    };
    (lease, inspected)
}
