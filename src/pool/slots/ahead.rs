//! Servers opened ahead of any use: on a member that may lead next, as many as the leader's pool has.

use smallvec::SmallVec;

use super::{Actions, Flavour, Slots};
use crate::clock::Moment;

/// How many servers there are of which start-up settings.
pub type Census = SmallVec<[(Flavour, usize); 2]>;

impl Slots {
    /// The servers there are, those that are being opened included.
    pub fn census(&self) -> Census {
        let mut census = Census::new();
        for (_, seat) in &self.seats {
            match census.iter_mut().find(|(flavour, _)| *flavour == seat.flavour) {
                Some((_, count)) => *count += 1,
                None => census.push((seat.flavour, 1)),
            }
        }
        census.sort_unstable();
        census
    }

    /// So many are to be there without anybody waiting for them, as far as the limits allow.
    pub fn open_ahead_of(&mut self, wanted: Census) {
        self.ahead = wanted;
    }

    /// How many are opened ahead.
    pub fn ahead(&self) -> usize {
        self.ahead.iter().map(|(_, count)| count).sum()
    }

    /// Servers that are kept although they idle.
    pub(super) fn kept_idle(&self) -> usize {
        self.limits.min_size.max(self.ahead().min(self.limits.size))
    }

    pub(super) fn open_ahead(&mut self, now: Moment, actions: &mut Actions) {
        if self.ahead.is_empty() {
            return;
        }
        let there = self.census();
        for (flavour, wanted) in self.ahead.clone() {
            let have = there.iter().find(|(known, _)| *known == flavour).map_or(0, |(_, count)| *count);
            for _ in have..wanted {
                let full = self.seats.len() >= self.limits.size;
                if full || !self.may_open(now) || self.is_refused(flavour, now) {
                    break;
                }
                let worker = self.seats.len() % self.idle.len();
                self.open(worker, flavour, actions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Action, Event, Return, SlotLimits, tests::LIMITS};
    use super::*;

    fn slots(size: usize, opening_max: usize) -> Slots {
        let limits = SlotLimits { size, opening_max, idle_timeout: Some(Duration::from_secs(10)), ..LIMITS };
        Slots::new(limits, 2)
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    /// Looks at the clock and opens what it asks for; the start-up settings of what was opened.
    fn tick(slots: &mut Slots, seconds: u64) -> Vec<Flavour> {
        let actions = slots.handle(at(seconds), Event::Tick);
        let open = |action| match action {
            Action::Open { server, flavour, .. } => Some((server, flavour)),
            Action::Lease(..) | Action::Close(_) => None,
        };
        let opened: Vec<_> = actions.into_iter().filter_map(open).collect();
        for (server, _) in &opened {
            slots.handle(at(seconds), Event::Opened(*server));
        }
        opened.into_iter().map(|(_, flavour)| flavour).collect()
    }

    #[test]
    fn as_many_as_wanted_of_each_kind_within_the_limits() {
        let mut slots = slots(4, 2);
        slots.open_ahead_of(Census::from_slice(&[(0, 2), (7, 3)]));
        // Two at once, four in all.
        assert_eq!(tick(&mut slots, 1), [0, 0]);
        assert_eq!(tick(&mut slots, 1), [7, 7]);
        assert!(tick(&mut slots, 1).is_empty());
        assert_eq!(slots.census().as_slice(), [(0, 2), (7, 2)]);
        // They idle for as long as they are wanted, and no longer.
        assert_eq!((tick(&mut slots, 100), slots.gauges().idle), (vec![], 4));
        slots.open_ahead_of(Census::from_slice(&[(7, 1)]));
        assert_eq!((tick(&mut slots, 200), slots.gauges().idle), (vec![], 1));
        slots.open_ahead_of(Census::new());
        assert_eq!((tick(&mut slots, 300), slots.gauges().idle), (vec![], 0));
    }

    #[test]
    fn whoever_comes_gets_them_and_they_count_while_they_are_used() {
        let mut slots = slots(4, 8);
        slots.open_ahead_of(Census::from_slice(&[(0, 1)]));
        assert_eq!(tick(&mut slots, 1), [0]);
        let acquire = Event::Acquire { ticket: 5, worker: 1, flavour: 0 };
        let granted = slots.handle(at(2), acquire);
        let [Action::Lease(5, server)] = granted.as_slice() else { panic!("{granted:?}") };
        assert!(tick(&mut slots, 3).is_empty());
        slots.handle(at(4), Event::Returned(*server, Return::Close));
        assert_eq!(tick(&mut slots, 5), [0]);
    }

    #[test]
    fn what_is_refused_is_not_tried_again_at_once() {
        let mut slots = slots(4, 8);
        slots.open_ahead_of(Census::from_slice(&[(7, 1)]));
        let actions = slots.handle(at(1), Event::Tick);
        let [Action::Open { server, flavour: 7, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        slots.handle(at(1), Event::LoginRefused(*server, at(5)));
        assert!(tick(&mut slots, 4).is_empty());
        assert_eq!(tick(&mut slots, 5), [7]);
    }
}
