//! Start-up settings that servers are opened with ("flavours"), by number.
//!
//! A number is never used twice, so that nothing that remembers one can take it for another's. Settings that no client
//! has any more make room for others when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::slots::Flavour;

/// Names and values, as a client sent them at its start.
type StartUp = Arc<[(String, String)]>;

/// Different start-up settings that clients may have at once.
const FLAVOURS_MAX: usize = 10_000;

/// The start-up settings in use.
#[derive(Debug, Default)]
pub struct Flavours(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: BTreeMap<StartUp, Flavour>,
    settings: BTreeMap<Flavour, Kept>,
    last: Flavour,
}

#[derive(Debug)]
struct Kept {
    settings: StartUp,
    /// Lives as long as a client has them.
    used: Weak<()>,
}

/// The number of start-up settings, which keep it while this is held. 0 is for none at all.
#[derive(Clone, Debug, Default)]
pub struct FlavourHeld {
    number: Flavour,
    _used: Option<Arc<()>>,
}

impl FlavourHeld {
    /// The number.
    #[inline]
    pub const fn number(&self) -> Flavour {
        self.number
    }
}

impl Flavours {
    /// The number of these start-up settings; `None` if clients have too many different ones.
    pub fn hold(&self, settings: &[(String, String)]) -> Option<FlavourHeld> {
        if settings.is_empty() {
            return Some(FlavourHeld::default());
        }
        let mut known = self.0.lock();
        let number = match known.numbers.get(settings) {
            Some(number) => *number,
            None => known.add(settings.into())?,
        };
        let kept = known.settings.get_mut(&number)?;
        let used = kept.used.upgrade().unwrap_or_default();
        kept.used = Arc::downgrade(&used);
        Some(FlavourHeld { number, _used: Some(used) })
    }

    /// The settings behind a number; none if nobody has them any more.
    pub fn settings(&self, flavour: Flavour) -> Vec<(String, String)> {
        let known = self.0.lock();
        known.settings.get(&flavour).map(|kept| kept.settings.to_vec()).unwrap_or_default()
    }
}

impl Known {
    fn add(&mut self, settings: StartUp) -> Option<Flavour> {
        if self.numbers.len() >= FLAVOURS_MAX {
            self.settings.retain(|_, kept| kept.used.strong_count() > 0);
            self.numbers.retain(|_, number| self.settings.contains_key(number));
            if self.numbers.len() >= FLAVOURS_MAX {
                return None;
            }
        }
        self.last = self.last.checked_add(1)?;
        self.numbers.insert(settings.clone(), self.last);
        self.settings.insert(self.last, Kept { settings, used: Weak::new() });
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: usize) -> Vec<(String, String)> {
        vec![("search_path".to_owned(), value.to_string())]
    }

    #[test]
    fn the_same_settings_have_the_same_number() {
        let flavours = Flavours::default();
        assert_eq!(flavours.hold(&[]).unwrap().number(), 0);
        let (a, b) = (flavours.hold(&one(1)).unwrap(), flavours.hold(&one(2)).unwrap());
        assert_ne!(a.number(), b.number());
        assert_eq!(flavours.hold(&one(1)).unwrap().number(), a.number());
        assert_eq!(flavours.settings(b.number()), one(2));
        assert_eq!(flavours.settings(0), []);
        // Not held any more, but remembered while there is room.
        let number = a.number();
        drop(a);
        assert_eq!(flavours.hold(&one(1)).unwrap().number(), number);
    }

    #[test]
    fn those_that_nobody_has_make_room() {
        let flavours = Flavours::default();
        let held: Vec<_> = (0..10).map(|value| flavours.hold(&one(value)).unwrap()).collect();
        for value in 10..3 * FLAVOURS_MAX {
            assert!(flavours.hold(&one(value)).is_some(), "{value}");
        }
        for (value, held) in held.iter().enumerate() {
            assert_eq!(flavours.hold(&one(value)).unwrap().number(), held.number());
            assert_eq!(flavours.settings(held.number()), one(value));
        }
        // A number is not used again.
        let again = flavours.hold(&one(10)).unwrap().number() as usize;
        assert!(again > 2 * FLAVOURS_MAX, "{again}");
        assert!(flavours.0.lock().numbers.len() <= FLAVOURS_MAX);
    }

    #[test]
    fn too_many_in_use_are_refused() {
        let flavours = Flavours::default();
        let mut held: Vec<_> = (0..FLAVOURS_MAX).map(|value| flavours.hold(&one(value)).unwrap()).collect();
        assert!(flavours.hold(&one(FLAVOURS_MAX)).is_none());
        assert!(flavours.hold(&one(0)).is_some());
        held.pop();
        assert!(flavours.hold(&one(FLAVOURS_MAX)).is_some());
    }
}
