//! What is counted on the data path: plain numbers, each written by one worker alone and summed when asked for.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only ever called by the thread that owns it, so no locked instruction is needed.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// ReadyForQuery messages passed on.
    pub queries: Counter,
    /// Of these, with no transaction left open.
    pub transactions: Counter,
    /// Bytes received from clients.
    pub client_bytes: Counter,
    /// Bytes received from servers.
    pub server_bytes: Counter,
    /// Leases granted.
    pub leases: Counter,
    /// Leases that had to be waited for.
    pub waits: Counter,
    /// Microseconds spent waiting for a server.
    pub wait_us: Counter,
}
