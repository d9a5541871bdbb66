//! Statements of the client's that SQL is deallocating.
//!
//! PostgreSQL has one statement under a name, however it was prepared, and `DEALLOCATE` is no part of a transaction: once the
//! server has said `DEALLOCATE`, the client has that statement no more.

use std::collections::VecDeque;

/// Portals of which it is remembered what they do.
const PORTALS_MAX: usize = 64;

/// The name of a statement.
type Name = Box<[u8]>;

/// What portals do with statements of the client's when they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound<T> {
    /// What the statement does that is bound next.
    next: Option<T>,
    /// Portals that do something, each with what.
    portals: VecDeque<(Box<[u8]>, T)>,
}

impl<T> Default for Bound<T> {
    fn default() -> Self {
        Self { next: None, portals: VecDeque::new() }
    }
}

impl<T: Clone> Bound<T> {
    /// A statement will be bound that does this.
    pub(super) fn will_bind(&mut self, what: T) {
        self.next = Some(what);
    }

    /// A portal is about to be bound anew.
    pub(super) fn unbind(&mut self, portal: &[u8]) {
        self.next = None;
        self.portals.retain(|(known, _)| **known != *portal);
    }

    /// It is bound.
    pub(super) fn bind(&mut self, portal: &[u8]) {
        if let Some(what) = self.next.take() {
            if self.portals.len() == PORTALS_MAX {
                self.portals.pop_front();
            }
            self.portals.push_back((portal.into(), what));
        }
    }

    /// What it does.
    pub(super) fn of(&self, portal: &[u8]) -> Option<T> {
        let bound = self.portals.iter().find(|(known, _)| **known == *portal);
        bound.map(|(_, what)| what.clone())
    }
}

/// Whose names are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deallocating {
    /// Portals that deallocate.
    pub(super) bound: Bound<Name>,
    /// What is being run deallocates these, one after the other.
    awaited: VecDeque<Name>,
}

impl Deallocating {
    /// A text runs that deallocates these, in this order.
    pub(super) fn runs(&mut self, names: Vec<Name>) {
        self.awaited = names.into();
    }

    /// It is run. Whether it deallocates.
    pub(super) fn executes(&mut self, portal: &[u8]) -> bool {
        self.awaited = self.bound.of(portal).into_iter().collect();
        !self.awaited.is_empty()
    }

    /// The server has deallocated the next one.
    pub(super) fn deallocated(&mut self) -> Option<Name> {
        self.awaited.pop_front()
    }

    /// Everything is answered: what the server has not deallocated by now it does not.
    pub(super) fn answered(&mut self) {
        self.awaited.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_deallocates_what_it_was_bound_to_last() {
        let mut under_way = Deallocating::default();
        let mut bind = |portal: &[u8], name: Option<&[u8]>| {
            under_way.bound.unbind(portal);
            if let Some(name) = name {
                under_way.bound.will_bind(name.into());
            }
            under_way.bound.bind(portal);
        };
        bind(b"", Some(b"a"));
        bind(b"p", Some(b"b"));
        bind(b"", Some(b"c"));
        bind(b"q", Some(b"d"));
        bind(b"q", None);
        assert!(under_way.executes(b"p"));
        assert_eq!(under_way.deallocated().as_deref(), Some(&b"b"[..]));
        assert!(under_way.executes(b""));
        assert_eq!(under_way.deallocated().as_deref(), Some(&b"c"[..]));
        assert_eq!(under_way.deallocated(), None);
        assert!(!under_way.executes(b"q"));
        // What was to be bound and was refused is not what is bound next.
        under_way.bound.will_bind(b"e".as_slice().into());
        under_way.bound.unbind(b"q");
        under_way.bound.bind(b"q");
        assert!(!under_way.executes(b"q"));
        under_way.runs(vec![b"a".as_slice().into(), b"b".as_slice().into()]);
        under_way.answered();
        assert_eq!(under_way.deallocated(), None);
    }

    #[test]
    fn they_are_bounded() {
        let mut under_way = Deallocating::default();
        for number in 0..=PORTALS_MAX {
            under_way.bound.will_bind(b"a".as_slice().into());
            under_way.bound.bind(number.to_string().as_bytes());
        }
        assert_eq!(under_way.bound.portals.len(), PORTALS_MAX);
        assert!(!under_way.executes(b"0") && under_way.executes(b"1"));
    }
}
