//! Whether a server that was handed over may still be used for what it was wanted.

use super::{
    Attempt, Context, Finish, Given, Granted, Lease, Moment, Needs, Ordering, PoolMode, Server, Start,
    TaskContext, Tenant, Tether, Way, shows, temp_buffers,
};

/// Whether it may be used as what it is: its lease was not revoked, and where it leads there is the right to write.
pub(super) fn may_use(context: &Context, tether: &Tether, lease: &Lease, way: &Way, now: Moment) -> bool {
    !tether.is_revoked(lease.number()) && (way.term == 0 || context.router.may_send(way.term, now))
}

/// Whether reads that want this of replicas still go there. The replica may be beyond their own lag bound by now, while others, who
/// go by another, read there as before: so nobody has revoked anything.
pub(super) fn is_wanted(context: &Context, way: &Way, selection: usize) -> bool {
    way.term != 0 || context.router.load().serves(selection, way.pool.member())
}

/// Whether a server may remember what others have drawn from sequences, or the client whose last lease that was before it drew
/// elsewhere, and somebody with this user and database asks, or could ask for what it has drawn itself in an earlier transaction.
#[inline]
pub(super) fn remembers_other_draws(
    server: &Server,
    tenant: &Tenant,
    last_lease: u64,
    mode: PoolMode,
) -> bool {
    let asks = mode == PoolMode::Session || tenant.account.reads_sequences.load(Ordering::Relaxed);
    asks && !server.drawn.is_of(last_lease)
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

    /// Whether a server can be used as it is: it has the client's settings, was used lately, and has nothing to say.
    pub fn ready_at_once(
        &self,
        mut lease: Lease,
        way: Way,
        now: Moment,
        cx: &mut TaskContext<'_>,
    ) -> Attempt {
        let check_delay = self.tenant.account.settings.load().check_delay;
        let Some(server) = lease.server() else { return Attempt::Slow(Start::Route) };
        let draws = remembers_other_draws(server, self.tenant, self.last_lease, self.mode);
        let conn = &mut server.conn;
        // First of all: what it has to say may be that its settings have changed.
        if conn.poll_idle(cx).is_err() {
            lease.finish(Finish::Broken, now);
            return Attempt::Slow(Start::Route);
        }
        let alike =
            conn.state.is_like(self.state) && (conn.has_settings(self.parameters) || self.follows(conn));
        let fixed = temp_buffers::are_fixed(conn, self.tenant);
        let rested = now.since(conn.idle_since) < check_delay;
        let shows = self.goal.is_none_or(|goal| shows(goal, self.context, &way, conn.opened_at));
        if alike
            && rested
            && !draws
            && !fixed
            && shows
            && may_use(self.context, self.tether, &lease, &way, now)
        {
            Attempt::Ready(Granted { lease, read_only: way.read_only, given: Given::All })
        } else {
            Attempt::Slow(Start::Unready(lease, way))
        }
    }
}
