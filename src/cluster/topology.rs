//! What is known of a cluster, as one immutable value.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

pub use super::ids::{Lsn, MemberName, Term, Timeline};
use super::{
    fact::ProbeOutcome,
    store::{ClusterSettings, MemberRecord},
};
use crate::{clock::Moment, net::Address};

mod reads;

pub use reads::{Exclusion, Lag, Obstacle, Reads, Rise, Within};

/// Everything known of a cluster at one moment. Built whole by the observer at every change, never patched.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// Counts the snapshots of this process; grows with each.
    pub seq: u64,
    /// When it was built.
    pub at: Moment,
    /// Whether, and to whom, writes go.
    pub write: WriteState,
    /// The right to write, and where it comes from.
    pub right: Right,
    /// Whom an operator has pinned as leader, if anybody.
    pub pin: Option<Named>,
    /// Who is to lead: who is pinned, or else whom the store names (with `store = "none"`: whom the servers' answers name).
    pub named: Option<Named>,
    /// Every known member.
    pub members: BTreeMap<MemberName, Member>,
    /// Leaders that were deposed and have not come back as replicas since, at most one entry for each member.
    pub deposed: Vec<Deposed>,
    /// The store, and when it last answered.
    pub store: StoreStatus,
    /// The cluster's system identifier, as far as it is known.
    pub system_id: Option<u64>,
    /// Patroni's dynamic configuration, as last read.
    pub settings: ClusterSettings,
    /// Synchronous standbys, as last read.
    pub sync_standbys: Vec<MemberName>,
    /// What changed from the snapshot before, for the log.
    pub changes: Vec<Change>,
}

impl Topology {
    /// The term in force, whether new write leases are granted or held.
    pub const fn term(&self) -> Option<&Term> {
        match &self.write {
            WriteState::Open(term) | WriteState::Held { term, .. } => Some(term),
            WriteState::Vacant { .. } => None,
        }
    }

    /// The `ParameterStatus` values of the leader, or else of a member that has answered before; what a login can
    /// be answered from while no server is reachable.
    pub fn parameters(&self) -> Option<&Arc<Vec<(String, String)>>> {
        let leader = self.term().and_then(|term| self.members.get(&term.member));
        leader.into_iter().chain(self.members.values()).find_map(|member| member.parameters.as_ref())
    }
}

/// Whether, and to whom, writes go.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteState {
    /// To this term's leader.
    Open(Term),
    /// The term is in force, but in doubt: no new write lease is granted. What is under way goes on as long as the
    /// fence lets it.
    Held {
        /// The term.
        term: Term,
        /// Since when, or since the newest suspicion.
        since: Moment,
        /// The doubt.
        why: Hold,
    },
    /// No term is in force: the previous leader was deposed, or there never was one.
    Vacant {
        /// Since when, with this reason.
        since: Moment,
        /// What is missing.
        why: Vacancy,
    },
}

/// Why new writes are held although a term is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Something broke on the way to the leader, and it has not been asked since.
    Suspected(String),
    /// The leader did not answer the last time it was asked.
    Silent(String),
    /// The store names the leader anew, and it has not been asked since.
    Renamed,
    /// The leader key is gone.
    KeyAbsent,
    /// The store never gave a right to write to this leader, or the right is over.
    NoRight(String),
    /// Another member takes writes on a higher timeline.
    Contradicted {
        /// Who.
        by: MemberName,
        /// On which timeline.
        timeline: Timeline,
    },
    /// An operator has taken it out.
    Marked(Mark),
    /// It is about to step down, as planned: what runs ends there, what comes waits for its successor.
    SteppingDown,
    /// With `store = "none"`: the answers name nobody.
    Undecided(String),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspected(why) => write!(f, "it is suspected to have failed ({why})"),
            Self::Silent(why) => write!(f, "it did not answer when asked ({why})"),
            Self::Renamed => f.write_str("it was elected anew and is being asked"),
            Self::KeyAbsent => f.write_str("the leader key is gone from the store"),
            Self::NoRight(why) => write!(f, "there is no right to write to it: {why}"),
            Self::Contradicted { by, timeline } => {
                write!(f, "{by} takes writes on the higher timeline {timeline}")
            }
            Self::Marked(mark) => mark.fmt(f),
            Self::SteppingDown => f.write_str("it is about to step down, as planned"),
            Self::Undecided(why) => f.write_str(why),
        }
    }
}

/// Why no term is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// The store has not answered yet.
    StoreNeverAnswered(String),
    /// The store answers, but nothing stands under the scope; what was found instead.
    NothingUnderScope(String),
    /// The store answers, and nobody holds the leader key; or the answers of the hosts name nobody.
    NobodyNamed(String),
    /// A leader is named, but has not been seen to take writes since.
    NotWritable {
        /// Who.
        member: MemberName,
        /// What it last said.
        why: String,
    },
}

impl fmt::Display for Vacancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreNeverAnswered(why) => write!(f, "the store has not answered yet: {why}"),
            Self::NothingUnderScope(found) => f.write_str(found),
            Self::NobodyNamed(why) => f.write_str(why),
            Self::NotWritable { member, why } => write!(f, "{member} is named leader, but {why}"),
        }
    }
}

/// The right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Up to when; in the past, or [`Moment::ZERO`], means there is none.
    pub deadline: Moment,
    /// Where it comes from.
    pub source: RightSource,
}

/// Where the right to write comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightSource {
    /// There is none.
    None,
    /// A lease query: sending time plus remaining time to live.
    Lease,
    /// Fresh probes: the leader takes writes and nobody else could.
    Probes,
    /// Its Patroni confirms that it leads without the store, with the consent of every member (`failsafe_mode`).
    Failsafe,
    /// An operator has pinned it.
    Pin,
}

/// Who is named leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The member.
    pub member: MemberName,
    /// The key's revision; 0 without a store.
    pub elected_at: u64,
    /// When this naming was first seen: only a probe asked since then can open the gate.
    pub seen_at: Moment,
}

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Where its PostgreSQL listens.
    pub address: Address,
    /// What it wrote to the store; `None` without a store, or once its record is gone.
    pub record: Option<MemberRecord>,
    /// The newest outcome of asking it.
    pub probe: Option<LastProbe>,
    /// A suspicion that no probe asked since has answered.
    pub suspected: Option<Suspicion>,
    /// What it is to us.
    pub standing: Standing,
    /// Whether it serves reads.
    pub reads: Reads,
    /// Which of the lag bounds it is within.
    pub within: Within,
    /// The part of its reads that it has so far.
    pub rise: Rise,
    /// How long it takes to answer a probe, the newest ones counting most; `None` before its first answer.
    pub latency: Option<Duration>,
    /// How far it was behind the leader when last asked; `None` where that is unknown.
    pub lag: Option<Lag>,
    /// The `ParameterStatus` values of its last login.
    pub parameters: Option<Arc<Vec<(String, String)>>>,
    /// What an operator has ordered for it.
    pub mark: Option<Marked>,
    /// Patroni's REST API there, as last heard: its record may be gone from the store.
    pub api_url: Option<String>,
}

/// What an operator has ordered for a member, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// What.
    pub mark: Mark,
    /// When.
    pub since: Moment,
}

/// A member that an operator has taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing new goes there; what runs goes on.
    Drain,
    /// Nothing new goes there, and what runs is cut off.
    Down,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "an operator lets it drain",
            Self::Down => "an operator has marked it down",
        })
    }
}

/// The newest outcome of asking a member.
#[derive(Clone, Debug, PartialEq)]
pub struct LastProbe {
    /// When the question was sent.
    pub asked_at: Moment,
    /// When the outcome was known.
    pub at: Moment,
    /// The outcome.
    pub outcome: ProbeOutcome,
}

/// A suspicion that has not been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// When it was raised.
    pub since: Moment,
    /// What was seen.
    pub why: String,
}

/// What a member is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Leader of the term in force.
    Leading,
    /// A replica, or a named leader that does not lead yet. Whether it serves reads, [`Member::reads`] says.
    Following,
    /// Led, and no longer: nothing goes to it and nothing from it is passed on, until it answers as a replica.
    Deposed,
    /// An operator has marked it down: nothing goes to it and nothing from it is passed on.
    Down,
    /// Not to be used: never answered, did not answer last, or does not belong to this cluster. Says nothing
    /// against connections that work.
    Unusable(String),
    /// A replica that is not there any more: out of reach for long, or another cluster's server is at its address. What is
    /// read there is cut off.
    Lost(String),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leading => f.write_str("leading"),
            Self::Following => f.write_str("following"),
            Self::Deposed => f.write_str("deposed"),
            Self::Down => f.write_str("marked down"),
            Self::Unusable(why) => write!(f, "unusable ({why})"),
            Self::Lost(why) => write!(f, "lost ({why})"),
        }
    }
}

/// A leader that was deposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposed {
    /// The term that ended.
    pub term: Term,
    /// Where it listened.
    pub address: Address,
    /// When this was known.
    pub at: Moment,
    /// Why.
    pub reason: Deposition,
}

/// Why a leader was deposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deposition {
    /// The store names another.
    Replaced(MemberName),
    /// It answers that it is in recovery.
    InRecovery,
    /// It does not belong to this cluster (any more): system identifiers differ.
    WrongSystem {
        /// Its identifier.
        has: u64,
        /// The cluster's.
        expected: u64,
    },
    /// The right to write to it was over, and another takes writes on a higher timeline.
    Outranked {
        /// Who.
        by: MemberName,
        /// On which timeline.
        timeline: Timeline,
    },
}

impl fmt::Display for Deposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced(by) => write!(f, "{by} is named leader"),
            Self::InRecovery => f.write_str("it answers that it is in recovery"),
            Self::WrongSystem { has, expected } => {
                write!(f, "its system identifier is {has}, the cluster's {expected}")
            }
            Self::Outranked { by, timeline } => {
                write!(f, "the right to write to it is over and {by} takes writes on timeline {timeline}")
            }
        }
    }
}

/// The store, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreStatus {
    /// There is none (`store = "none"`).
    Absent,
    /// It has not answered yet; why, once that is known.
    NeverAnswered(Option<String>),
    /// It answers; when the newest reading was asked for.
    Answering {
        /// When the newest reading was asked for.
        asked_at: Moment,
    },
    /// It answers, but nothing stands under the scope; what was found instead.
    Nothing(String),
    /// It does not answer any more.
    Lost {
        /// Since when.
        since: Moment,
        /// Why.
        reason: String,
    },
}

/// One change, with the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed: `writes`, `store`, or a member's name.
    pub subject: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// How that is known.
    pub evidence: String,
}
