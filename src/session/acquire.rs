//! Getting a server for a request: routed, waited for, and made ready.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use super::{
    context::Context,
    promise::Goal,
    routes::{NoWay, Patience, Purpose, Tenant, Way},
    temp_buffers,
    way_out::Given,
};
use crate::{
    clock::Moment,
    cluster::ids::MemberName,
    metrics::WorkerCounters,
    pool::{
        account::{PoolMode, PoolSettings},
        lease::{Drawn, Finish, Lease, Refusal, Server},
        line::WaitGuard,
        pool::Acquired,
        slots::Flavour,
        tether::Tether,
    },
    route::table::NoRouteKind,
    wire::{
        error::{PgError, SqlState},
        parameters::{Own, Parameters},
        state::Carried,
    },
};

/// Asking a server that has idled long, or giving it a client's settings, takes no longer.
const READY_MAX: Duration = Duration::from_secs(5);

/// How often a request looks again while the right to write is being renewed.
const FENCE_RECHECK: Duration = Duration::from_millis(5);

/// What a request needs.
#[derive(Clone)]
pub struct Request {
    /// The listener.
    pub context: Arc<Context>,
    /// User and database.
    pub tenant: Arc<Tenant>,
    /// Where it may go.
    pub purpose: Purpose,
    /// What its client wants of replicas.
    pub selection: usize,
    /// A member that it is not to go to, if there is another.
    pub avoid: Option<MemberName>,
    /// Where the server is handed over.
    pub tether: Arc<Tether>,
    /// The number of the lease that the client had last.
    pub last_lease: u64,
    /// The settings the client must find.
    pub parameters: Arc<Parameters>,
    /// What its session must hold beside them.
    pub state: Carried,
    /// The start-up settings it needs.
    pub flavour: Flavour,
    /// What a replica must show.
    pub goal: Option<Goal>,
    /// For how long it is wanted.
    pub mode: PoolMode,
    /// Whether this state is all that its client's session holds.
    pub given: Given,
}

/// A server for a request.
pub struct Granted {
    /// The lease.
    pub lease: Lease,
    /// Whether writing must be kept impossible.
    pub read_only: bool,
    /// Whether it has the client's whole state.
    pub given: Given,
}

/// How far a request got without waiting.
pub enum Attempt {
    /// All the way.
    Ready(Granted),
    /// It must wait, or work must be done first.
    Slow(Start),
}

/// Where a request that must wait goes on.
pub enum Start {
    /// With the routing.
    Route,
    /// In a pool's line.
    Line(WaitGuard, Way),
    /// With a server that is not ready.
    Unready(Lease, Way),
    /// With an error.
    Refused(Arc<PgError>),
}

/// The same, borrowed from a session for as long as nothing must be waited for.
#[derive(Clone, Copy)]
pub struct Needs<'a> {
    /// The listener.
    pub context: &'a Arc<Context>,
    /// User and database.
    pub tenant: &'a Arc<Tenant>,
    /// Where it may go.
    pub purpose: Purpose,
    /// What its client wants of replicas.
    pub selection: usize,
    /// A member that it is not to go to, if there is another.
    pub avoid: Option<&'a MemberName>,
    /// Where the server is handed over.
    pub tether: &'a Arc<Tether>,
    /// The number of the lease that the client had last.
    pub last_lease: u64,
    /// The settings the client must find.
    pub parameters: &'a Arc<Parameters>,
    /// Which of them it has chosen itself.
    pub own: Own,
    /// What its session must hold beside them.
    pub state: &'a Carried,
    /// The start-up settings it needs.
    pub flavour: Flavour,
    /// What a replica must show.
    pub goal: Option<&'a Goal>,
    /// For how long it is wanted.
    pub mode: PoolMode,
}

impl Needs<'_> {
    /// The request on its own, to wait with.
    pub fn request(&self) -> Request {
        Request {
            context: self.context.clone(),
            tenant: self.tenant.clone(),
            purpose: self.purpose,
            selection: self.selection,
            avoid: self.avoid.cloned(),
            tether: self.tether.clone(),
            last_lease: self.last_lease,
            parameters: self.wanted(),
            state: self.state.clone(),
            flavour: self.flavour,
            goal: self.goal.cloned(),
            mode: self.mode,
            given: Given::All,
        }
    }

    /// Goes as far as it can without waiting.
    pub fn attempt(&self, now: Moment, cx: &mut TaskContext<'_>) -> Attempt {
        let context = self.context;
        let way = match (self.goal, self.avoid) {
            (None, None) => self.tenant.way(self.purpose, self.selection, &context.router, &context.pools),
            (None, Some(avoid)) => {
                let (router, pools) = (&context.router, &context.pools);
                self.tenant.way_but(avoid, (self.purpose, self.selection), router, pools)
            }
            (Some(goal), avoid) => way_to(goal, avoid, (self.purpose, self.selection), context, self.tenant),
        };
        let Ok(way) = way else { return Attempt::Slow(Start::Route) };
        if way.term != 0 && !context.router.may_send(way.term, now) {
            return Attempt::Slow(Start::Route);
        }
        match way.pool.acquire(self.tether, context.worker.index, self.flavour, way.term, now) {
            Acquired::Now(lease) => self.ready_at_once(lease, way, now, cx),
            Acquired::Later(guard) => Attempt::Slow(Start::Line(guard, way)),
            Acquired::Refused(Refusal::Error(error)) => Attempt::Slow(Start::Refused(error)),
            Acquired::Refused(Refusal::Rerouted) => Attempt::Slow(Start::Route),
        }
    }
}

impl Request {
    /// Goes the rest of the way, waiting as long as the settings allow. It has stood in line for `waited` already.
    pub async fn acquire(self, start: Start, waited: Duration) -> Result<Granted, PgError> {
        let settings = self.tenant.account.settings.load_full();
        let mut patience = Budget::of(&settings, waited);
        let mut outcome = self.seek(start, self.purpose, &settings, &mut patience).await;
        if outcome.is_err() && self.purpose == Purpose::Split {
            // What no replica could do the leader can, if it has a server in the time that is left.
            outcome = self.seek(Start::Route, Purpose::Write, &settings, &mut patience).await;
        }
        patience.count(&self.context.worker.counters);
        if self.goal.is_some() {
            self.count_catching_up(&patience, &outcome);
        }
        outcome
    }

    async fn seek(
        &self,
        start: Start,
        purpose: Purpose,
        settings: &PoolSettings,
        patience: &mut Budget,
    ) -> Result<Granted, PgError> {
        let mut next = start;
        loop {
            next = match next {
                Start::Route => self.route(purpose, patience).await?,
                Start::Line(guard, way) => self.wait_in_line(guard, way, patience).await?,
                Start::Unready(lease, way) => match self.make_ready(lease, &way, settings, patience).await? {
                    Some(lease) => return Ok(Granted { lease, read_only: way.read_only, given: self.given }),
                    None => Start::Route,
                },
                Start::Refused(error) => return Err((*error).clone()),
            }
        }
    }

    async fn route(&self, purpose: Purpose, patience: &mut Budget) -> Result<Start, PgError> {
        let context = &self.context;
        let changed = context.router.changed();
        let learnt = context.router.headway().changed();
        let now = context.clock.now();
        let way = match self.way(purpose, patience) {
            Ok(way) => way,
            Err(no_way) if no_way.why.kind == NoRouteKind::Behind => {
                return self.catch_up(&no_way, [changed, learnt], patience).await;
            }
            Err(no_way) => {
                let left = patience.without_way(no_way.patience);
                let waited = tokio::time::timeout(left.unwrap_or(Duration::MAX), changed).await;
                let spent = context.clock.now().since(now);
                patience.spend_without_way(no_way.patience, spent);
                return if waited.is_err() || no_way.patience == Patience::None {
                    Err(no_route(&no_way))
                } else {
                    Ok(Start::Route)
                };
            }
        };
        if way.term != 0 && !context.router.may_send(way.term, now) {
            // The leader stands, but the right to write to it awaits its renewal.
            tokio::time::sleep(FENCE_RECHECK).await;
            patience.spend_without_way(Patience::ForLeader, context.clock.now().since(now));
            if patience.without_way(Patience::ForLeader) == Some(Duration::ZERO) {
                return Err(PgError::error(
                    SqlState::CANNOT_CONNECT_NOW,
                    "cannot write now: the right to write to the leader has expired",
                )
                .detail("The cluster's store has not confirmed the leader in time."));
            }
            return Ok(Start::Route);
        }
        Ok(match way.pool.acquire(&self.tether, context.worker.index, self.flavour, way.term, now) {
            Acquired::Now(lease) => Start::Unready(lease, way),
            Acquired::Later(guard) => Start::Line(guard, way),
            Acquired::Refused(Refusal::Error(error)) => Start::Refused(error),
            Acquired::Refused(Refusal::Rerouted) => Start::Route,
        })
    }

    async fn wait_in_line(
        &self,
        guard: WaitGuard,
        way: Way,
        patience: &mut Budget,
    ) -> Result<Start, PgError> {
        let clock = self.context.clock;
        let since = clock.now();
        let waited = tokio::time::timeout(patience.line.unwrap_or(Duration::MAX), guard.wait()).await;
        let spent = clock.now().since(since);
        self.context.worker.counters.server_waits.record(spent);
        patience.line = patience.line.map(|left| left.saturating_sub(spent));
        Ok(match waited {
            Ok(Ok(lease)) => Start::Unready(lease, way),
            Ok(Err(Refusal::Rerouted)) => Start::Route,
            Ok(Err(Refusal::Error(error))) => Start::Refused(error),
            Err(_) => Start::Refused(Arc::new(query_wait_timeout(&way, self.flavour))),
        })
    }

    /// Gives a server the client's settings, and asks one that has idled long whether it still works. `None`: it
    /// does not, or may not be used any more; nothing of the client's has been sent.
    async fn make_ready(
        &self,
        mut lease: Lease,
        way: &Way,
        settings: &PoolSettings,
        patience: &mut Budget,
    ) -> Result<Option<Lease>, PgError> {
        let now = self.context.clock.now();
        let is_wanted = || is_wanted(&self.context, way, self.selection);
        if !may_use(&self.context, &self.tether, &lease, way, now) || !is_wanted() {
            let revoked = self.tether.is_revoked(lease.number());
            lease.finish(if revoked { Finish::Broken } else { Finish::Settled }, now);
            return Ok(None);
        }
        let number = lease.number();
        let Some(server) = lease.server() else { return Ok(None) };
        let draws = remembers_other_draws(server, &self.tenant, self.last_lease, self.mode);
        let conn = &mut server.conn;
        let alive = std::future::poll_fn(|cx| Poll::Ready(conn.poll_idle(cx))).await;
        if alive.is_err() {
            lease.finish(Finish::Broken, self.context.clock.now());
            return Ok(None);
        }
        if temp_buffers::are_fixed(conn, &self.tenant) {
            temp_buffers::retire(lease, self.context.clock.now());
            return Ok(None);
        }
        let opened_at = conn.opened_at;
        if let Err(how) = self.vouched_for(way, number, opened_at, patience).await {
            lease.finish(how, self.context.clock.now());
            return Ok(None);
        }
        let Some(server) = lease.server() else { return Ok(None) };
        let conn = &mut server.conn;
        let check = now.since(conn.idle_since) >= settings.check_delay;
        let work = tokio::time::timeout(READY_MAX, async {
            if draws { self.prepare_anew(conn, check).await } else { self.prepare(conn, check).await }
        });
        match self.while_bound_for(way, number, work).await {
            Some(Ok(Ok(None))) => {
                if draws && let Some(server) = lease.server() {
                    server.drawn = Drawn::Nothing;
                }
                let now = self.context.clock.now();
                let usable = may_use(&self.context, &self.tether, &lease, way, now);
                if usable && !is_wanted() {
                    lease.finish(Finish::Settled, now);
                    return Ok(None);
                }
                Ok(if usable { Some(lease) } else { None })
            }
            Some(Ok(Ok(Some(error)))) => {
                lease.finish(Finish::Settled, self.context.clock.now());
                Err(error.into())
            }
            Some(Ok(Err(_)) | Err(_)) | None => {
                lease.finish(Finish::Broken, self.context.clock.now());
                Ok(None)
            }
        }
    }

    /// What `work` on a leased server comes to; `None` as soon as the request does not belong there any more: nobody
    /// waits for a server that was deposed, or for a replica that reads have left.
    async fn while_bound_for<T>(&self, way: &Way, lease: u64, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let mut changed = std::pin::pin!(self.context.router.changed());
            if way.term == 0 && !self.context.router.load().reads_from(way.pool.member()) {
                return None;
            }
            let done = std::future::poll_fn(|cx| {
                self.tether.register(cx);
                if self.tether.is_revoked(lease) {
                    return Poll::Ready(Some(None));
                }
                if changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                work.as_mut().poll(cx).map(|done| Some(Some(done)))
            });
            if let Some(done) = done.await {
                return done;
            }
        }
    }
}

mod budget;
mod catching_up;
mod following;
mod refusals;
mod usable;

use budget::{Budget, CatchUp};
use catching_up::{shows, way_to};
use refusals::no_route;
pub(super) use refusals::query_wait_timeout;
use usable::{is_wanted, may_use, remembers_other_draws};
