//! Statements of the client's that SQL is deallocating.
//!
//! PostgreSQL has one statement under a name, however it was prepared, and `DEALLOCATE` is no part of a transaction: once the
//! server has said `DEALLOCATE`, the client has that statement no more.

use std::collections::VecDeque;

/// Portals of which it is remembered what they deallocate.
const PORTALS_MAX: usize = 64;

/// The name of a statement.
type Name = Box<[u8]>;

/// Whose names are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deallocating {
    /// What the statement deallocates that is bound next.
    next: Option<Name>,
    /// Portals that deallocate when they are run, each with what.
    portals: VecDeque<(Box<[u8]>, Name)>,
    /// What is being run deallocates these, one after the other.
    awaited: VecDeque<Name>,
}

impl Deallocating {
    /// A text runs that deallocates these, in this order.
    pub(super) fn runs(&mut self, names: Vec<Name>) {
        self.awaited = names.into();
    }

    /// A statement will be bound that deallocates this.
    pub(super) fn will_bind(&mut self, name: Option<Name>) {
        self.next = name;
    }

    /// A portal is about to be bound anew.
    pub(super) fn unbind(&mut self, portal: &[u8]) {
        self.next = None;
        self.portals.retain(|(known, _)| **known != *portal);
    }

    /// It is bound.
    pub(super) fn bind(&mut self, portal: &[u8]) {
        if let Some(name) = self.next.take() {
            if self.portals.len() == PORTALS_MAX {
                self.portals.pop_front();
            }
            self.portals.push_back((portal.into(), name));
        }
    }

    /// It is run. Whether it deallocates.
    pub(super) fn executes(&mut self, portal: &[u8]) -> bool {
        let bound = self.portals.iter().find(|(known, _)| **known == *portal);
        self.awaited = bound.map(|(_, name)| name.clone()).into_iter().collect();
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
            under_way.unbind(portal);
            under_way.will_bind(name.map(Into::into));
            under_way.bind(portal);
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
        under_way.will_bind(Some(b"e".as_slice().into()));
        under_way.unbind(b"q");
        under_way.bind(b"q");
        assert!(!under_way.executes(b"q"));
        under_way.runs(vec![b"a".as_slice().into(), b"b".as_slice().into()]);
        under_way.answered();
        assert_eq!(under_way.deallocated(), None);
    }

    #[test]
    fn they_are_bounded() {
        let mut under_way = Deallocating::default();
        for number in 0..=PORTALS_MAX {
            under_way.will_bind(Some(b"a".as_slice().into()));
            under_way.bind(number.to_string().as_bytes());
        }
        assert_eq!(under_way.portals.len(), PORTALS_MAX);
        assert!(!under_way.executes(b"0") && under_way.executes(b"1"));
    }
}
