//! Servers by the process ids they have at home, for those who are told of nothing else.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::lease::CancelTarget;

/// Servers that have gone are forgotten when so many more have come.
const FORGET_AFTER: usize = 1024;

/// Which server: cluster, member, process id.
type Key = (Box<str>, Box<str>, u32);

/// Servers by member and process id.
#[derive(Debug, Default)]
pub(super) struct Backends(DashMap<Key, Weak<CancelTarget>>);

impl Backends {
    /// A server was opened.
    pub(super) fn add(&self, member: [&str; 2], server: &Arc<CancelTarget>) {
        if self.0.len() % FORGET_AFTER == FORGET_AFTER - 1 {
            self.0.retain(|_, server| server.strong_count() > 0);
        }
        let [cluster, member] = member;
        self.0.insert((cluster.into(), member.into(), server.key.pid), Arc::downgrade(server));
    }

    /// The server of this process id.
    pub(super) fn find(&self, member: [&str; 2], pid: u32) -> Option<Arc<CancelTarget>> {
        let [cluster, member] = member;
        self.0.get(&(cluster.into(), member.into(), pid))?.upgrade()
    }
}
