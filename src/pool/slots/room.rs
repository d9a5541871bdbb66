//! When servers are opened for those who wait, and which give way to them.

use smallvec::SmallVec;

use super::{Action, Actions, Flavour, Room, Seat, ServerId, Slots, State, Waiting};
use crate::clock::Moment;

impl Slots {
    /// Whether a server of `flavour` must go for a client in front of `next` that needs other start-up settings:
    /// one for which no server is being opened, and could be only in its place.
    pub(super) fn must_make_room(&self, now: Moment, flavour: Flavour, next: Option<Waiting>) -> bool {
        let first = self.waiting.iter().filter_map(|queue| queue.front()).min_by_key(|w| w.since);
        let full = self.seats.len() >= self.cap(now) && self.may_open(now);
        if first.is_none_or(|first| first.flavour == flavour) || !(full || self.room == Room::None) {
            return false;
        }
        let mut opening = self.opening_by_flavour();
        let mut before: SmallVec<[Waiting; 8]> = self
            .waiting
            .iter()
            .flatten()
            .filter(|w| w.flavour != flavour && next.is_none_or(|next| w.since < next.since))
            .copied()
            .collect();
        before.sort_by_key(|w| w.since);
        before.iter().any(|w| !self.is_refused(w.flavour, now) && !take_one(&mut opening, w.flavour))
    }

    /// Whether nothing is kept or opened that nobody uses.
    pub fn is_vacant(&self, now: Moment) -> bool {
        now < self.vacant_until
    }

    /// Whether as many servers are logged in as the pool may have without its reserve.
    pub fn is_full(&self) -> bool {
        self.seats.len() - self.gauges.opening >= self.limits.size
    }

    /// Nobody takes a server that is ready.
    #[inline]
    pub(super) fn rest(&mut self, now: Moment, server: ServerId, actions: &mut Actions) {
        if self.is_vacant(now) {
            self.close(server, actions);
            self.open_for_waiting(now, actions);
        } else {
            self.enter(server, State::Idle(now));
        }
    }

    pub(super) fn may_open(&self, now: Moment) -> bool {
        now >= self.no_opening_before && self.gauges.opening < self.limits.opening_max
    }

    pub(super) fn is_refused(&self, flavour: Flavour, now: Moment) -> bool {
        self.refused.iter().any(|(refused, until)| *refused == flavour && now < *until)
    }

    /// How many servers are being opened with which start-up settings.
    fn opening_by_flavour(&self) -> SmallVec<[(Flavour, usize); 4]> {
        let mut counts: SmallVec<[(Flavour, usize); 4]> = SmallVec::new();
        for (_, seat) in self.seats.iter().filter(|(_, seat)| seat.state == State::Opening) {
            match counts.iter_mut().find(|(flavour, _)| *flavour == seat.flavour) {
                Some((_, count)) => *count += 1,
                None => counts.push((seat.flavour, 1)),
            }
        }
        counts
    }

    /// Opens as many servers as clients wait for, within the limits, those who wait longest first.
    pub(super) fn open_for_waiting(&mut self, now: Moment, actions: &mut Actions) {
        let cap = self.cap(now);
        let full = self.seats.len() >= cap && self.gauges.idle == 0;
        if self.gauges.waiting == 0 || full || !self.may_open(now) {
            return;
        }
        let mut opening = self.opening_by_flavour();
        let mut wanted: Vec<(Moment, usize, Flavour)> = Vec::new();
        for (worker, queue) in self.waiting.iter().enumerate() {
            let waiting = queue.iter().filter(|w| !self.is_refused(w.flavour, now));
            wanted.extend(waiting.take(cap).map(|w| (w.since, worker, w.flavour)));
        }
        wanted.sort_by_key(|(since, ..)| *since);
        for (_, worker, flavour) in wanted {
            if take_one(&mut opening, flavour) {
                continue;
            }
            if !self.may_open(now) {
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

    pub(super) fn open(&mut self, worker: usize, flavour: Flavour, actions: &mut Actions) {
        let seat = Seat {
            worker,
            flavour,
            opened_at: Moment::ZERO,
            generation: self.generation,
            state: State::Opening,
        };
        let server = self.seats.insert(seat);
        self.gauges.opening += 1;
        actions.push(Action::Open { server, worker, flavour });
    }
}

/// Takes one of those that are being opened with these start-up settings, if there is one left.
fn take_one(opening: &mut [(Flavour, usize)], flavour: Flavour) -> bool {
    let left = opening.iter_mut().find(|(known, left)| *known == flavour && *left > 0);
    left.map(|(_, left)| *left -= 1).is_some()
}
