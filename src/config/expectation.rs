//! `consistency` of a user and a database, each override applied.

use std::time::Duration;

use super::{
    keys::{DatabaseKeys, Pool, UserKeys},
    words::Consistency,
};

/// What reads must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What the user says, or else the database: it goes before the listener's.
    pub own: Option<Consistency>,
    /// What holds where the listener says nothing either.
    pub otherwise: Consistency,
    /// How long a read waits for a replica that has it.
    pub wait: Duration,
}

impl Expectation {
    pub(super) fn resolve(pool: &Pool, database: Option<&DatabaseKeys>, user: Option<&UserKeys>) -> Self {
        Self {
            own: user.and_then(|u| u.consistency).or_else(|| database.and_then(|d| d.consistency)),
            otherwise: pool.consistency,
            wait: database.and_then(|d| d.consistency_wait).unwrap_or(pool.consistency_wait).0,
        }
    }
}
