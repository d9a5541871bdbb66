//! A member that may not be used any more: what is open there ends.

use std::sync::{Arc, atomic::Ordering};

use super::{pool::Pool, slots::Event, tether::Revoked, trouble::Trouble};
use crate::{clock::Moment, server::conn::End};

impl Pool {
    /// Cuts off the leases that `which` picks by their term; how many were.
    pub(super) fn revoke(&self, why: &Revoked, which: impl Fn(u64) -> bool) -> usize {
        let state = self.state.lock();
        let cut = state.leased.iter().flatten().filter(|leased| which(leased.term));
        cut.map(|leased| leased.tether.revoke(leased.number, why)).count()
    }

    /// Its member was deposed: whatever is open there ends, without another byte. How many leases were cut off.
    pub(super) fn depose(self: &Arc<Self>, why: &Revoked, now: Moment) -> usize {
        self.deposed.send_replace(true);
        let cut = self.revoke(why, |_| true);
        let mut state = self.state.lock();
        state.leads = 0;
        for server in state.servers.iter_mut().flatten() {
            server.end = End::Silent;
        }
        self.handle_locked(state, now, Event::CloseIdle);
        self.reroute_waiting(now);
        cut
    }

    /// Its member is not there any more: what idles there is closed, what is read there cut off. What was written there
    /// is not for this to judge. How many leases were cut off.
    pub(super) fn lose(self: &Arc<Self>, why: &Revoked, now: Moment) -> usize {
        let cut = self.revoke(why, |term| term == 0);
        let mut state = self.state.lock();
        for server in state.servers.iter_mut().flatten() {
            server.end = End::Silent;
        }
        self.handle_locked(state, now, Event::CloseIdle);
        cut
    }

    /// Its member is not, or no longer, deposed; it leads or it does not.
    pub(super) fn reinstate(&self, leads: bool) {
        self.deposed.send_if_modified(std::mem::take);
        if !leads {
            self.state.lock().leads = 0;
        }
    }

    /// Its member is known to lead in a term, or (with 0) to serve as a replica.
    pub(super) fn note_office(&self, term: u64) {
        self.leads.store(term, Ordering::Release);
    }

    /// The term by whose right something may be sent there to what was a replica, when it was lent; 0: none is needed.
    #[inline]
    pub(super) fn office(&self) -> u64 {
        self.leads.load(Ordering::Acquire)
    }

    /// Failed attempts may be repeated at once: the cluster has changed.
    pub(super) fn forgive(self: &Arc<Self>, now: Moment) {
        let mut state = self.state.lock();
        state.trouble = Trouble::default();
        self.handle_locked(state, now, Event::Retry);
    }

    /// Waits until its member is deposed.
    pub(super) async fn is_deposed(&self) {
        // The sender lives as long as the pool.
        let _ = self.deposed.subscribe().wait_for(|deposed| *deposed).await;
    }
}
