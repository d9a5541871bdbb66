//! Whether a server may be used as it is.

use super::{Context, Lease, Moment, Ordering, PoolMode, Server, Tenant, Tether, Way};

/// Whether a server may know what others have drawn from sequences, and somebody with this user and database asks, or could
/// ask for what it has drawn itself in an earlier transaction.
#[inline]
pub(super) fn remembers_draws_of_others(server: &Server, tenant: &Tenant, pid: u32, mode: PoolMode) -> bool {
    let asks = mode == PoolMode::Session || tenant.account.reads_sequences.load(Ordering::Relaxed);
    asks && server.served != 0 && server.served != pid
}

/// Whether a lease still holds, and there is the right to use it.
pub(super) fn may_use(context: &Context, tether: &Tether, lease: &Lease, way: &Way, now: Moment) -> bool {
    !tether.is_revoked(lease.number()) && (way.term == 0 || context.router.may_send(way.term, now))
}
