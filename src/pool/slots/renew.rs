//! Servers that take the place of others: what PostgreSQL settles when a session begins holds for new ones alone.

use super::{Actions, Flavour, ServerId, Slots, State};
use crate::clock::Moment;

impl Slots {
    /// Servers that were opened before this are not used again, but for `spared`.
    pub(super) fn retire(&mut self, spared: Option<ServerId>, actions: &mut Actions) {
        self.generation = self.generation.wrapping_add(1);
        if let Some(seat) = spared.and_then(|spared| self.seats.get_mut(spared)) {
            seat.generation = self.generation;
        }
        for server in self.idle.iter().flatten().copied().collect::<Vec<_>>() {
            self.close(server, actions);
        }
    }

    /// Opens a server for what it says of itself, unless one is being opened. Where there is no room an idle one gives way.
    pub(super) fn renew(&mut self, now: Moment, worker: usize, flavour: Flavour, actions: &mut Actions) {
        let refused = self.is_refused(flavour, now) || !self.may_open(now);
        if self.renewing.is_some() || self.is_opening(flavour) || refused {
            return;
        }
        let full = self.seats.len() >= self.limits.size;
        if full {
            let Some(server) = self.longest_idle() else { return };
            self.close(server, actions);
        }
        let place = self.seats.vacant_key();
        self.open(worker % self.idle.len(), flavour, actions);
        self.renewing = (!full).then_some(place);
    }

    /// One that was opened for what it says of itself is there: the one of its kind goes that has idled longest.
    pub(super) fn take_place(&mut self, server: ServerId, actions: &mut Actions) {
        if self.renewing != Some(server) {
            return;
        }
        self.renewing = None;
        let Some(flavour) = self.seats.get(server).map(|seat| seat.flavour) else { return };
        let idle = self.idle.iter().flatten().copied();
        let alike = idle.filter(|idle| self.seats.get(*idle).is_some_and(|seat| seat.flavour == flavour));
        if let Some(longest) = alike.min_by_key(|idle| self.idle_since(*idle)) {
            self.close(longest, actions);
        }
    }

    /// Whether any server is logged in.
    pub const fn has_any(&self) -> bool {
        self.gauges.idle + self.gauges.leased + self.gauges.recovering > 0
    }

    /// Since when the server that has idled longest has done so.
    pub fn oldest_idle(&self) -> Option<Moment> {
        self.idle.iter().filter_map(|stack| stack.first()).filter_map(|server| self.idle_since(*server)).min()
    }

    /// The idle servers, for those who watch over them.
    pub fn idle_servers(&self, worker: usize) -> &[ServerId] {
        self.idle.get(worker).map_or(&[], Vec::as_slice)
    }

    /// Whether this one is opened for what it says of itself, and not in addition to others.
    pub fn is_renewal(&self, server: ServerId) -> bool {
        self.renewing == Some(server)
    }

    /// Whether a server with these start-up settings is being opened.
    pub fn is_opening(&self, flavour: Flavour) -> bool {
        self.seats.iter().any(|(_, seat)| seat.flavour == flavour && seat.state == State::Opening)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Event, Return, SlotLimits, tests::LIMITS};
    use super::*;

    const NOW: Moment = Moment::ZERO;

    fn slots(size: usize) -> Slots {
        Slots::new(SlotLimits { size, opening_max: 8, ..LIMITS }, 1)
    }

    /// What is opened and what is closed.
    fn renew(slots: &mut Slots, flavour: Flavour) -> (Vec<ServerId>, Vec<ServerId>) {
        sorted(&slots.handle(NOW, Event::Renew { worker: 0, flavour }))
    }

    fn sorted(actions: &Actions) -> (Vec<ServerId>, Vec<ServerId>) {
        let opened = actions.iter().filter_map(|action| match action {
            Action::Open { server, .. } => Some(*server),
            _ => None,
        });
        let closed = actions.iter().filter_map(|action| match action {
            Action::Close(server) => Some(*server),
            _ => None,
        });
        (opened.collect(), closed.collect())
    }

    /// One more server, which idles.
    fn open(slots: &mut Slots, flavour: Flavour) -> ServerId {
        let (opened, _) = renew(slots, flavour);
        slots.renewing = None;
        slots.handle(NOW, Event::Opened(opened[0]));
        opened[0]
    }

    #[test]
    fn a_new_one_takes_the_place_of_one_of_its_kind() {
        let mut slots = slots(4);
        let (first, other) = (open(&mut slots, 0), open(&mut slots, 7));
        let (opened, closed) = renew(&mut slots, 0);
        assert_eq!((opened.len(), closed.len()), (1, 0), "the old one serves until the new one is there");
        assert_eq!(renew(&mut slots, 0), (vec![], vec![]), "one is enough for all who ask");
        let (_, closed) = sorted(&slots.handle(NOW, Event::Opened(opened[0])));
        assert_eq!(closed, [first]);
        assert_eq!((slots.gauges().idle, slots.has_servers(7)), (2, true), "{other} stays");
        // One that could not be opened takes nobody's place, whoever has its place in the list afterwards.
        let (opened, _) = renew(&mut slots, 7);
        assert!(slots.handle(NOW, Event::OpenFailed(opened[0], NOW)).is_empty());
        assert_eq!((slots.gauges().idle, slots.renewing), (2, None));
    }

    #[test]
    fn where_there_is_no_room_an_idle_one_gives_way_and_one_in_use_does_not() {
        let mut slots = slots(1);
        let first = open(&mut slots, 0);
        let acquire = Event::Acquire { ticket: 1, worker: 0, flavour: 0 };
        assert_eq!(slots.handle(NOW, acquire).as_slice(), [Action::Lease(1, first)]);
        assert_eq!(renew(&mut slots, 0), (vec![], vec![]));
        slots.handle(NOW, Event::Returned(first, Return::Clean));
        let (opened, closed) = renew(&mut slots, 0);
        assert_eq!((opened.len(), closed), (1, vec![first]));
        assert!(sorted(&slots.handle(NOW, Event::Opened(opened[0]))).1.is_empty());
        assert_eq!(slots.gauges().idle, 1);
    }

    #[test]
    fn what_was_opened_before_is_not_used_again() {
        let mut slots = slots(4);
        let (idle, used) = (open(&mut slots, 7), open(&mut slots, 0));
        let acquire = Event::Acquire { ticket: 1, worker: 0, flavour: 0 };
        assert_eq!(slots.handle(NOW, acquire).as_slice(), [Action::Lease(1, used)]);
        let (under_way, _) = renew(&mut slots, 3);
        assert_eq!(sorted(&slots.handle(NOW, Event::Retire(None))).1, [idle]);
        // Neither what is in use nor what was on its way.
        assert_eq!(sorted(&slots.handle(NOW, Event::Returned(used, Return::Clean))).1, [used]);
        assert_eq!(sorted(&slots.handle(NOW, Event::Opened(under_way[0]))).1, under_way);
        let after = open(&mut slots, 0);
        assert_eq!((slots.gauges().idle, slots.idle_servers(0)), (1, &[after][..]));
        // But for one that has said what the others did not.
        let (spared, _) = renew(&mut slots, 5);
        assert_eq!(sorted(&slots.handle(NOW, Event::Retire(Some(spared[0])))).1, [after]);
        assert!(sorted(&slots.handle(NOW, Event::Opened(spared[0]))).1.is_empty());
        assert_eq!(slots.idle_servers(0), spared);
    }
}
