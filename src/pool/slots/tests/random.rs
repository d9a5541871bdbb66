//! Random events, and a model that knows only what it was told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// An event in the making: which of those that can happen is chosen by number.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Acquire(usize, Flavour),
    GiveUp(usize),
    Opened(usize),
    Failed(usize, u64),
    Refused(usize, u64),
    Clean(usize),
    Recovering(usize),
    Spent(usize),
    Recovered(usize),
    Broken(usize),
    CloseIdle,
    Vacate(u64),
    Evict,
    Retry,
    Tick,
    Wait(u64),
}

fn draw() -> impl Strategy<Value = Draw> {
    let nth = 0..64_usize;
    prop_oneof![
        6 => (0..3_usize, prop::sample::select(vec![0, 0, 0, 1, 2])).prop_map(|(w, f)| Draw::Acquire(w, f)),
        1 => nth.clone().prop_map(Draw::GiveUp),
        4 => nth.clone().prop_map(Draw::Opened),
        1 => (nth.clone(), 0..50_u64).prop_map(|(n, t)| Draw::Failed(n, t)),
        1 => (nth.clone(), 0..50_u64).prop_map(|(n, t)| Draw::Refused(n, t)),
        6 => nth.clone().prop_map(Draw::Clean),
        1 => nth.clone().prop_map(Draw::Recovering),
        1 => nth.clone().prop_map(Draw::Spent),
        1 => nth.clone().prop_map(Draw::Recovered),
        1 => nth.prop_map(Draw::Broken),
        1 => Just(Draw::CloseIdle),
        1 => (0..200_u64).prop_map(Draw::Vacate),
        1 => Just(Draw::Evict),
        1 => Just(Draw::Retry),
        2 => Just(Draw::Tick),
        4 => (0..40_u64).prop_map(Draw::Wait),
    ]
}

fn limits() -> impl Strategy<Value = SlotLimits> {
    (
        1..5_usize,
        0..3_usize,
        0..3_usize,
        1..4_usize,
        prop::option::of(1..200_u64),
        prop::option::of(1..100_u64),
    )
        .prop_map(|(size, min_size, reserve_size, opening_max, lifetime, idle)| SlotLimits {
            size,
            min_size,
            reserve_size,
            reserve_after: ms(30),
            lifetime: lifetime.map(ms),
            idle_timeout: idle.map(ms),
            opening_max,
            ..LIMITS
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Opening,
    Idle,
    Leased,
    Recovering,
    /// Just become free: it must be leased, closed or idle when the event has been dealt with.
    Free,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    ticket: Ticket,
    worker: usize,
    flavour: Flavour,
    since: Moment,
    overtaken: u64,
}

struct Model {
    limits: SlotLimits,
    slots: Slots,
    now: Moment,
    seats: BTreeMap<ServerId, (Is, Flavour)>,
    waiting: Vec<Waiter>,
    longest_line: u64,
    served: BTreeSet<Ticket>,
    next_ticket: Ticket,
    paused_until: Moment,
    refused_until: BTreeMap<Flavour, Moment>,
}

impl Model {
    fn new(limits: SlotLimits) -> Self {
        Self {
            limits,
            slots: Slots::new(limits, 3),
            now: at(0),
            seats: BTreeMap::new(),
            waiting: Vec::new(),
            longest_line: 0,
            served: BTreeSet::new(),
            next_ticket: 0,
            paused_until: Moment::ZERO,
            refused_until: BTreeMap::new(),
        }
    }

    fn nth(&self, is: Is, n: usize) -> Option<ServerId> {
        let all: Vec<ServerId> =
            self.seats.iter().filter(|(_, (state, _))| *state == is).map(|(id, _)| *id).collect();
        (!all.is_empty()).then(|| all[n % all.len()])
    }

    fn event(&mut self, draw: Draw) -> Option<Event> {
        Some(match draw {
            Draw::Acquire(worker, flavour) => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.waiting.push(Waiter { ticket, worker, flavour, since: self.now, overtaken: 0 });
                self.longest_line = self.longest_line.max(self.waiting.len() as u64);
                Event::Acquire { ticket, worker, flavour }
            }
            Draw::GiveUp(n) => {
                let place = n.checked_rem(self.waiting.len())?;
                Event::GiveUp(self.waiting.remove(place).ticket)
            }
            Draw::Opened(n) => {
                let id = self.nth(Is::Opening, n)?;
                self.paused_until = Moment::ZERO;
                self.refused_until.remove(&self.seats[&id].1);
                self.becomes(id, Is::Free);
                Event::Opened(id)
            }
            Draw::Failed(n, pause) => {
                let id = self.nth(Is::Opening, n)?;
                self.seats.remove(&id);
                self.paused_until = self.now + ms(pause);
                Event::OpenFailed(id, self.paused_until)
            }
            Draw::Refused(n, pause) => {
                let id = self.nth(Is::Opening, n)?;
                let (_, flavour) = self.seats.remove(&id)?;
                let until = self.now + ms(pause);
                self.refused_until.insert(flavour, until);
                Event::LoginRefused(id, until)
            }
            Draw::Clean(n) => {
                let id = self.nth(Is::Leased, n)?;
                self.becomes(id, Is::Free);
                Event::Returned(id, Return::Clean)
            }
            Draw::Recovering(n) => {
                let id = self.nth(Is::Leased, n)?;
                self.becomes(id, Is::Recovering);
                Event::Returned(id, Return::Recovering)
            }
            // Those must be closed: Free is no state to stay in, and they are not to be leased.
            Draw::Spent(n) => Event::Returned(self.nth(Is::Leased, n)?, Return::Close),
            Draw::Recovered(n) => {
                let id = self.nth(Is::Recovering, n)?;
                self.becomes(id, Is::Free);
                Event::Recovered(id)
            }
            Draw::Broken(n) => Event::Broken(self.nth(Is::Idle, n).or_else(|| self.nth(Is::Recovering, n))?),
            Draw::CloseIdle => Event::CloseIdle,
            Draw::Vacate(time) => Event::Vacate(self.now + ms(time)),
            Draw::Evict => Event::Evict,
            Draw::Retry => {
                self.paused_until = Moment::ZERO;
                self.refused_until.clear();
                Event::Retry
            }
            Draw::Tick => Event::Tick,
            Draw::Wait(time) => {
                self.now = self.now + ms(time);
                return None;
            }
        })
    }

    fn becomes(&mut self, id: ServerId, is: Is) {
        if let Some((state, _)) = self.seats.get_mut(&id) {
            *state = is;
        }
    }

    fn happens(&mut self, draw: Draw) {
        let Some(event) = self.event(draw) else { return };
        let actions = self.slots.handle(self.now, event);
        for action in actions {
            self.act(action);
        }
        if let Event::Returned(id, Return::Close) | Event::Broken(id) = event {
            // Its place may have been taken by one that is being opened.
            let kept = self.seats.get(&id).is_some_and(|(is, _)| *is != Is::Opening);
            assert!(!kept, "{event:?}: {id} was not closed");
        }
        for (is, _) in self.seats.values_mut().filter(|(is, _)| *is == Is::Free) {
            *is = Is::Idle;
        }
        self.holds();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Lease(ticket, server) => {
                let place = self.waiting.iter().position(|w| w.ticket == ticket);
                let waiter = self.waiting.remove(place.unwrap_or_else(|| panic!("{ticket} does not wait")));
                assert!(self.served.insert(ticket), "{ticket} was served twice");
                let (is, flavour) = self.seats[&server];
                assert!(matches!(is, Is::Idle | Is::Free), "{server} is {is:?}");
                assert_eq!(flavour, waiter.flavour);
                for other in self.waiting.iter_mut().filter(|other| other.flavour == waiter.flavour) {
                    let ahead = waiter.since.since(other.since);
                    let same_worker = other.worker == waiter.worker && other.ticket < ticket;
                    assert!(!same_worker && ahead <= self.limits.handover_slack, "{other:?} was passed over");
                    other.overtaken += u64::from(other.ticket < ticket);
                    let most = self.limits.overtakes_max.max(self.longest_line / 2);
                    assert!(other.overtaken <= most, "{other:?} was overtaken");
                }
                self.becomes(server, Is::Leased);
            }
            Action::Open { server, flavour, .. } => {
                assert!(self.now >= self.paused_until, "opened within the pause");
                let refused = self.refused_until.get(&flavour).is_some_and(|until| self.now < *until);
                assert!(!refused, "opened although refused");
                assert!(self.seats.insert(server, (Is::Opening, flavour)).is_none());
                assert!(self.seats.len() <= self.limits.size + self.limits.reserve_size, "too many");
                let opening = self.seats.values().filter(|(is, _)| *is == Is::Opening).count();
                assert!(opening <= self.limits.opening_max, "too many at once");
            }
            Action::Close(server) => {
                let closed = self.seats.remove(&server);
                assert!(closed.is_some_and(|(is, _)| is != Is::Opening), "{closed:?} was closed");
            }
        }
    }

    /// What must be true after every event.
    fn holds(&self) {
        let count = |is: Is| self.seats.values().filter(|(state, _)| *state == is).count();
        let counted = Gauges {
            opening: count(Is::Opening),
            idle: count(Is::Idle),
            leased: count(Is::Leased),
            recovering: count(Is::Recovering),
            waiting: self.waiting.len(),
        };
        assert_eq!(self.slots.gauges(), counted);
        for waiter in &self.waiting {
            let idles = self.seats.values().any(|seat| *seat == (Is::Idle, waiter.flavour));
            assert!(!idles, "{waiter:?} waits while a server idles");
        }
        assert_eq!(self.slots.oldest_wait(), self.waiting.iter().map(|w| w.since).min());
        assert_eq!(self.slots.is_empty(), self.seats.is_empty() && self.waiting.is_empty());
    }

    /// From here on everything succeeds: everybody is served, in a bounded number of rounds.
    fn everybody_is_served(&mut self) {
        let rounds = 4 * (self.waiting.len() + self.limits.size + self.limits.reserve_size) + 8;
        for _ in 0..rounds {
            self.happens(Draw::Wait(60));
            self.happens(Draw::Tick);
            let each = |is| self.seats.values().filter(|(state, _)| *state == is).count();
            let (opening, recovering, leased) = (each(Is::Opening), each(Is::Recovering), each(Is::Leased));
            (0..opening).for_each(|_| self.happens(Draw::Opened(0)));
            (0..recovering).for_each(|_| self.happens(Draw::Recovered(0)));
            (0..leased).for_each(|n| self.happens(Draw::Clean(n)));
        }
        assert!(self.waiting.is_empty(), "{:?} were not served: {:?}", self.waiting, self.slots);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_goes_wrong(limits in limits(), draws in prop::collection::vec(draw(), 1..120)) {
        let mut model = Model::new(limits);
        for draw in draws {
            model.happens(draw);
        }
        model.everybody_is_served();
    }
}
