//! Another server each time, for tests: `rotate_servers`.

use super::{Action, Actions, Flavour, Reuse, ServerId, Slots, State};
use crate::clock::Moment;

impl Slots {
    /// The server of this flavour that has idled longest; none if it is the only one and another may be opened, which
    /// the client then waits for.
    pub(super) fn find_to_rotate(&self, now: Moment, flavour: Flavour) -> Option<ServerId> {
        let mut idle = self.idle_of(flavour);
        let longest = idle.next()?;
        let opens = self.seats.len() < self.cap(now) && self.may_open(now) && !self.is_refused(flavour, now);
        (idle.next().is_some() || !opens).then_some(longest)
    }

    /// The idle servers of this flavour, the longest idle first.
    fn idle_of(&self, flavour: Flavour) -> impl Iterator<Item = ServerId> {
        let mut idle: Vec<ServerId> = self
            .idle
            .iter()
            .flatten()
            .copied()
            .filter(|server| self.seats.get(*server).is_some_and(|seat| seat.flavour == flavour))
            .collect();
        idle.sort_by_key(|server| self.idle_since(*server));
        idle.into_iter()
    }

    /// Where a client waits for another server although one idles, and the other could not be opened, it gets the
    /// one there is.
    pub(super) fn serve_from_idle(&mut self, actions: &mut Actions) {
        if self.limits.reuse != Reuse::Rotate {
            return;
        }
        let mut waiting: Vec<_> = self.waiting.iter().flatten().copied().collect();
        waiting.sort_by_key(|waiter| waiter.since);
        for waiter in waiting {
            let Some(server) = self.idle_of(waiter.flavour).next() else { continue };
            self.give_up(waiter.ticket);
            self.enter(server, State::Leased);
            actions.push(Action::Lease(waiter.ticket, server));
        }
    }
}
