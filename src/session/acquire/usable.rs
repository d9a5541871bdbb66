//! Whether a server that was handed over may still be used for what it was wanted.

use super::{Attempt, Context, Finish, Lease, Moment, Needs, Start, TaskContext, Tether, Way};

/// Whether it may be used as what it is: its lease was not revoked, and where it leads there is the right to write.
pub(super) fn may_use(context: &Context, tether: &Tether, lease: &Lease, way: &Way, now: Moment) -> bool {
    !tether.is_revoked(lease.number()) && (way.term == 0 || context.router.may_send(way.term, now))
}

/// Whether reads that want this of replicas still go there. The replica may be beyond their own lag bound by now, while others, who
/// go by another, read there as before: so nobody has revoked anything.
pub(super) fn is_wanted(context: &Context, way: &Way, selection: usize) -> bool {
    way.term != 0 || context.router.load().serves(selection, way.pool.member())
}

impl Needs<'_> {
    /// What comes of a server that was waited for in line.
    pub fn handed_over(&self, lease: Lease, way: Way, now: Moment, cx: &mut TaskContext<'_>) -> Attempt {
        if is_wanted(self.context, &way, self.selection) {
            return self.ready_at_once(lease, way, now, cx);
        }
        lease.finish(Finish::Settled, now);
        Attempt::Slow(Start::Route)
    }
}
