//! Who gets which server connection, when one is opened, and when it is closed: a pure machine.
//!
//! One machine serves one pool (a user, a database and a member) for the whole process, so its limits are exact and
//! no client waits while a server of its pool idles. Servers belong to the worker that opened them; a free server
//! goes to a waiter of its own worker first, unless one elsewhere has waited longer by more than a bound.

use std::collections::VecDeque;

use slab::Slab;
use smallvec::SmallVec;

use crate::clock::Moment;

mod ahead;
mod events;
mod renew;
mod room;
mod rotate;

pub use ahead::Census;
pub use events::{Action, Actions, Event, Flavour, Gauges, Return, Reuse, ServerId, SlotLimits, Ticket};

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
    /// Which generation it is of.
    generation: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    flavour: Flavour,
    since: Moment,
    /// Its place among all that have waited in this pool.
    arrival: u64,
}

/// Whether limits shared with other pools leave room for another server, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Some,
    None,
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
    /// How many have waited so far.
    arrivals: u64,
    gauges: Gauges,
    no_opening_before: Moment,
    room: Room,
    /// Until then nothing is kept that nobody uses, unless somebody wants a server.
    vacant_until: Moment,
    /// How many servers are opened ahead of any use, by start-up settings.
    ahead: Census,
    /// Start-up settings with which logins were refused, and until when none is tried.
    refused: SmallVec<[(Flavour, Moment); 1]>,
    /// Grows when servers that were opened before are not to be used again.
    generation: u32,
    /// The server that is opened for what it says of itself, and takes the place of another.
    renewing: Option<ServerId>,
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
            arrivals: 0,
            gauges: Gauges::default(),
            no_opening_before: Moment::ZERO,
            room: Room::Some,
            vacant_until: Moment::ZERO,
            ahead: Census::new(),
            refused: SmallVec::new(),
            generation: 0,
            renewing: None,
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

    /// Whether a server with these start-up settings is logged in.
    pub fn has_servers(&self, flavour: Flavour) -> bool {
        self.seats.iter().any(|(_, seat)| seat.flavour == flavour && seat.state != State::Opening)
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
                self.room = Room::Some;
                if let Some(seat) = self.seats.get_mut(server) {
                    seat.opened_at = now;
                    let flavour = seat.flavour;
                    self.refused.retain(|(refused, _)| *refused != flavour);
                    self.take_place(server, &mut actions);
                    self.free(now, server, &mut actions);
                    self.open_for_waiting(now, &mut actions);
                }
            }
            Event::OpenFailed(server, not_before) => {
                self.no_opening_before = not_before;
                self.vacate(server);
                self.serve_from_idle(&mut actions);
            }
            Event::NoRoom(server, not_before) => {
                self.no_opening_before = not_before;
                self.room = Room::None;
                self.vacate(server);
                self.serve_from_idle(&mut actions);
            }
            Event::LoginRefused(server, not_before) => {
                if let Some(flavour) = self.seats.get(server).map(|seat| seat.flavour) {
                    self.refused.retain(|(refused, until)| *refused != flavour && now < *until);
                    self.refused.push((flavour, not_before));
                }
                self.vacate(server);
                self.serve_from_idle(&mut actions);
                self.open_for_waiting(now, &mut actions);
            }
            Event::Returned(server, Return::Clean) | Event::Recovered(server) => {
                self.free(now, server, &mut actions);
            }
            Event::Returned(server, Return::Recovering) => self.enter(server, State::Recovering),
            Event::Returned(server, Return::Close) | Event::Broken(server) => {
                self.close(server, &mut actions);
                self.open_for_waiting(now, &mut actions);
            }
            Event::CloseIdle => self.close_idle(&mut actions),
            Event::Vacate(until) => {
                self.vacant_until = until;
                self.close_idle(&mut actions);
            }
            Event::Retire(spared) => self.retire(spared, &mut actions),
            Event::Renew { worker, flavour } => self.renew(now, worker, flavour, &mut actions),
            Event::Evict => {
                if let Some(server) = self.longest_idle() {
                    self.close(server, &mut actions);
                }
            }
            Event::Retry => {
                self.no_opening_before = Moment::ZERO;
                self.room = Room::Some;
                self.refused.clear();
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
        let idle = match self.limits.reuse {
            Reuse::LastUsed => self.find_idle(worker, flavour),
            Reuse::Rotate => self.find_to_rotate(now, flavour),
        };
        if let Some(server) = idle {
            self.enter(server, State::Leased);
            actions.push(Action::Lease(ticket, server));
            return;
        }
        self.vacant_until = Moment::ZERO;
        self.waiting[worker].push_back(Waiting { ticket, flavour, since: now, arrival: self.arrivals });
        self.arrivals += 1;
        self.gauges.waiting += 1;
        self.open_for_waiting(now, actions);
    }

    /// The last used idle server of this flavour, of this worker if it has one.
    fn find_idle(&self, worker: usize, flavour: Flavour) -> Option<ServerId> {
        let (before, from) = self.idle.split_at(worker);
        from.iter().chain(before).find_map(|stack| {
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
        if expired || seat.generation != self.generation || self.seats.len() > self.cap(now) {
            self.close(server, actions);
            self.open_for_waiting(now, actions);
            return;
        }
        let (worker, flavour) = (seat.worker, seat.flavour);
        if self.gauges.waiting == 0 {
            self.rest(now, server, actions);
            return;
        }
        let next = self.next_waiting(worker, flavour);
        if self.must_make_room(now, flavour, next) {
            self.close(server, actions);
            self.open_for_waiting(now, actions);
            return;
        }
        let Some(waiter) = next else {
            self.rest(now, server, actions);
            return;
        };
        self.give_up(waiter.ticket);
        self.enter(server, State::Leased);
        actions.push(Action::Lease(waiter.ticket, server));
    }

    /// The longest-waiting client of this worker for these start-up settings, unless one elsewhere has waited
    /// longer by more than the slack or would be overtaken too often.
    fn next_waiting(&self, worker: usize, flavour: Flavour) -> Option<Waiting> {
        let first = |queue: &VecDeque<Waiting>| queue.iter().find(|w| w.flavour == flavour).copied();
        let own = first(&self.waiting[worker]);
        let oldest = self.waiting.iter().filter_map(first).min_by_key(|w| w.arrival)?;
        // In a long line the workers' turns are uneven by more, and a hand-over across them is dear.
        let most = self.limits.overtakes_max.max(self.gauges.waiting as u64 / 2);
        let may_overtake = |own: &Waiting| {
            own.since.since(oldest.since) <= self.limits.handover_slack
                && own.arrival - oldest.arrival <= most
        };
        Some(own.filter(may_overtake).unwrap_or(oldest))
    }

    fn cap(&self, now: Moment) -> usize {
        let Self { limits, gauges, .. } = self;
        if limits.reserve_size == 0 || gauges.waiting == 0 {
            return limits.size;
        }
        let starved = self.oldest_wait().is_some_and(|since| now.since(since) >= limits.reserve_after);
        limits.size + if starved { limits.reserve_size } else { 0 }
    }

    fn tick(&mut self, now: Moment, actions: &mut Actions) {
        let too_old = |seat: &Seat| {
            matches!(seat.state, State::Idle(_))
                && self.limits.lifetime.is_some_and(|limit| now.since(seat.opened_at) >= limit)
        };
        let expired = self.seats.iter().filter(|(_, seat)| too_old(seat));
        for server in expired.map(|(server, _)| server).collect::<SmallVec<[ServerId; 4]>>() {
            self.close(server, actions);
        }
        if let Some(limit) = self.limits.idle_timeout {
            while self.seats.len() > self.kept_idle()
                && let Some(server) = self.longest_idle()
                && self.idle_since(server).is_some_and(|since| now.since(since) >= limit)
            {
                self.close(server, actions);
            }
        }
        self.open_for_waiting(now, actions);
        if self.is_vacant(now) {
            return;
        }
        let wanted = self.limits.min_size.min(self.limits.size);
        while self.seats.len() < wanted && self.may_open(now) && !self.is_refused(0, now) {
            let worker = self.seats.len() % self.idle.len();
            self.open(worker, 0, actions);
        }
        self.open_ahead(now, actions);
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

    fn close_idle(&mut self, actions: &mut Actions) {
        for server in self.idle.iter().flatten().copied().collect::<Vec<_>>() {
            self.close(server, actions);
        }
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
        if self.renewing == Some(server) {
            self.renewing = None;
        }
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
