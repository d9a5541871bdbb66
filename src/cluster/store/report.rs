//! Tells what was read, and warns of what cannot be read, once.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::{
    StoreEvent,
    keys::{Keys, Unreadable},
};
use crate::clock::{Clock, Moment};

/// Nobody receives events any more.
pub(super) struct Closed;

/// How the use of an endpoint ended.
pub(super) enum Ended {
    /// The events are not received any more.
    NobodyListens,
    /// It failed, after it had answered at least once or not.
    Failed { reason: String, worked: bool },
}

/// Sends events, and warns of what cannot be read, once.
pub(super) struct Reporter {
    pub(super) clock: Clock,
    events: mpsc::Sender<StoreEvent>,
    warned: BTreeSet<String>,
}

impl Reporter {
    pub(super) const fn new(clock: Clock, events: mpsc::Sender<StoreEvent>) -> Self {
        Self { clock, events, warned: BTreeSet::new() }
    }

    pub(super) async fn lost(&self, reason: String) -> Result<(), Closed> {
        self.send(StoreEvent::Lost { reason }).await
    }

    pub(super) async fn read(
        &mut self,
        keys: &Keys,
        revision: u64,
        asked_at: Moment,
        right_until: Option<Moment>,
    ) -> Result<(), Closed> {
        let (snapshot, unreadable) = keys.snapshot(asked_at, revision, right_until);
        self.warned.retain(|key| unreadable.iter().any(|u| u.key == *key));
        for Unreadable { key, why } in unreadable {
            if self.warned.insert(key.clone()) {
                tracing::warn!(key, why, "a record in the store cannot be read and is ignored");
            }
        }
        self.send(StoreEvent::Read(snapshot)).await
    }

    pub(super) async fn send(&self, event: StoreEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    /// Once nobody receives events any more.
    pub(super) async fn closed(&self) {
        self.events.closed().await;
    }
}
