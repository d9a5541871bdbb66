//! Who gets which server connection, when one is opened, and when it is closed: a pure machine.
//!
//! One machine serves one pool (a user, a database and a member) for the whole process, so its limits are exact and
//! no client waits while a server of its pool idles. Servers belong to the worker that opened them; a free server
//! goes to a waiter of its own worker first, unless one elsewhere has waited longer by more than a bound.

use std::{collections::VecDeque, time::Duration};

use slab::Slab;
use smallvec::SmallVec;

use crate::clock::Moment;

/// A server connection's place in its pool.
pub type ServerId = usize;

/// A waiting client's place in its pool.
pub type Ticket = usize;

/// Which start-up settings a server was opened with; a client is only given a server of its own flavour.
pub type Flavour = u32;

/// What a pool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLimits {
    /// Servers at most (`default_pool_size`).
    pub size: usize,
    /// Servers kept even when idle (`min_pool_size`).
    pub min_size: usize,
    /// Servers beyond `size` for clients that have waited for `reserve_after`.
    pub reserve_size: usize,
    /// How long a client waits before the reserve is opened to it.
    pub reserve_after: Duration,
    /// A server older than this is not used again.
    pub lifetime: Option<Duration>,
    /// A server idle for longer than this is closed.
    pub idle_timeout: Option<Duration>,
    /// Servers being opened at once.
    pub opening_max: usize,
    /// How much longer a client of another worker must have waited to go first.
    pub handover_slack: Duration,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client wants a server.
    Acquire {
        /// The client's place among those who wait.
        ticket: Ticket,
        /// Its worker.
        worker: usize,
        /// The start-up settings it needs.
        flavour: Flavour,
    },
    /// A waiting client has gone, or was told to go elsewhere.
    GiveUp(Ticket),
    /// A server was opened.
    Opened(ServerId),
    /// A server could not be opened; none is tried before the moment.
    OpenFailed(ServerId, Moment),
    /// A lease ended.
    Returned(ServerId, Return),
    /// A server that was being reset or cancelled is as good as new.
    Recovered(ServerId),
    /// A server broke, or may not be used again.
    Broken(ServerId),
    /// Every idle server is to be closed.
    CloseIdle,
    /// One idle server is to be closed, to make room elsewhere.
    Evict,
    /// Failed openings may be tried again at once.
    Retry,
    /// Time has passed.
    Tick,
}

/// In what state a lease gives its server back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Ready for the next client.
    Clean,
    /// To be worked on first (reset, rolled back, or a cancel request to be awaited).
    Recovering,
    /// Not to be used again.
    Close,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The client gets this server.
    Lease(Ticket, ServerId),
    /// A server is to be opened.
    Open {
        /// Under this place.
        server: ServerId,
        /// By this worker.
        worker: usize,
        /// With these start-up settings.
        flavour: Flavour,
    },
    /// The server is to be closed; its place is gone.
    Close(ServerId),
}

/// What is to be done, in order.
pub type Actions = SmallVec<[Action; 2]>;

/// How many servers are in which state, and how many clients wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Being opened.
    pub opening: usize,
    /// Ready.
    pub idle: usize,
    /// Serving a client.
    pub leased: usize,
    /// Being reset, rolled back, or held until a cancel request has ended.
    pub recovering: usize,
    /// Clients that wait for a server.
    pub waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Idle(Moment),
    Leased,
    Recovering,
}

#[derive(Debug)]
struct Seat {
    worker: usize,
    flavour: Flavour,
    opened_at: Moment,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    flavour: Flavour,
    since: Moment,
}

/// The machine.
#[derive(Debug)]
pub struct Slots {
    limits: SlotLimits,
    seats: Slab<Seat>,
    /// Idle servers by worker, the last used last.
    idle: Vec<Vec<ServerId>>,
    /// Waiting clients by worker, the longest waiting first.
    waiting: Vec<VecDeque<Waiting>>,
    gauges: Gauges,
    no_opening_before: Moment,
}

impl Slots {
    /// An empty pool shared by so many workers.
    pub fn new(limits: SlotLimits, workers: usize) -> Self {
        let workers = workers.max(1);
        Self {
            limits,
            seats: Slab::new(),
            idle: vec![Vec::new(); workers],
            waiting: vec![VecDeque::new(); workers],
            gauges: Gauges::default(),
            no_opening_before: Moment::ZERO,
        }
    }

    /// Changes the limits; surplus servers go as they come back.
    pub fn set_limits(&mut self, limits: SlotLimits) {
        self.limits = limits;
    }

    /// How many servers are in which state, and how many clients wait.
    pub const fn gauges(&self) -> Gauges {
        self.gauges
    }

    /// Since when the longest-waiting client has waited.
    pub fn oldest_wait(&self) -> Option<Moment> {
        self.waiting.iter().filter_map(|queue| queue.front()).map(|waiting| waiting.since).min()
    }

    /// Since when the server that has idled longest has done so.
    pub fn oldest_idle(&self) -> Option<Moment> {
        self.idle.iter().filter_map(|stack| stack.first()).filter_map(|server| self.idle_since(*server)).min()
    }

    /// The idle servers, for those who watch over them.
    pub fn idle_servers(&self, worker: usize) -> &[ServerId] {
        self.idle.get(worker).map_or(&[], Vec::as_slice)
    }

    /// Whether nobody waits and no server exists.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.gauges.waiting == 0
    }

    /// Takes note of what happened and says what is to be done.
    pub fn handle(&mut self, now: Moment, event: Event) -> Actions {
        let mut actions = Actions::new();
        match event {
            Event::Acquire { ticket, worker, flavour } => {
                self.acquire(now, ticket, worker, flavour, &mut actions);
            }
            Event::GiveUp(ticket) => self.give_up(ticket),
            Event::Opened(server) => {
                self.no_opening_before = Moment::ZERO;
                if let Some(seat) = self.seats.get_mut(server) {
                    seat.opened_at = now;
                    self.free(now, server, &mut actions);
                    self.open_for_waiting(now, &mut actions);
                }
            }
            Event::OpenFailed(server, not_before) => {
                self.no_opening_before = not_before;
                self.vacate(server);
            }
            Event::Returned(server, Return::Clean) | Event::Recovered(server) => {
                self.free(now, server, &mut actions);
            }
            Event::Returned(server, Return::Recovering) => self.enter(server, State::Recovering),
            Event::Returned(server, Return::Close) | Event::Broken(server) => {
                self.close(server, &mut actions);
                self.open_for_waiting(now, &mut actions);
            }
            Event::CloseIdle => {
                for server in self.idle.iter().flatten().copied().collect::<Vec<_>>() {
                    self.close(server, &mut actions);
                }
            }
            Event::Evict => {
                if let Some(server) = self.longest_idle() {
                    self.close(server, &mut actions);
                }
            }
            Event::Retry => {
                self.no_opening_before = Moment::ZERO;
                self.open_for_waiting(now, &mut actions);
            }
            Event::Tick => self.tick(now, &mut actions),
        }
        actions
    }

    fn acquire(
        &mut self,
        now: Moment,
        ticket: Ticket,
        worker: usize,
        flavour: Flavour,
        actions: &mut Actions,
    ) {
        let worker = worker % self.idle.len();
        if let Some(server) = self.find_idle(worker, flavour) {
            self.enter(server, State::Leased);
            actions.push(Action::Lease(ticket, server));
            return;
        }
        self.waiting[worker].push_back(Waiting { ticket, flavour, since: now });
        self.gauges.waiting += 1;
        self.open_for_waiting(now, actions);
    }

    /// The last used idle server of this flavour, of this worker if it has one.
    fn find_idle(&self, worker: usize, flavour: Flavour) -> Option<ServerId> {
        let workers = self.idle.len();
        (0..workers).map(|step| &self.idle[(worker + step) % workers]).find_map(|stack| {
            stack
                .iter()
                .rev()
                .copied()
                .find(|server| self.seats.get(*server).is_some_and(|s| s.flavour == flavour))
        })
    }

    fn give_up(&mut self, ticket: Ticket) {
        for queue in &mut self.waiting {
            if let Some(place) = queue.iter().position(|waiting| waiting.ticket == ticket) {
                queue.remove(place);
                self.gauges.waiting -= 1;
                return;
            }
        }
    }

    /// A server is ready: for whom?
    fn free(&mut self, now: Moment, server: ServerId, actions: &mut Actions) {
        let Some(seat) = self.seats.get(server) else { return };
        let expired = self.limits.lifetime.is_some_and(|lifetime| now.since(seat.opened_at) >= lifetime);
        if expired || self.seats.len() > self.cap(now) {
            self.close(server, actions);
            self.open_for_waiting(now, actions);
            return;
        }
        let (worker, flavour) = (seat.worker, seat.flavour);
        let Some(waiter) = self.next_waiting(worker) else {
            self.enter(server, State::Idle(now));
            return;
        };
        if waiter.flavour == flavour {
            self.give_up(waiter.ticket);
            self.enter(server, State::Leased);
            actions.push(Action::Lease(waiter.ticket, server));
        } else {
            // The first in line needs other start-up settings: make room for a server that has them.
            self.close(server, actions);
            self.open_for_waiting(now, actions);
        }
    }

    /// The longest-waiting client of this worker, unless one elsewhere has waited longer by more than the slack.
    fn next_waiting(&self, worker: usize) -> Option<Waiting> {
        let own = self.waiting[worker].front().copied();
        let oldest =
            self.waiting.iter().filter_map(|queue| queue.front()).min_by_key(|w| w.since).copied()?;
        match own {
            Some(own) if own.since.since(oldest.since) <= self.limits.handover_slack => Some(own),
            _ => Some(oldest),
        }
    }

    fn cap(&self, now: Moment) -> usize {
        let starved = self.oldest_wait().is_some_and(|since| {
            self.limits.reserve_size > 0 && now.since(since) >= self.limits.reserve_after
        });
        self.limits.size + if starved { self.limits.reserve_size } else { 0 }
    }

    /// Opens as many servers as clients wait for, within the limits, those who wait longest first.
    fn open_for_waiting(&mut self, now: Moment, actions: &mut Actions) {
        if now < self.no_opening_before || self.gauges.waiting <= self.gauges.opening {
            return;
        }
        let cap = self.cap(now);
        let mut wanted: Vec<(Moment, usize, Flavour)> = Vec::new();
        for (worker, queue) in self.waiting.iter().enumerate() {
            wanted.extend(queue.iter().take(cap).map(|w| (w.since, worker, w.flavour)));
        }
        wanted.sort_by_key(|(since, ..)| *since);
        for (_, worker, flavour) in wanted.into_iter().skip(self.gauges.opening) {
            if self.gauges.opening >= self.limits.opening_max {
                return;
            }
            if self.seats.len() >= cap {
                // An idle server of other start-up settings gives way.
                match self.longest_idle() {
                    Some(server) => self.close(server, actions),
                    None => return,
                }
            }
            self.open(worker, flavour, actions);
        }
    }

    fn open(&mut self, worker: usize, flavour: Flavour, actions: &mut Actions) {
        let seat = Seat { worker, flavour, opened_at: Moment::ZERO, state: State::Opening };
        let server = self.seats.insert(seat);
        self.gauges.opening += 1;
        actions.push(Action::Open { server, worker, flavour });
    }

    fn tick(&mut self, now: Moment, actions: &mut Actions) {
        let expired: SmallVec<[ServerId; 4]> = self
            .seats
            .iter()
            .filter(|(_, seat)| {
                let State::Idle(since) = seat.state else { return false };
                let idle_too_long = self.limits.idle_timeout.is_some_and(|limit| now.since(since) >= limit);
                let too_old = self.limits.lifetime.is_some_and(|limit| now.since(seat.opened_at) >= limit);
                too_old || (idle_too_long && self.seats.len() > self.limits.min_size)
            })
            .map(|(server, _)| server)
            .collect();
        for server in expired {
            self.close(server, actions);
        }
        self.open_for_waiting(now, actions);
        let wanted = self.limits.min_size.min(self.limits.size);
        while now >= self.no_opening_before
            && self.seats.len() < wanted
            && self.gauges.opening < self.limits.opening_max
        {
            let worker = self.seats.len() % self.idle.len();
            self.open(worker, 0, actions);
        }
    }

    fn idle_since(&self, server: ServerId) -> Option<Moment> {
        match self.seats.get(server)?.state {
            State::Idle(since) => Some(since),
            _ => None,
        }
    }

    fn longest_idle(&self) -> Option<ServerId> {
        self.idle
            .iter()
            .filter_map(|stack| stack.first())
            .copied()
            .min_by_key(|server| self.idle_since(*server))
    }

    fn close(&mut self, server: ServerId, actions: &mut Actions) {
        if self.vacate(server) {
            actions.push(Action::Close(server));
        }
    }

    /// Moves a server from one state to another, and counts it there: nothing else does either.
    fn enter(&mut self, server: ServerId, state: State) {
        let Some(seat) = self.seats.get_mut(server) else { return };
        let worker = seat.worker;
        let before = std::mem::replace(&mut seat.state, state);
        self.leave(server, worker, before);
        if matches!(state, State::Idle(_)) {
            self.idle[worker].push(server);
        }
        *Self::gauge(&mut self.gauges, state) += 1;
    }

    fn vacate(&mut self, server: ServerId) -> bool {
        let Some(seat) = self.seats.try_remove(server) else { return false };
        self.leave(server, seat.worker, seat.state);
        true
    }

    fn leave(&mut self, server: ServerId, worker: usize, state: State) {
        *Self::gauge(&mut self.gauges, state) -= 1;
        if matches!(state, State::Idle(_))
            && let Some(place) = self.idle[worker].iter().rposition(|idle| *idle == server)
        {
            self.idle[worker].remove(place);
        }
    }

    const fn gauge(gauges: &mut Gauges, state: State) -> &mut usize {
        match state {
            State::Opening => &mut gauges.opening,
            State::Idle(_) => &mut gauges.idle,
            State::Leased => &mut gauges.leased,
            State::Recovering => &mut gauges.recovering,
        }
    }
}

#[cfg(test)]
mod tests;
