//! What is done about a commit whose answer is lost with its server, each override applied.

use std::time::Duration;

use super::keys::{DatabaseKeys, Pool, UserKeys};

/// What is done about a commit whose answer is lost with its server (`commit_fate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFate {
    /// The client hears that it is not known.
    Unknown,
    /// The next leader is asked.
    AskedFor {
        /// That takes no longer (`commit_fate_wait`).
        within: Duration,
    },
}

impl CommitFate {
    pub(super) fn resolve(pool: &Pool, database: Option<&DatabaseKeys>, user: Option<&UserKeys>) -> Self {
        let own = user.and_then(|u| u.commit_fate).or_else(|| database.and_then(|d| d.commit_fate));
        if own.unwrap_or(pool.commit_fate) {
            Self::AskedFor { within: pool.commit_fate_wait }
        } else {
            Self::Unknown
        }
    }
}
