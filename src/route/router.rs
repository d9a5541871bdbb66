//! The routing table in force, for every worker to read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, futures::Notified};

use super::table::RoutingTable;
use crate::{
    clock::Moment,
    cluster::{fence::Fence, headway::Headway},
};

/// The routing table in force. Reading it takes no lock; its number alone costs one load.
#[derive(Debug)]
pub struct Router {
    table: ArcSwap<RoutingTable>,
    seq: AtomicU64,
    changed: Notify,
    fence: Arc<Fence>,
    headway: Arc<Headway>,
}

impl Router {
    /// A router that knows nothing yet: everything waits.
    pub fn new(fence: Arc<Fence>) -> Self {
        let table = ArcSwap::from_pointee(RoutingTable::unknown());
        Self { table, seq: AtomicU64::new(0), changed: Notify::new(), fence, headway: Arc::default() }
    }

    /// The table in force.
    #[inline]
    pub fn load(&self) -> Guard<Arc<RoutingTable>> {
        self.table.load()
    }

    /// The number of the table in force: a lease that was granted under it needs no second look.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Whether a write of the term `epoch` may be sent at `now`.
    #[inline]
    pub fn may_send(&self, epoch: u64, now: Moment) -> bool {
        self.fence.may_send(epoch, now)
    }

    /// The fence.
    pub const fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// How far the replicas have come.
    #[inline]
    pub const fn headway(&self) -> &Arc<Headway> {
        &self.headway
    }

    /// Puts a table in force. A table that routes no differently wakes nobody and keeps its number. Tables come
    /// from one thread, in order.
    pub fn publish(&self, mut table: RoutingTable) -> bool {
        if self.table.load().routes_like(&table) {
            return false;
        }
        let seq = self.seq() + 1;
        table.seq = seq;
        self.table.store(Arc::new(table));
        self.seq.store(seq, Ordering::Release);
        self.changed.notify_waiters();
        true
    }

    /// Ends when the next table is put in force after this call. Those who wait are woken in the order in which they
    /// began to.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
