//! Runs the store and the probes, folds what they tell, and publishes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::{fact::Fact, fence::Fence, ids::MemberName, topology::Topology};

/// What is called with each new topology, in order, right after the fence was written.
pub type Publish = Box<dyn Fn(&Arc<Topology>) + Send>;

/// A running watcher, for everybody else.
#[derive(Clone, Debug)]
pub struct WatcherHandle {
    facts: mpsc::Sender<Fact>,
    topology: Arc<ArcSwap<Topology>>,
    fence: Arc<Fence>,
}

impl WatcherHandle {
    /// Reports that something seems wrong with a member: a connection that worked broke, a connect was refused.
    /// Never a refused password, which any client could provoke. Never waits; one report more or less does not
    /// matter while the queue is full, since the member is being asked then.
    pub fn suspect(&self, member: MemberName, why: &str) {
        let _ = self.facts.try_send(Fact::Suspected { member, why: why.to_owned() });
    }

    /// What is known now.
    pub fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    /// The fence this watcher writes.
    pub fn fence(&self) -> Arc<Fence> {
        Arc::clone(&self.fence)
    }
}
