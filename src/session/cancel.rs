//! Cancel requests: to the server that runs the client's query, and to no other client's.

use std::{sync::Arc, time::Duration};

use crate::{
    client::registry::{Activity, ClientEntry, Order, Registry},
    net::Dial,
    wire::startup::BackendKey,
};

/// A cancel request to a server takes no longer.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// Carries out a cancel request. As with PostgreSQL, the client that sends it learns nothing of the outcome.
pub async fn cancel(key: &BackendKey, registry: &Registry, dial: &dyn Dial) {
    match registry.find(key) {
        Some(entry) => {
            if !cancel_client(&entry, dial).await {
                tracing::debug!("a cancel request found nothing running");
            }
        }
        None => tracing::debug!("a cancel request with an unknown key"),
    }
}

/// Cancels what a client runs, or ends its waiting. Whether the request reached a server.
pub async fn cancel_client(entry: &Arc<ClientEntry>, dial: &dyn Dial) -> bool {
    let Some((target, on_its_way)) = entry.begin_cancel() else {
        if entry.activity().0 == Activity::Waiting {
            entry.tell(Order::StopWaiting);
        }
        return false;
    };
    let sent =
        tokio::time::timeout(CANCEL_MAX, crate::server::cancel(dial, &target.address, &target.key)).await;
    drop(on_its_way);
    matches!(sent, Ok(Ok(())))
}
