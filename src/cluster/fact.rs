//! What the outside world tells the observer. Nothing else changes what is known of a cluster.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    ids::{Lsn, MemberName, Timeline},
    policy::ReadPolicy,
    store::StoreEvent,
    topology::Mark,
};
use crate::{clock::Moment, net::Address};

/// One thing that was learnt.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The store said something, or fell silent.
    Store(StoreEvent),
    /// A member's PostgreSQL was asked over SQL.
    Probed {
        /// Who was asked.
        member: MemberName,
        /// Where: an answer from an address the member has left is not its answer.
        address: Address,
        /// When the question was sent. The answer describes the member at this moment or later.
        asked_at: Moment,
        /// When the answer was there, or was given up.
        at: Moment,
        /// What came of it.
        outcome: ProbeOutcome,
    },
    /// Something seems wrong with a member: a server connection broke, a connect was refused. Never a refused
    /// password, which says nothing about the server and which any client could provoke.
    Suspected {
        /// Who.
        member: MemberName,
        /// What was seen, for the log.
        why: String,
    },
    /// The Patroni of a member was asked whether it leads without the store (`failsafe_mode`).
    Failsafe {
        /// Who was asked.
        member: MemberName,
        /// When the question was sent.
        asked_at: Moment,
        /// What it said.
        state: FailsafeState,
    },
    /// An operator has ordered something.
    Ordered(Command),
    /// The name of a host has come to lead elsewhere, so many times by now: who is there is another server.
    Moved {
        /// The name.
        host: Arc<str>,
        /// How often it has.
        moves: u32,
    },
    /// The configuration was read again: replicas are judged by these bounds from now on.
    ReadPolicy(ReadPolicy),
    /// Time has passed.
    Tick,
}

/// Whether a Patroni leads without the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailsafeState {
    /// It does, and every member has consented lately.
    Active,
    /// It does not.
    Inactive,
}

/// What an operator orders. None of it outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// This member leads, whatever the store says; `None`: the store's word counts again.
    Pin(Option<MemberName>),
    /// This member is taken out; `None`: it is used again, as far as its own answers let it.
    Mark(MemberName, Option<Mark>),
    /// New writes to this leader wait until then, because it is about to step down; `None`: no longer.
    Hold(Option<(MemberName, Moment)>),
}

/// What came of asking a member.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeOutcome {
    /// It answered.
    Answered(ProbeReading),
    /// It did not.
    Failed(ProbeFailure),
}

/// Why a member did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// Nothing listens at the address (ECONNREFUSED, or no such socket).
    Refused,
    /// The network did not carry it, or the name has no address; or the connection broke.
    Unreachable(String),
    /// No answer within the probe's time limit, in full.
    Timeout(Duration),
    /// Not even a connection within that time: nobody is at the address, or nothing gets there.
    NoConnection(Duration),
    /// PostgreSQL is starting, stopping or in crash recovery (57P03, 57P01).
    Starting(String),
    /// The probe's user was not let in; the server's sentence. Not a fault of the server's health.
    AuthFailed(String),
    /// Anything else: an SQL error, a protocol violation.
    Failed(String),
}

impl ProbeFailure {
    /// Whether its server could not be reached at all. One that is reached and does not answer may be busy, or stopped.
    pub const fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Refused | Self::Unreachable(_) | Self::NoConnection(_) => true,
            Self::Timeout(_) | Self::Starting(_) | Self::AuthFailed(_) | Self::Failed(_) => false,
        }
    }

    /// Whether nothing at all came from it.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout(_)) || self.is_out_of_reach()
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::NoConnection(limit) => write!(f, "no connection within {limit:?}"),
            Self::Starting(why) => write!(f, "not ready: {why}"),
            Self::AuthFailed(why) => write!(f, "refused the probe user: {why}"),
            Self::Failed(why) => write!(f, "probe failed: {why}"),
        }
    }
}

/// What a member said of itself, in one SQL statement.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReading {
    /// Leader or replica, with what belongs to each.
    pub role: ProbedRole,
    /// `system_identifier` of `pg_control_system()`.
    pub system_id: u64,
    /// `server_version_num`, e.g. 150004.
    pub server_version: u32,
    /// The `ParameterStatus` values the server sent at the probe's login.
    pub parameters: Arc<Vec<(String, String)>>,
}

/// What a server was at the moment it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbedRole {
    /// Not in recovery: takes writes.
    Writable {
        /// From `pg_walfile_name(pg_current_wal_lsn())`: `pg_control` lags behind a promotion.
        timeline: Timeline,
        /// `pg_current_wal_lsn()`.
        lsn: Lsn,
    },
    /// In recovery.
    Standby(Standby),
}

/// A server in recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// The timeline it receives; without a WAL receiver the one it has certainly come to: of its last restartpoint, or of
    /// what it must replay before its files agree with each other.
    pub timeline: Option<Timeline>,
    /// `pg_last_wal_replay_lsn()`.
    pub replayed: Option<Lsn>,
    /// The furthest position it knows of: received, or named by the sender (`latest_end_lsn`).
    pub known: Option<Lsn>,
    /// Its WAL receiver.
    pub receiver: Receiver,
}

impl Standby {
    /// The furthest position it knows of.
    pub fn position(&self) -> Option<Lsn> {
        self.known.max(self.replayed)
    }

    /// Whether it has replayed more than any WAL receiver has brought it: it restores from an archive.
    pub fn restores(&self) -> bool {
        self.replayed > self.known
    }
}

/// A standby's WAL receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// `streaming`.
    Streaming,
    /// There is one, but it is starting, waiting or restarting.
    Idle,
    /// There is none.
    Gone,
}
