//! Limits that several pools share: server connections of one member, one database, one user.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use smallvec::SmallVec;

use crate::route::balance::Load;

/// What a pool has in common with others of its member.
pub(super) struct Shares {
    /// The limits that its servers count against.
    pub(super) quotas: SmallVec<[Arc<Quota>; 3]>,
    /// Servers of the member that are being opened at once.
    pub(super) opening: Arc<Quota>,
    /// What is known of the member's load.
    pub(super) load: Arc<Load>,
}

/// How many may exist at once.
#[derive(Debug, Default)]
pub struct Quota {
    used: AtomicUsize,
    /// 0: no limit.
    max: AtomicUsize,
}

impl Quota {
    /// A quota of `max`; 0 means no limit.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max: AtomicUsize::new(max) })
    }

    /// Changes the limit; what is above it goes in its own time.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How many may exist; 0: as many as there are.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// How many exist.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether there is a limit, and none is left.
    pub fn is_full(&self) -> bool {
        let max = self.max();
        max != 0 && self.used() >= max
    }

    /// Takes one, if there is one left.
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        let max = self.max.load(Ordering::Relaxed);
        let allowed = |used: usize| (max == 0 || used < max).then(|| used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, allowed).ok()?;
        Some(Permit(self.clone()))
    }
}

/// One of a quota; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Quota>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_are() {
        let quota = Quota::new(2);
        let (first, second) = (quota.take(), quota.take());
        assert!(first.is_some() && second.is_some() && quota.take().is_none() && quota.is_full());
        drop(first);
        assert!(!quota.is_full());
        assert!(quota.take().is_some());
        quota.set_max(0);
        let many: Vec<_> = (0..100).map(|_| quota.take()).collect();
        assert!(many.iter().all(Option::is_some));
        assert_eq!((quota.used(), quota.is_full()), (101, false));
        drop((many, second));
        assert_eq!(quota.used(), 0);
    }
}
