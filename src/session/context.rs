//! What sessions share: with those of the same worker, and with those of the same listener.

use std::sync::{Arc, atomic::AtomicUsize};

use parking_lot::Mutex;

use super::{
    exchange::Exchange,
    readings::Readings,
    routes::Purpose,
    split::{atlas::Atlas, texts::Texts},
};
use crate::{
    client::registry::Registry,
    clock::Clock,
    metrics::WorkerCounters,
    notify::switchboard::Switchboard,
    pool::{account::PoolMode, pools::Pools},
    route::{consistency::Consistency, router::Router},
    wire::statements::Catalog,
};

/// Bytes read from a socket at once.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Exchanges kept for the next lease, at most, for each worker.
const SPARE_MAX: usize = 64;

/// One worker: a thread with its own runtime.
pub struct Worker {
    /// Its place among the workers.
    pub index: usize,
    /// What it counts.
    pub counters: WorkerCounters,
    /// Clients it serves.
    pub clients: AtomicUsize,
    /// Where bytes are read to and written anew. Only this worker's thread takes it, so it is always free.
    pub(super) scratch: Mutex<Scratch>,
    /// What long texts were read as.
    pub(super) readings: Readings,
    /// What texts without a name were found to be by those who split.
    pub(super) texts: Texts,
    #[expect(clippy::vec_box, reason = "the boxes themselves are what is kept")]
    spare: Mutex<Vec<Box<Exchange>>>,
}

/// Memory for one read or write, shared by all sessions of a worker.
pub(super) struct Scratch {
    pub(super) input: Box<[u8]>,
    pub(super) output: Vec<u8>,
}

impl Worker {
    /// Worker number `index`.
    pub fn new(index: usize) -> Self {
        let scratch =
            Scratch { input: vec![0; SCRATCH_BYTES].into(), output: Vec::with_capacity(SCRATCH_BYTES) };
        Self {
            index,
            counters: WorkerCounters::default(),
            clients: AtomicUsize::new(0),
            scratch: Mutex::new(scratch),
            readings: Readings::default(),
            texts: Texts::default(),
            spare: Mutex::default(),
        }
    }

    pub(super) fn spare_exchange(&self) -> Box<Exchange> {
        self.spare.lock().pop().unwrap_or_default()
    }

    pub(super) fn keep_exchange(&self, mut exchange: Box<Exchange>) {
        exchange.clear();
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_MAX {
            spare.push(exchange);
        }
    }
}

/// What the sessions of one listener on one worker share.
pub struct Context {
    /// The worker.
    pub worker: Arc<Worker>,
    /// Where requests go.
    pub purpose: Purpose,
    /// When servers go back, unless user or database say otherwise.
    pub mode: Option<PoolMode>,
    /// What reads must see, unless user or database say otherwise.
    pub consistency: Option<Consistency>,
    /// The routing table of the listener's cluster.
    pub router: Arc<Router>,
    /// All pools.
    pub pools: Pools,
    /// Who listens for notifications without a server.
    pub switchboard: Arc<Switchboard>,
    /// All statements.
    pub catalog: Arc<Catalog>,
    /// What is known of the databases.
    pub atlas: Arc<Atlas>,
    /// All clients.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Clock,
}
