//! Whether a member serves reads, and why not.

use std::time::Duration;

use crate::clock::Moment;

/// Whether a member serves reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// It does.
    Qualifies,
    /// It does while no leader exists: it qualified when the last one was lost. Until this moment.
    Grace(Moment),
    /// It does not, and why.
    Excluded(Exclusion),
}

/// Why a member serves no reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// In a word.
    pub obstacle: Obstacle,
    /// In a sentence.
    pub sentence: String,
}

/// What keeps a member from serving reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It leads, or is named to lead.
    Leader,
    /// It led, and has not come back as a replica.
    Deposed,
    /// The store does not list it any more.
    Unlisted,
    /// It is tagged so.
    Noloadbalance,
    /// The store says that its PostgreSQL does not run.
    NotRunning,
    /// It did not answer when asked last, or not lately.
    NoAnswer,
    /// It belongs to another cluster.
    WrongSystem,
    /// It takes writes although it does not lead.
    NotInRecovery,
    /// It is on another timeline than the leader.
    WrongTimeline,
    /// It has not been compared with the leader yet, or receives nothing from it.
    NotStreaming,
    /// It is too far behind, or was and is not back for long enough.
    Lagging,
    /// An operator has taken it out.
    Marked,
    /// There is no leader, and it did not serve reads when the last one was lost, or that is too long ago.
    NoLeader,
}

impl Obstacle {
    /// The word for it in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Deposed => "deposed",
            Self::Unlisted => "unlisted",
            Self::Noloadbalance => "noloadbalance",
            Self::NotRunning => "not_running",
            Self::NoAnswer => "no_answer",
            Self::WrongSystem => "wrong_system",
            Self::NotInRecovery => "not_in_recovery",
            Self::WrongTimeline => "wrong_timeline",
            Self::NotStreaming => "not_streaming",
            Self::Lagging => "lagging",
            Self::Marked => "marked",
            Self::NoLeader => "no_leader",
        }
    }

    /// With a sentence.
    pub fn because(self, sentence: impl Into<String>) -> Exclusion {
        Exclusion { obstacle: self, sentence: sentence.into() }
    }
}

impl Reads {
    /// Whether reads may go there.
    pub const fn serves(&self) -> bool {
        matches!(self, Self::Qualifies | Self::Grace(_))
    }
}

/// How far a replica is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of WAL not replayed.
    pub bytes: u64,
    /// Age of the oldest position of the leader that it has not replayed.
    pub time: Duration,
}
