//! The fence: whether a byte may go out on a write route now, and whether what comes back is believed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// The term in force and the moment up to which there is a right to write to it. Read before every slice that is
/// forwarded on a write route, by every worker; written by the watcher alone.
///
/// Epoch 0 means that no term is in force.
#[derive(Debug)]
pub struct Fence {
    epoch: AtomicU64,
    deadline: AtomicU64,
    attended_until: AtomicU64,
}

impl Fence {
    /// A fence that lets nothing through.
    pub const fn closed() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            attended_until: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether a write of the term `epoch` may be sent at `now`.
    ///
    /// The deadline is read before the epoch and written after it (see [`Self::set`]): a deadline that was read
    /// belongs to the epoch read after it or to an earlier one, so that an expired term can never be seen together
    /// with its successor's deadline.
    #[inline]
    pub fn may_send(&self, epoch: u64, now: Moment) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        epoch != 0 && self.epoch.load(Ordering::Acquire) == epoch && now.nanos() < deadline
    }

    /// Whether somebody watches at `now`: otherwise the leader may have been deposed long ago, and what it said is not passed on.
    #[inline]
    pub fn is_attended(&self, now: Moment) -> bool {
        now.nanos() < self.attended_until.load(Ordering::Acquire)
    }

    /// Somebody watches until then. A fence of which this was never said is attended.
    pub fn attend(&self, until: Moment) {
        self.attended_until.store(until.nanos(), Ordering::Release);
    }

    /// The epoch of the term in force; 0 if there is none.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Up to when writes may be sent to the term in force.
    #[inline]
    pub fn deadline(&self) -> Moment {
        Moment::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    /// Puts a term in force (0: none) with the right to write to it until `deadline`. One writer only: the
    /// watcher (or a test that stands in for it).
    pub fn set(&self, epoch: u64, deadline: Moment) {
        if self.epoch.load(Ordering::Relaxed) != epoch {
            self.deadline.store(0, Ordering::Release);
            self.epoch.store(epoch, Ordering::Release);
        }
        self.deadline.store(if epoch == 0 { 0 } else { deadline.nanos() }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_through_its_term_until_the_deadline() {
        let at = Moment::from_nanos;
        let fence = Fence::closed();
        assert!(!fence.may_send(0, at(0)), "no term is no permission");
        fence.set(7, at(100));
        assert!(fence.may_send(7, at(99)));
        assert!(!fence.may_send(7, at(100)), "the deadline itself is too late");
        assert!(!fence.may_send(6, at(1)));
        fence.set(8, at(200));
        assert!(!fence.may_send(7, at(1)));
        assert!(fence.may_send(8, at(150)));
        fence.set(0, Moment::NEVER);
        assert!(!fence.may_send(0, at(1)) && !fence.may_send(8, at(1)));
        assert_eq!((fence.epoch(), fence.deadline()), (0, Moment::ZERO));
    }

    #[test]
    fn it_is_attended_until_it_is_not() {
        let at = Moment::from_nanos;
        let fence = Fence::closed();
        assert!(fence.is_attended(at(1)));
        fence.attend(at(10));
        assert!(fence.is_attended(at(9)) && !fence.is_attended(at(10)));
    }

    /// A reader never sees the successor's deadline with the predecessor's epoch: odd terms here are over (their
    /// deadline is in the past), so none of them may ever pass.
    #[test]
    fn an_expired_term_never_borrows_its_successors_deadline() {
        let fence = Fence::closed();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for epoch in 1..200_000 {
                    fence.set(epoch, Moment::from_nanos(if epoch % 2 == 1 { 1 } else { 1000 }));
                }
            });
            for _ in 0..400_000 {
                let epoch = fence.epoch();
                if epoch % 2 == 1 {
                    assert!(!fence.may_send(epoch, Moment::from_nanos(10)), "term {epoch} was over");
                }
            }
        });
    }
}
