//! Whether a member serves reads, and why not.

use std::time::Duration;

use super::Member;
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
    /// It has lost its connection to the leader a moment ago, and looks for it.
    Reconnecting,
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
            Self::Reconnecting => "reconnecting",
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

impl Member {
    /// The largest `weight`.
    const WEIGHT_MAX: u32 = 1000;

    /// Whether it serves the reads of those who go by the lag bound in this place.
    pub fn serves_within(&self, bound: usize) -> bool {
        match &self.reads {
            Reads::Qualifies | Reads::Grace(_) => bound == 0 || self.within.contains(bound),
            Reads::Excluded(why) => {
                bound != 0 && why.obstacle == Obstacle::Lagging && self.within.contains(bound)
            }
        }
    }

    /// Its share of reads compared with others: the tag `weight`, and less while it has just joined them.
    pub fn share(&self) -> u32 {
        let tag = self.record.as_ref().and_then(|record| record.tags.get("weight"));
        let weight = tag.and_then(|weight| weight.parse().ok()).unwrap_or(1).clamp(1, Self::WEIGHT_MAX);
        weight * u32::from(self.rise.eighths())
    }
}

/// Which of the lag bounds somebody goes by a member is within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within(u64);

impl Within {
    /// Bounds that can be told apart at once.
    pub const BOUNDS_MAX: usize = u64::BITS as usize;

    /// Within those bounds, by place, of which this is true.
    pub fn of(bounds: impl IntoIterator<Item = bool>) -> Self {
        let bit = |(place, within): (usize, bool)| u64::from(within) << place;
        Self(bounds.into_iter().take(Self::BOUNDS_MAX).enumerate().map(bit).sum())
    }

    /// Whether it is within the bound in this place.
    pub const fn contains(self, bound: usize) -> bool {
        bound < Self::BOUNDS_MAX && self.0 >> bound & 1 == 1
    }
}

/// The part of its reads that a replica has so far which has joined others: eighths, from 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise(u8);

impl Rise {
    /// All of it.
    pub const FULL: Self = Self(8);

    /// After `elapsed` of the time that it takes.
    pub fn after(elapsed: Duration, whole: Duration) -> Self {
        let eighths = (elapsed.as_nanos() * 8).checked_div(whole.as_nanos()).unwrap_or(8);
        Self(u8::try_from(eighths).unwrap_or(8).clamp(1, 8))
    }

    /// In eighths.
    pub const fn eighths(self) -> u8 {
        self.0
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
