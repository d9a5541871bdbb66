//! Servers by the process ids they have at home, for those who are told of nothing else.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::lease::CancelTarget;
use crate::net::Address;

/// Servers that have gone are forgotten when there are so many more.
const FORGET_AFTER: usize = 1024;

/// Servers by address and process id.
#[derive(Debug, Default)]
pub(super) struct Backends(DashMap<(Address, u32), Weak<CancelTarget>>);

impl Backends {
    /// A server was opened.
    pub(super) fn add(&self, server: &Arc<CancelTarget>) {
        if self.0.len() % FORGET_AFTER == FORGET_AFTER - 1 {
            self.0.retain(|_, server| server.strong_count() > 0);
        }
        self.0.insert((server.address.clone(), server.key.pid), Arc::downgrade(server));
    }

    /// The process id that the client was told which had this server process last.
    pub(super) fn client_of(&self, address: &Address, pid: u32) -> Option<u32> {
        self.0.get(&(address.clone(), pid))?.upgrade()?.client()
    }

    /// The one before it.
    pub(super) fn earlier_client_of(&self, address: &Address, pid: u32) -> Option<u32> {
        self.0.get(&(address.clone(), pid))?.upgrade()?.earlier_client()
    }
}
