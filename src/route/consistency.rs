//! What a read that goes to a replica must see (`consistency`, `consistency_wait`).

use std::time::Duration;

/// What a read must see (`consistency`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// What any replica that qualifies has.
    #[default]
    Eventual,
    /// What its own client has committed.
    Session,
    /// What any client of this process was told to be committed before.
    Global,
}

/// What the reads of a user and a database must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// What user or database say: it goes before the listener's.
    pub own: Option<Consistency>,
    /// What holds where the listener says nothing either.
    pub otherwise: Consistency,
    /// How long a read waits for a replica that has it (`consistency_wait`).
    pub wait: Duration,
}

impl Expectation {
    /// What holds on a listener that says this.
    pub fn on(self, listener: Option<Consistency>) -> Consistency {
        self.own.or(listener).unwrap_or(self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_before_whom() {
        use Consistency::{Eventual, Global, Session};
        for (own, listener, otherwise, expected) in [
            (None, None, Eventual, Eventual),
            (None, None, Global, Global),
            (None, Some(Session), Global, Session),
            (Some(Eventual), Some(Session), Global, Eventual),
        ] {
            let expectation = Expectation { own, otherwise, wait: Duration::ZERO };
            assert_eq!(expectation.on(listener), expected, "{own:?} {listener:?} {otherwise:?}");
        }
    }
}
