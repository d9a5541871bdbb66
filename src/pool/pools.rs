//! All pools: found by account and member, cut off and cleared as the routing table says.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::{
    account::Account,
    backends::Backends,
    flavours::Flavours,
    janitor::IdleWatch,
    key::PoolKey,
    lease::Reported,
    pool::{Pool, PoolKind},
    quota::{Quota, Shares},
    slots::{Event, Flavour},
    tether::Revoked,
};
use crate::{
    clock::{Clock, Moment},
    cluster::ids::MemberName,
    metrics::PoolEvents,
    net::{Address, Dial},
    route::{
        balance::Load,
        table::{MemberStanding, RoutingTable, WriteRoute},
    },
};

/// A pool shares its limits' room with one that has waited so much longer.
const GIVE_WAY_AFTER: Duration = Duration::from_millis(100);

/// Limits shared by pools (`max_member_connections`, `max_db_connections`, `max_user_connections`; 0: none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedLimits {
    /// Servers of one member.
    pub member: usize,
    /// Servers of one database, as clients name it, of one member.
    pub database: usize,
    /// Servers of one user on one member.
    pub user: usize,
    /// Servers being opened on one member at once.
    pub opening: usize,
}

/// What a pool tells the rest of the program, which it does not know.
pub trait Report: Send + Sync {
    /// A member may have failed.
    fn suspect(&self, cluster: &str, member: &MemberName, why: &str);
    /// A server that was opened with these start-up settings, and may be only read, or not, said this of itself at its
    /// login, which began at this moment. What is the same as before is kept once.
    fn learn(
        &self,
        account: &Account,
        opened: (Flavour, PoolKind),
        reported: Reported,
        begun: Moment,
    ) -> Reported;
    /// What servers of a cluster have said of themselves so far need not be so any more, if the user and the database are meant.
    fn doubt(&self, cluster: &str, are_meant: &dyn Fn(&str, &str) -> bool, now: Moment);
    /// The limits that the pools of a user and database share.
    fn shared_limits(&self, account: &Account) -> SharedLimits;
}

/// What all pools share.
pub struct Shared {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) clock: Clock,
    pub(super) workers: Vec<tokio::runtime::Handle>,
    pub(super) flavours: Flavours,
    pub(super) events: PoolEvents,
    pub(super) report: Arc<dyn Report>,
    idle_watches: Vec<(Arc<IdleWatch>, Waker)>,
    pools: DashMap<PoolKey, Arc<Pool>>,
    loads: DashMap<(Arc<str>, MemberName), Arc<Load>>,
    quotas: DashMap<(Arc<str>, MemberName, QuotaOf), Arc<Quota>>,
    pub(super) backends: Backends,
    /// Pools with waiting clients that found no room under a shared limit.
    starving: Mutex<Vec<Weak<Pool>>>,
    is_starving: AtomicBool,
    next_pool: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum QuotaOf {
    Member,
    Database(Arc<str>),
    User(Arc<str>),
    Opening,
}

/// All pools.
#[derive(Clone)]
pub struct Pools(Arc<Shared>);

impl Pools {
    /// No pools yet. `workers` are the runtimes on which servers are opened.
    pub fn new(
        dial: Arc<dyn Dial>,
        clock: Clock,
        workers: Vec<tokio::runtime::Handle>,
        report: Arc<dyn Report>,
    ) -> Self {
        let watch = || {
            let watch = Arc::new(IdleWatch::default());
            (watch.clone(), Waker::from(watch))
        };
        Self(Arc::new(Shared {
            dial,
            clock,
            idle_watches: workers.iter().map(|_| watch()).collect(),
            workers,
            flavours: Flavours::default(),
            events: PoolEvents::default(),
            report,
            pools: DashMap::new(),
            loads: DashMap::new(),
            quotas: DashMap::new(),
            backends: Backends::default(),
            starving: Mutex::default(),
            is_starving: AtomicBool::new(false),
            next_pool: AtomicU64::new(1),
        }))
    }

    /// The start-up settings in use.
    pub fn flavours(&self) -> &Flavours {
        &self.0.flavours
    }

    /// What happened to server connections so far.
    pub fn events(&self) -> &PoolEvents {
        &self.0.events
    }

    /// The clock the pools go by.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Who dials servers.
    pub fn dial(&self) -> Arc<dyn Dial> {
        self.0.dial.clone()
    }

    /// The process id that the client was told which had this server process at this address last.
    pub fn client_of(&self, address: &Address, pid: u32) -> Option<u32> {
        self.0.backends.client_of(address, pid)
    }

    /// The client that had it before that one.
    pub fn earlier_client_of(&self, address: &Address, pid: u32) -> Option<u32> {
        self.0.backends.earlier_client_of(address, pid)
    }

    /// The pool of this account on this member, made if there is none.
    pub fn pool(
        &self,
        account: &Arc<Account>,
        member: &MemberName,
        address: &Address,
        kind: PoolKind,
    ) -> Arc<Pool> {
        let key = PoolKey::of(account, member, kind);
        if let Some(pool) = self.0.pools.get(&key)
            && pool.address == *address
        {
            return pool.clone();
        }
        let shares = self.shares(account, member);
        let pool = Arc::new(Pool::new(
            account.clone(),
            member.clone(),
            address.clone(),
            kind,
            shares,
            self.0.clone(),
        ));
        let entry = self.0.pools.entry(key);
        match entry {
            dashmap::Entry::Occupied(mut old) if old.get().address != *address => {
                // The member moved: what is idle at the old place goes, what works may finish.
                let retired = old.insert(pool.clone());
                drop(old);
                retired.handle(self.0.clock.now(), Event::CloseIdle);
                retired.reroute_waiting(self.0.clock.now());
                pool
            }
            dashmap::Entry::Occupied(known) => known.get().clone(),
            dashmap::Entry::Vacant(vacant) => vacant.insert(pool).clone(),
        }
    }

    pub(super) fn find(&self, key: &PoolKey) -> Option<Arc<Pool>> {
        self.0.pools.get(key).map(|pool| pool.clone())
    }

    /// The account of every pool.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.0.pools.iter().map(|pool| pool.account.clone()).collect()
    }

    fn shares(&self, account: &Account, member: &MemberName) -> Shares {
        let limits = self.0.report.shared_limits(account);
        let quota = |of: QuotaOf, max: usize| {
            let key = (account.cluster.clone(), member.clone(), of);
            let quota = self.0.quotas.entry(key).or_insert_with(|| Quota::new(max)).clone();
            quota.set_max(max);
            quota
        };
        let quotas = smallvec::smallvec![
            quota(QuotaOf::Member, limits.member),
            quota(QuotaOf::Database(account.alias.clone()), limits.database),
            quota(QuotaOf::User(account.user.clone()), limits.user),
        ];
        let opening = quota(QuotaOf::Opening, limits.opening);
        Shares { quotas, opening, load: self.load(&account.cluster, member) }
    }

    /// What is known of a member's load.
    pub fn load(&self, cluster: &str, member: &MemberName) -> Arc<Load> {
        self.0.loads.entry((cluster.into(), member.clone())).or_default().clone()
    }

    /// Every pool, in a fixed order.
    pub fn all(&self) -> Vec<(PoolKey, Arc<Pool>)> {
        self.0.all()
    }

    /// Brings the pools of a cluster in line with its routing table: on a deposed member everything ends, and with
    /// it every lease of a term that is over. How many leases were cut off.
    pub fn apply(&self, cluster: &str, table: &RoutingTable, why: &Revoked) -> usize {
        let now = self.0.clock.now();
        let in_force = table.term.as_ref().map_or(0, |term| term.epoch);
        let mut cut = 0;
        for (key, pool) in self.0.all() {
            if &*key.cluster != cluster {
                continue;
            }
            let standing = table.members.get(&key.member).map(|member| member.standing);
            let reads = table.read.iter().any(|target| target.member == key.member);
            match &table.term {
                Some(term) if term.member == key.member => pool.note_office(term.epoch),
                _ if reads => pool.note_office(0),
                _ => {}
            }
            if standing == Some(MemberStanding::Deposed) {
                cut += pool.depose(why, now);
                continue;
            }
            if standing == Some(MemberStanding::Lost) {
                cut += pool.lose(why, now);
            }
            pool.reinstate(standing == Some(MemberStanding::Leading));
            cut += pool.revoke(why, |term| term != 0 && term != in_force);
            let leads = matches!(&table.write, WriteRoute::Open(target) if target.member == key.member);
            if leads || reads {
                pool.forgive(now);
            } else {
                pool.reroute_waiting(now);
            }
        }
        cut
    }

    /// Settings or shared limits have changed.
    pub fn settings_changed(&self) {
        for (_, pool) in self.0.all() {
            self.shares(&pool.account, &pool.member);
            pool.settings_changed();
        }
    }

    /// Looks at the clock on behalf of every pool.
    pub fn tick(&self) {
        let now = self.0.clock.now();
        for (_, pool) in self.0.all() {
            pool.tick(now);
        }
        self.0.pools.retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.state.lock().slots.is_empty());
        self.0.quotas.retain(|_, quota| Arc::strong_count(quota) > 1);
    }

    /// Closes every idle server: the program ends.
    pub fn close_idle(&self) {
        let now = self.0.clock.now();
        for (_, pool) in self.0.all() {
            pool.handle(now, Event::CloseIdle);
        }
    }

    pub(super) fn watch(&self, worker: usize) -> Option<&Arc<IdleWatch>> {
        self.0.idle_watches.get(worker).map(|(watch, _)| watch)
    }
}

impl Shared {
    pub(super) fn all(&self) -> Vec<(PoolKey, Arc<Pool>)> {
        let mut all: Vec<_> =
            self.pools.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    pub(super) fn pool_number(&self) -> u64 {
        self.next_pool.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn idle_waker(&self, worker: usize) -> &Waker {
        &self.idle_watches[worker % self.idle_watches.len()].1
    }

    pub(super) fn suspect(&self, pool: &Pool, why: &str) {
        self.report.suspect(&pool.account.cluster, &pool.member, why);
    }

    pub(super) fn learn(&self, pool: &Pool, flavour: Flavour, reported: Reported, begun: Moment) -> Reported {
        self.report.learn(&pool.account, (flavour, pool.kind), reported, begun)
    }

    pub(super) fn is_starving(&self) -> bool {
        self.is_starving.load(Ordering::Acquire)
    }

    /// Whether a pool that shares a limit with `pool` has waited longer than `waited`, by more than a bound.
    pub(super) fn starving_longer_than(&self, pool: &Pool, waited: Duration, now: Moment) -> bool {
        let starving = self.starving.lock().clone();
        starving.iter().filter_map(Weak::upgrade).any(|other| {
            !std::ptr::eq(&*other, pool)
                && shares_full_limit(&other, pool)
                && other.state.try_lock().is_some_and(|state| {
                    state.slots.oldest_wait().is_some_and(|since| now.since(since) > waited + GIVE_WAY_AFTER)
                })
        })
    }

    /// `pool` has waiting clients and found no room.
    pub(super) fn starves(&self, pool: &Arc<Pool>) {
        let mut starving = self.starving.lock();
        if !starving.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(pool))) {
            starving.push(Arc::downgrade(pool));
        }
        self.is_starving.store(true, Ordering::Release);
    }

    /// A server was closed: those who found no room look again, the longest waiting first.
    pub(super) fn room_was_made(&self, now: Moment) {
        if !self.is_starving() {
            return;
        }
        let mut starving = std::mem::take(&mut *self.starving.lock());
        self.is_starving.store(false, Ordering::Release);
        starving.retain(|pool| pool.strong_count() > 0);
        let mut pools: Vec<Arc<Pool>> = starving.iter().filter_map(Weak::upgrade).collect();
        pools.sort_by_key(|pool| pool.oldest_wait().unwrap_or(Moment::NEVER));
        for pool in pools {
            pool.handle(now, Event::Retry);
        }
    }

    /// Closes idle servers, the longest idle first, where `pool` may open none because a limit is reached: one for
    /// each such limit, of a pool that counts against it. It may be one of its own, for other start-up settings.
    pub(super) fn evict_for(&self, pool: &Pool, now: Moment) -> bool {
        let mut evicted = false;
        for full in pool.quotas.iter().filter(|quota| quota.is_full()) {
            let shares = |other: &Pool| other.quotas.iter().any(|quota| Arc::ptr_eq(quota, full));
            let candidates = self.all().into_iter().map(|(_, other)| other).filter(|other| shares(other));
            let victim = candidates
                .filter_map(|other| other.oldest_idle().map(|since| (since, other)))
                .min_by_key(|(since, _)| *since);
            if let Some((_, victim)) = victim {
                victim.handle(now, Event::Evict);
                evicted = true;
            }
        }
        evicted
    }
}

/// Whether a server of the one, closed, makes room for one of the other: both count against a limit that is reached.
fn shares_full_limit(one: &Pool, other: &Pool) -> bool {
    let mut full = one.quotas.iter().filter(|quota| quota.is_full());
    full.any(|quota| other.quotas.iter().any(|theirs| Arc::ptr_eq(quota, theirs)))
}
