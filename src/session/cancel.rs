//! Cancel requests: to the server that runs the client's query, and to no other client's.

use std::{sync::Arc, time::Duration};

use crate::{
    client::registry::{Activity, ClientEntry, Order, Registry},
    net::Dial,
    wire::startup::BackendKey,
};

/// A cancel request to a server takes no longer.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// What came of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It reached the server.
    Forwarded,
    /// It ended the client's waiting.
    StoppedWaiting,
    /// The client runs nothing and waits for nothing.
    NothingToCancel,
    /// Nobody has this key.
    UnknownKey,
    /// The server could not be reached.
    Failed,
}

impl Outcome {
    /// What it is counted under.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::StoppedWaiting => "stopped_waiting",
            Self::NothingToCancel => "nothing_to_cancel",
            Self::UnknownKey => "unknown_key",
            Self::Failed => "failed",
        }
    }
}

/// Carries out a cancel request. As with PostgreSQL, the client that sends it learns nothing of the outcome.
pub async fn cancel(key: &BackendKey, registry: &Registry, dial: &dyn Dial) -> Outcome {
    let outcome = match registry.find(key) {
        Some(entry) => cancel_client(&entry, dial).await,
        None => Outcome::UnknownKey,
    };
    tracing::debug!(outcome = outcome.word(), "a cancel request");
    outcome
}

/// Cancels what a client runs, or ends its waiting.
pub async fn cancel_client(entry: &Arc<ClientEntry>, dial: &dyn Dial) -> Outcome {
    let activity = entry.activity().0;
    // One that waits may have a server, which knows nothing of its request; what runs at that of one that rests is ours.
    let is_elsewhere = activity == Activity::Waiting || activity.is_rest();
    let at_server = if is_elsewhere { None } else { entry.begin_cancel() };
    let Some((target, on_its_way)) = at_server else {
        return match activity {
            Activity::Idle | Activity::IdleInTransaction | Activity::Pinned => Outcome::NothingToCancel,
            // Running without a server: it has got, or given back, one just now. Its session knows.
            Activity::Waiting | Activity::Running => {
                entry.tell(Order::StopWaiting);
                Outcome::StoppedWaiting
            }
        };
    };
    let request = crate::server::cancel(dial, &target.address, &target.approach, &target.key);
    let sent = tokio::time::timeout(CANCEL_MAX, request).await;
    if matches!(sent, Ok(Ok(()))) {
        on_its_way.arrived();
        Outcome::Forwarded
    } else {
        Outcome::Failed
    }
}
