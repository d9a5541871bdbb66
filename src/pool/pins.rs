//! Servers that clients keep because of what their sessions hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::pool::Pool;

/// How many servers of a pool are kept so.
#[derive(Debug, Default)]
pub(super) struct Pins(AtomicUsize);

/// One of them, for as long as it is kept.
pub struct PinGuard {
    pool: Arc<Pool>,
}

impl Pool {
    /// Keeps a server for the client that has it; `None`: as many are kept as may be.
    pub fn pin(self: &Arc<Self>) -> Option<PinGuard> {
        let max = self.account.settings.load().pin_max.unwrap_or(usize::MAX);
        let kept = self
            .pins
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |kept| (kept < max).then_some(kept + 1));
        kept.is_ok().then(|| PinGuard { pool: self.clone() })
    }

    /// How many servers clients keep.
    pub fn pinned(&self) -> usize {
        self.pins.0.load(Ordering::Acquire)
    }
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        self.pool.pins.0.fetch_sub(1, Ordering::AcqRel);
    }
}
