//! The clients that are logged in: found by their cancel key, and told what others want of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::{
    clock::Moment,
    net::Address,
    pool::{
        account::Account,
        commits::{Commit, Followed, Last, SessionId},
        lease::CancelTarget,
        tether::Tether,
    },
    wire::startup::BackendKey,
};

/// What a client is doing, for time limits and for those who look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// Nothing, and no transaction is open.
    #[default]
    Idle = 0,
    /// It waits for a server.
    Waiting = 1,
    /// A query runs.
    Running = 2,
    /// Nothing, inside a transaction.
    IdleInTransaction = 3,
    /// Nothing, and no transaction is open, but its session's state keeps it on its server.
    Pinned = 4,
}

impl Activity {
    /// Whether it does nothing, and no transaction is open.
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Idle | Self::Pinned)
    }

    const ALL: [Self; 5] = [Self::Idle, Self::Waiting, Self::Running, Self::IdleInTransaction, Self::Pinned];
}

/// What a session is told to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Order {
    /// Go on.
    #[default]
    None = 0,
    /// The client has cancelled while it had no server: give up waiting (57014), or cancel what runs by now. Stands
    /// beside any other order, and is followed first.
    StopWaiting = 1,
    /// End as soon as no transaction is open: the program is to stop (57P01).
    Drain = 2,
    /// End: silent for longer than `client_idle_timeout`.
    IdleTimeout = 3,
    /// End: silent for longer than it has itself asked for (`idle_session_timeout`).
    IdleSessionTimeout = 4,
    /// End: silent inside a transaction for longer than `idle_transaction_timeout`.
    IdleInTransactionTimeout = 5,
    /// End: a transaction lasted longer than `transaction_timeout`.
    TransactionTimeout = 6,
    /// End: a query ran longer than `query_timeout`, and could not be cancelled.
    QueryTimeout = 7,
    /// End: silent for longer than `pin_timeout` while its session's state kept it on its server.
    PinTimeout = 8,
    /// End now: the program stops (57P01).
    Terminate = 9,
}

impl Order {
    const ALL: [Self; 10] = [
        Self::None,
        Self::StopWaiting,
        Self::Drain,
        Self::IdleTimeout,
        Self::IdleSessionTimeout,
        Self::IdleInTransactionTimeout,
        Self::TransactionTimeout,
        Self::QueryTimeout,
        Self::PinTimeout,
        Self::Terminate,
    ];
}

/// The bit of [`Order::StopWaiting`] beside the number of another order.
const STOP_WAITING: u8 = 0x80;

/// The orders to a client when one is added: the one that weighs more stays, and StopWaiting beside it.
fn with(orders: u8, order: Order) -> u8 {
    match order {
        Order::StopWaiting => orders | STOP_WAITING,
        order => orders & STOP_WAITING | (orders & !STOP_WAITING).max(order as u8),
    }
}

/// The orders to a client when one was followed; if a weightier one has come meanwhile it stays.
fn without(orders: u8, order: Order) -> u8 {
    match order {
        Order::StopWaiting => orders & !STOP_WAITING,
        order if orders & !STOP_WAITING == order as u8 => orders & STOP_WAITING,
        _ => orders,
    }
}

/// A client's entry.
#[derive(Debug)]
pub struct ClientEntry {
    /// The key it was given.
    pub key: BackendKey,
    /// Its user and database.
    pub account: Arc<Account>,
    /// Where it came from; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// How it is woken.
    pub tether: Arc<Tether>,
    cancel: Mutex<Option<Arc<CancelTarget>>>,
    order: AtomicU8,
    activity: AtomicU8,
    since: AtomicU64,
    transaction_since: AtomicU64,
    /// For how long it may rest without a server, in milliseconds; 0: for ever.
    rest_max_ms: AtomicU32,
    /// What is followed of its transactions, where that is wanted.
    followed: Mutex<Option<Box<Followed>>>,
}

impl ClientEntry {
    /// Its transactions are followed from now on; by what they can be asked about.
    pub fn follow(&self, nonce: u64) -> SessionId {
        *self.followed.lock() = Some(Box::new(Followed::new(nonce)));
        SessionId { pid: self.key.pid, nonce }
    }

    /// What is followed of its transactions.
    pub fn with_followed<T>(&self, with: impl FnOnce(&mut Followed) -> T) -> Option<T> {
        self.followed.lock().as_deref_mut().map(with)
    }

    /// What it was told to do last.
    #[inline]
    pub fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::None,
            orders if orders & STOP_WAITING != 0 => Order::StopWaiting,
            orders => Order::ALL.get(usize::from(orders)).copied().unwrap_or_default(),
        }
    }

    /// Tells it to do something; an order that weighs more stays.
    pub fn tell(&self, order: Order) {
        self.change_orders(|orders| with(orders, order));
        self.tether.wake();
    }

    /// The order was followed, and does not hold any longer.
    pub fn followed(&self, order: Order) {
        self.change_orders(|orders| without(orders, order));
    }

    fn change_orders(&self, change: impl Fn(u8) -> u8) {
        let change = |orders| Some(change(orders));
        let _always = self.order.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
    }

    /// It does something else from now on.
    #[inline]
    pub fn enter(&self, activity: Activity, now: Moment) {
        self.activity.store(activity as u8, Ordering::Relaxed);
        self.since.store(now.nanos(), Ordering::Relaxed);
    }

    /// A transaction began, or (with `None`) none is open any more.
    #[inline]
    pub fn in_transaction(&self, since: Option<Moment>) {
        self.transaction_since.store(since.map_or(0, Moment::nanos), Ordering::Relaxed);
    }

    /// What it is doing, and since when.
    pub fn activity(&self) -> (Activity, Moment) {
        let place = usize::from(self.activity.load(Ordering::Relaxed));
        let activity = Activity::ALL.get(place).copied().unwrap_or_default();
        (activity, Moment::from_nanos(self.since.load(Ordering::Relaxed)))
    }

    /// Since when its transaction has been open.
    pub fn transaction_since(&self) -> Option<Moment> {
        match self.transaction_since.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Moment::from_nanos(nanos)),
        }
    }

    /// For how long it may rest, in milliseconds, by a setting of its session; 0: for ever.
    pub fn limit_rest(&self, ms: u32) {
        self.rest_max_ms.store(ms, Ordering::Relaxed);
    }

    /// The same while it has no server. One that it keeps has the setting, too, and heeds it itself.
    pub fn rest_max(&self) -> Option<Duration> {
        let ms = self.rest_max_ms.load(Ordering::Relaxed);
        (ms > 0 && self.cancel.lock().is_none()).then(|| Duration::from_millis(ms.into()))
    }

    /// A server is its own from now on: cancel requests go there.
    #[inline]
    pub fn leased(&self, target: &Arc<CancelTarget>) {
        *self.cancel.lock() = Some(target.clone());
    }

    /// The server is not its own any longer. From here on no cancel request sets out to it; the server itself
    /// knows of those that have.
    #[inline]
    pub fn released(&self) {
        *self.cancel.lock() = None;
    }

    /// Whether it keeps a server at this address, and has nothing to do there.
    pub fn rests_at(&self, address: &Address) -> bool {
        self.activity().0.is_rest()
            && self.cancel.lock().as_ref().is_some_and(|target| target.address == *address)
    }

    /// The server that a cancel request must go to now, with a guard that keeps the server from being handed on.
    pub fn begin_cancel(&self) -> Option<(Arc<CancelTarget>, crate::pool::lease::CancelOnItsWay)> {
        let cancel = self.cancel.lock();
        let target = cancel.as_ref()?;
        Some((target.clone(), target.begin()))
    }
}

/// All clients.
#[derive(Debug, Default)]
pub struct Registry {
    /// Numbers of our own need no secret hash; with a fixed one clients are always gone through in the same order.
    clients: DashMap<u32, Arc<ClientEntry>, foldhash::fast::FixedState>,
    count: AtomicUsize,
    next_pid: AtomicU64,
}

/// A client's place in the registry, given up when it is dropped.
#[derive(Debug)]
pub struct Registered {
    entry: Arc<ClientEntry>,
    registry: Arc<Registry>,
}

impl std::ops::Deref for Registered {
    type Target = Arc<ClientEntry>;

    fn deref(&self) -> &Arc<ClientEntry> {
        &self.entry
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let entry = &self.entry;
        let parted = entry.with_followed(|followed| (followed.nonce(), followed.last().cloned()));
        if let Some((nonce, Some(last))) = parted {
            entry.account.parted.keep(SessionId { pid: entry.key.pid, nonce }, last);
        }
        self.registry.clients.remove(&self.entry.key.pid);
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Enters a client, under a new cancel key with this secret: random, and as long as the client's version of the
    /// protocol has it. `None`: no protocol has it so long.
    pub fn register(
        self: &Arc<Self>,
        account: Arc<Account>,
        peer: Option<SocketAddr>,
        now: Moment,
        secret: &[u8],
    ) -> Option<Registered> {
        loop {
            // A process id as clients expect it: positive, and not in use.
            let pid =
                u32::try_from(self.next_pid.fetch_add(1, Ordering::Relaxed) % 0x7FFF_FFFF).unwrap_or(0) + 1;
            let dashmap::Entry::Vacant(vacant) = self.clients.entry(pid) else { continue };
            let entry = Arc::new(ClientEntry {
                key: BackendKey::new(pid, secret)?,
                account,
                peer,
                tether: Arc::default(),
                cancel: Mutex::new(None),
                order: AtomicU8::new(0),
                activity: AtomicU8::new(0),
                since: AtomicU64::new(now.nanos()),
                transaction_since: AtomicU64::new(0),
                rest_max_ms: AtomicU32::new(0),
                followed: Mutex::new(None),
            });
            vacant.insert(entry.clone());
            self.count.fetch_add(1, Ordering::Relaxed);
            return Some(Registered { entry, registry: self.clone() });
        }
    }

    /// The client with this key. The secret is compared in constant time.
    pub fn find(&self, key: &BackendKey) -> Option<Arc<ClientEntry>> {
        use subtle::ConstantTimeEq;
        let entry = self.clients.get(&key.pid)?;
        bool::from(entry.key.secret.ct_eq(&key.secret)).then(|| entry.clone())
    }

    /// The last transaction of a client of this user and database, here or gone. `None`: no such session is known; or it is
    /// here and has none.
    pub fn last_of(&self, session: SessionId, account: &Arc<Account>, now: Moment) -> Option<Last> {
        let here = self.clients.get(&session.pid).filter(|entry| Arc::ptr_eq(&entry.account, account));
        let here = here.and_then(|entry| {
            entry.with_followed(|followed| {
                (followed.nonce() == session.nonce).then(|| followed.last().cloned())
            })
        });
        match here.flatten() {
            Some(last) => last,
            None => account.parted.of_session(session, now),
        }
    }

    /// This transaction, if it is the last one of a client of this user and database, here or gone.
    pub fn known(&self, commit: &Commit, account: &Arc<Account>, now: Moment) -> Option<Last> {
        let of = |entry: &Arc<ClientEntry>| {
            let last =
                entry.with_followed(|followed| followed.last().filter(|last| last.is_of(commit)).cloned());
            last.flatten()
        };
        let mut ours = self.clients.iter().filter(|entry| Arc::ptr_eq(&entry.account, account));
        ours.find_map(|entry| of(entry.value())).or_else(|| account.parted.of_transaction(commit, now))
    }

    /// How many are logged in.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each client in turn.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<ClientEntry>)) {
        for entry in &self.clients {
            look(entry.value());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_stand_beside_each_other_by_weight() {
        use Order::{Drain, IdleTimeout, StopWaiting, Terminate};
        let mut orders = 0;
        let after =
            |orders: u8| (orders & STOP_WAITING != 0, Order::ALL[usize::from(orders & !STOP_WAITING)]);
        for (told, expected) in [
            (StopWaiting, (true, Order::None)),
            (Drain, (true, Drain)),
            (Terminate, (true, Terminate)),
            (IdleTimeout, (true, Terminate)),
        ] {
            orders = with(orders, told);
            assert_eq!(after(orders), expected, "told {told:?}");
        }
        for (followed, expected) in [
            (IdleTimeout, (true, Terminate)),
            (StopWaiting, (false, Terminate)),
            (Terminate, (false, Order::None)),
        ] {
            orders = without(orders, followed);
            assert_eq!(after(orders), expected, "followed {followed:?}");
        }
    }
}
