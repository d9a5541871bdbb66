//! One pool: the shell around [`Slots`] that holds the connections themselves.
//!
//! Everything happens under one short lock; what may block or call elsewhere (closing, opening, recovering) is
//! collected under it and done after it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    task::Context,
};

use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::{Notify, watch};

use super::{
    account::{Account, PoolSettings},
    lease::{Finish, Lease, Refusal, Server},
    line::WaitGuard,
    pins::Pins,
    pools::Shared,
    quota::{Quota, Shares},
    slots::{Action, Actions, Event, Flavour, Gauges, Return, ServerId, SlotLimits, Slots},
    tether::{Mail, Tether},
    trouble::Trouble,
};
use crate::{
    clock::Moment,
    cluster::ids::MemberName,
    net::Address,
    route::balance::Load,
    server::conn::{End, Hygiene},
};

/// What kind of sessions a pool serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PoolKind {
    /// Whatever is routed to the member.
    Normal,
    /// Reads that fell back on the leader: read-only, and few.
    Fallback,
}

/// One user, one database, one member.
pub struct Pool {
    pub(super) account: Arc<Account>,
    pub(super) member: MemberName,
    pub(super) address: Address,
    pub(super) kind: PoolKind,
    /// The shared limits its servers count against.
    pub(super) quotas: SmallVec<[Arc<Quota>; 3]>,
    /// Servers of the member that are being opened at once.
    pub(super) opening: Arc<Quota>,
    /// What is known of its member's load.
    load: Arc<Load>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    pub(super) pins: Pins,
    /// Whether its member is deposed.
    pub(super) deposed: watch::Sender<bool>,
    /// The term in which its member led last, unless it has served as a replica since; 0: none.
    pub(super) leads: AtomicU64,
    /// Tells when an attempt to open a server has ended.
    pub(super) attempts: Notify,
}

pub(super) struct State {
    pub(super) slots: Slots,
    /// Idle and recovering servers by place; those in use are with their leases.
    pub(super) servers: Vec<Option<Box<Server>>>,
    pub(super) leased: Vec<Option<Leased>>,
    pub(super) waiting: Slab<Waiting>,
    pub(super) trouble: Trouble,
    /// The term as whose leader its member is used; 0: none.
    pub(super) leads: u64,
    /// The next lease's number, which no other pool uses.
    next_lease: u64,
    load: Arc<Load>,
}

pub(super) struct Leased {
    pub(super) tether: Arc<Tether>,
    pub(super) number: u64,
    pub(super) term: u64,
}

pub(super) struct Waiting {
    pub(super) tether: Arc<Tether>,
    term: u64,
    pub(super) flavour: Flavour,
}

/// What a request for a server came to.
pub enum Acquired {
    /// Here it is.
    Now(Lease),
    /// It will come to the tether.
    Later(WaitGuard),
    /// There is none to be had.
    Refused(Refusal),
}

/// Lease numbers are a pool's own number and a count within it.
const LEASE_NUMBER_BITS: u32 = 40;

/// What is to be done once the lock is released.
#[derive(Default)]
pub(super) struct Afterwards {
    pub(super) close: SmallVec<[Box<Server>; 2]>,
    pub(super) open: SmallVec<[(ServerId, usize, Flavour); 2]>,
}

impl Afterwards {
    pub(super) fn append(&mut self, more: Self) {
        self.close.extend(more.close);
        self.open.extend(more.open);
    }
}

impl Pool {
    pub(super) fn new(
        account: Arc<Account>,
        member: MemberName,
        address: Address,
        kind: PoolKind,
        Shares { quotas, opening, load }: Shares,
        shared: Arc<Shared>,
    ) -> Self {
        let limits = Self::limits(&account.settings.load(), kind);
        let state = State {
            slots: Slots::new(limits, shared.workers.len()),
            servers: Vec::new(),
            leased: Vec::new(),
            waiting: Slab::new(),
            trouble: Trouble::default(),
            leads: 0,
            next_lease: shared.pool_number() << LEASE_NUMBER_BITS | 1,
            load: load.clone(),
        };
        let state = Mutex::new(state);
        Self {
            account,
            member,
            address,
            kind,
            quotas,
            opening,
            load,
            shared,
            state,
            pins: Pins::default(),
            deposed: watch::Sender::new(false),
            leads: AtomicU64::new(0),
            attempts: Notify::new(),
        }
    }

    fn limits(settings: &PoolSettings, kind: PoolKind) -> SlotLimits {
        match kind {
            PoolKind::Normal => settings.limits,
            PoolKind::Fallback => {
                SlotLimits { size: settings.fallback_size, min_size: 0, reserve_size: 0, ..settings.limits }
            }
        }
    }

    /// The account it serves.
    pub const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Something says that its member may have failed.
    pub fn suspect(&self, why: &str) {
        self.shared.suspect(self, why);
    }

    /// Cluster and member, to count by.
    pub(super) fn labels(&self) -> [&str; 2] {
        [&self.account.cluster, self.member.as_str()]
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// The member its servers are on.
    pub const fn member(&self) -> &MemberName {
        &self.member
    }

    /// What is known of its member's load.
    #[inline]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Its servers and waiting clients by state.
    pub fn gauges(&self) -> Gauges {
        self.state.lock().slots.gauges()
    }

    /// Since when its longest-waiting client has waited.
    pub fn oldest_wait(&self) -> Option<Moment> {
        self.state.lock().slots.oldest_wait()
    }

    /// Since when the server that has idled longest has done so.
    pub(super) fn oldest_idle(&self) -> Option<Moment> {
        self.state.lock().slots.oldest_idle()
    }

    /// Asks for a server for the session behind `tether`, to be used as leader of `term` (0: as a replica).
    pub fn acquire(
        self: &Arc<Self>,
        tether: &Arc<Tether>,
        worker: usize,
        flavour: Flavour,
        term: u64,
        now: Moment,
    ) -> Acquired {
        let mut state = self.state.lock();
        state.leads = state.leads.max(term);
        if let Some(refusal) = state.trouble.refusal(flavour, now)
            && !state.slots.has_servers(flavour)
        {
            return Acquired::Refused(refusal.clone());
        }
        let ticket = state.waiting.vacant_key();
        let actions = state.slots.handle(now, Event::Acquire { ticket, worker, flavour });
        if let [Action::Lease(_, id)] = actions[..]
            && let Some(server) = state.servers.get_mut(id).and_then(Option::take)
        {
            let number = state.note_lease(id, tether.clone(), term);
            drop(state);
            return Acquired::Now(Lease::new(server, self.clone(), id, number, term));
        }
        state.waiting.insert(Waiting { tether: tether.clone(), term, flavour });
        let afterwards = state.perform(actions);
        drop(state);
        self.follow_up(afterwards, now);
        Acquired::Later(WaitGuard::new(self.clone(), tether.clone(), ticket, term))
    }

    /// A lease ends.
    pub(super) fn give_back(
        self: &Arc<Self>,
        id: ServerId,
        mut server: Box<Server>,
        how: Finish,
        now: Moment,
    ) {
        server.conn.idle_since = now;
        if how == Finish::Settled {
            server.conn.schema_change = None;
        }
        let clean = server.conn.hygiene == Hygiene::Clean && !server.cancel.is_pending();
        let mut state = self.state.lock();
        state.note_return(id);
        let how = match how {
            // A request that may still arrive would hit another client.
            Finish::Settled | Finish::InTransaction
                if server.cancel.is_astray() || server.conn.hygiene == Hygiene::Spoilt =>
            {
                state.put(id, server);
                Return::Close
            }
            Finish::Settled if clean => {
                state.put(id, server);
                if self.must_give_way(&state, now) { Return::Close } else { Return::Clean }
            }
            Finish::Settled | Finish::InTransaction => {
                self.recover(id, server, how);
                Return::Recovering
            }
            Finish::Running => {
                self.abandon(server);
                Return::Close
            }
            Finish::Broken => {
                server.end = End::Silent;
                state.put(id, server);
                Return::Close
            }
        };
        self.handle_locked(state, now, Event::Returned(id, how));
    }

    /// Whether another pool that shares a limit has waited much longer than anybody here.
    fn must_give_way(&self, state: &State, now: Moment) -> bool {
        if !self.shared.is_starving() {
            return false;
        }
        let waited = state.slots.oldest_wait().map_or_else(Default::default, |since| now.since(since));
        self.shared.starving_longer_than(self, waited, now)
    }

    /// Takes note of an event and does what follows from it.
    pub(super) fn handle(self: &Arc<Self>, now: Moment, event: Event) {
        let state = self.state.lock();
        self.handle_locked(state, now, event);
    }

    pub(super) fn handle_locked(
        self: &Arc<Self>,
        mut state: parking_lot::MutexGuard<'_, State>,
        now: Moment,
        event: Event,
    ) {
        let actions = state.slots.handle(now, event);
        let afterwards = if actions.is_empty() { None } else { Some(state.perform(actions)) };
        if let Event::Returned(id, _) | Event::Recovered(id) | Event::Opened(id) = event {
            self.watch_if_idle(&mut state, id);
        }
        drop(state);
        if let Some(afterwards) = afterwards {
            self.follow_up(afterwards, now);
        }
    }

    /// An idle server wakes the janitor when it has something to say.
    fn watch_if_idle(&self, state: &mut State, id: ServerId) {
        let Some(server) = state.servers.get_mut(id).and_then(Option::as_mut) else { return };
        let waker = self.shared.idle_waker(server.worker);
        let mut cx = Context::from_waker(waker);
        if server.conn.stream.poll_readable(&mut cx).is_ready() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn follow_up(self: &Arc<Self>, afterwards: Afterwards, now: Moment) {
        let closed = !afterwards.close.is_empty();
        for server in afterwards.close {
            self.shared.events.closed.count(self.labels());
            let Server { conn, permits, end, .. } = *server;
            conn.close(end);
            drop(permits);
        }
        for (server, worker, flavour) in afterwards.open {
            self.open(server, worker, flavour, now);
        }
        if closed {
            self.shared.room_was_made(now);
        }
    }

    /// The limits have changed.
    pub(super) fn settings_changed(&self) {
        let limits = Self::limits(&self.account.settings.load(), self.kind);
        self.state.lock().slots.set_limits(limits);
    }
}

impl State {
    pub(super) fn put(&mut self, id: ServerId, server: Box<Server>) {
        if self.servers.len() <= id {
            self.servers.resize_with(id + 1, || None);
        }
        self.servers[id] = Some(server);
    }

    fn note_lease(&mut self, id: ServerId, tether: Arc<Tether>, term: u64) -> u64 {
        let number = self.next_lease;
        self.next_lease += 1;
        if self.leased.len() <= id {
            self.leased.resize_with(id + 1, || None);
        }
        if self.leased[id].replace(Leased { tether, number, term }).is_none() {
            self.load.begin();
        }
        number
    }

    pub(super) fn note_return(&mut self, id: ServerId) {
        if self.leased.get_mut(id).and_then(Option::take).is_some() {
            self.load.end();
        }
    }

    pub(super) fn perform(&mut self, actions: Actions) -> Afterwards {
        let mut afterwards = Afterwards::default();
        for action in actions {
            match action {
                Action::Lease(ticket, id) => {
                    let server = self.servers.get_mut(id).and_then(Option::take);
                    let waiting = self.waiting.try_remove(ticket);
                    if let (Some(server), Some(Waiting { tether, term, .. })) = (server, waiting) {
                        let number = self.note_lease(id, tether.clone(), term);
                        tether.deliver(Mail::Granted(server, number));
                    }
                }
                Action::Open { server, worker, flavour } => afterwards.open.push((server, worker, flavour)),
                Action::Close(id) => {
                    afterwards.close.extend(self.servers.get_mut(id).and_then(Option::take));
                }
            }
        }
        afterwards
    }
}
