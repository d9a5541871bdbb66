//! What of its session a client may have touched during one lease.

use std::sync::Arc;

use super::{
    copies::Copies,
    deallocating::{Bound, Deallocating},
    inquiry::{INDELIBLE, LASTING},
};
use crate::{
    sql::touches::{Kinds, Touches},
    wire::parameters::Parameters,
};

/// What of the session may have been touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    what: Touches,
    /// The reported settings under which a statement was prepared by SQL.
    prepared_under: Option<Arc<Parameters>>,
    order: Order,
    /// What the server has under true names of the client's statements, because SQL has named them.
    pub copies: Copies,
    /// Statements of the client's that SQL is deallocating.
    pub(super) deallocating: Deallocating,
    /// The texts of portals that run statements of the client's by name.
    pub(super) running: Bound<Box<[u8]>>,
    /// Statements that SQL has prepared or deallocated, as many as are remembered.
    prepared: Vec<Box<[u8]>>,
}

/// So many names of statements are remembered; what others are is asked once more.
const PREPARED_MAX: usize = 64;

/// Whether statements were prepared by SQL beside changes of settings, so that it cannot be said under which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Clear,
    Mixed,
}

impl Touched {
    /// Perhaps everything.
    pub(super) fn anything() -> Self {
        Self { what: Touches::anything(), ..Self::default() }
    }

    /// Adds what one more text touches.
    pub(super) fn add(&mut self, mut touches: Touches, parameters: &Arc<Parameters>) {
        const SETTINGS: Kinds =
            Kinds::SETTINGS.and(Kinds::EVERY_SETTING).and(Kinds::RESETS).and(Kinds::CALLS).and(Kinds::OPAQUE);
        let before = self.what.kinds;
        let names = std::mem::take(&mut touches.statements);
        if touches.kinds.has(Kinds::PREPARED) {
            self.prepare(names);
            if before.has_any(SETTINGS) || touches.kinds.has_any(SETTINGS) {
                self.order = Order::Mixed;
            }
            match &self.prepared_under {
                Some(earlier) if !earlier.parse_alike(parameters) => self.order = Order::Mixed,
                Some(_) => {}
                None => self.prepared_under = Some(parameters.clone()),
            }
        } else if before.has(Kinds::PREPARED) && touches.kinds.has_any(SETTINGS) {
            self.order = Order::Mixed;
        }
        self.what.merge(touches);
    }

    fn prepare(&mut self, names: Vec<Box<[u8]>>) {
        for name in names {
            if self.prepared.len() < PREPARED_MAX && !self.prepared.contains(&name) {
                self.prepared.push(name);
            }
        }
    }

    /// Statements that SQL has prepared or deallocated, by the names that texts have shown.
    pub fn prepared(&self) -> &[Box<[u8]>] {
        &self.prepared
    }

    /// Whether one of this name may be among them, or have been.
    pub(super) fn may_have_prepared(&self, name: &[u8]) -> bool {
        self.prepared.len() == PREPARED_MAX || self.prepared.iter().any(|known| **known == *name)
    }

    /// Adds what was touched before.
    pub(super) fn join(&mut self, before: Self) {
        if before.order == Order::Mixed || before.what.kinds.has(Kinds::PREPARED) {
            self.order = Order::Mixed;
        }
        self.what.merge(before.what);
        self.prepare(before.prepared);
        self.copies.join(before.copies);
    }

    /// What kinds of state.
    pub const fn kinds(&self) -> Kinds {
        self.what.kinds
    }

    /// The settings, in lower case.
    pub fn settings(&self) -> &[Box<[u8]>] {
        &self.what.settings
    }

    /// Whether a statement was prepared and settings were changed in the same lease.
    pub(super) fn prepares_amid_settings(&self) -> bool {
        self.order == Order::Mixed
    }

    /// Of these kinds, what no question can clear up.
    pub(super) const fn lasting(&self) -> Kinds {
        // Both are followed as far as they can be, unless the policy says otherwise; that has been seen to.
        let trusted = Kinds::OPAQUE.and(Kinds::CALLS).and(Kinds::EVERY_SETTING);
        let kinds = self.what.kinds;
        kinds.without(kinds.without(LASTING)).without(trusted)
    }

    /// `DISCARD ALL` has succeeded: what is left.
    pub(super) fn discarded(&mut self) {
        let kinds = self.what.kinds;
        *self = Self {
            what: Touches { kinds: kinds.without(kinds.without(INDELIBLE)), ..Touches::default() },
            ..Self::default()
        };
    }
}
