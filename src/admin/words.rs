//! States in a word, for labels and JSON.

use crate::{
    cluster::{
        fact::{ProbeFailure, ProbeOutcome, ProbedRole, Receiver},
        store::Failover,
        topology::{Hold, LastProbe, Mark, RightSource, Standing, StoreStatus, Vacancy, WriteState},
    },
    session::routes::Purpose,
};

pub(super) const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Write => "write",
        Purpose::Read => "read",
        Purpose::Split => "split",
    }
}

/// The state of writes, and why.
pub(super) const fn write_state(state: &WriteState) -> (&'static str, &'static str) {
    match state {
        WriteState::Open(_) => ("open", "none"),
        WriteState::Held { why, .. } => ("held", hold(why)),
        WriteState::Vacant { why, .. } => ("vacant", vacancy(why)),
    }
}

const fn hold(why: &Hold) -> &'static str {
    match why {
        Hold::Suspected(_) => "suspected",
        Hold::Silent(_) => "silent",
        Hold::Renamed => "renamed",
        Hold::KeyAbsent => "key_absent",
        Hold::NoRight(_) => "no_right",
        Hold::Contradicted { .. } => "contradicted",
        Hold::Marked(_) => "marked",
        Hold::SteppingDown => "stepping_down",
        Hold::Undecided(_) => "undecided",
    }
}

const fn vacancy(why: &Vacancy) -> &'static str {
    match why {
        Vacancy::StoreNeverAnswered(_) => "store_never_answered",
        Vacancy::NothingUnderScope(_) => "nothing_under_scope",
        Vacancy::NobodyNamed(_) => "nobody_named",
        Vacancy::NotWritable { .. } => "not_writable",
    }
}

pub(super) const fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Drain => "drain",
        Mark::Down => "down",
    }
}

pub(super) const fn right_source(source: RightSource) -> &'static str {
    match source {
        RightSource::None => "none",
        RightSource::Lease => "lease",
        RightSource::Probes => "probes",
        RightSource::Failsafe => "failsafe",
        RightSource::Pin => "pin",
    }
}

pub(super) const fn store(status: &StoreStatus) -> &'static str {
    match status {
        StoreStatus::Absent => "absent",
        StoreStatus::NeverAnswered(_) => "never_answered",
        StoreStatus::Answering { .. } => "answering",
        StoreStatus::Nothing(_) => "nothing",
        StoreStatus::Lost { .. } => "lost",
    }
}

pub(super) const fn standing(standing: &Standing) -> &'static str {
    match standing {
        Standing::Leading => "leading",
        Standing::Following => "following",
        Standing::Deposed => "deposed",
        Standing::Down => "down",
        Standing::Unusable(_) => "unusable",
        Standing::Lost(_) => "lost",
    }
}

/// What a member said it is.
pub(super) const fn role(probe: Option<&LastProbe>) -> &'static str {
    match probe {
        Some(LastProbe { outcome: ProbeOutcome::Answered(reading), .. }) => match reading.role {
            ProbedRole::Writable { .. } => "primary",
            ProbedRole::Standby(_) => "standby",
        },
        _ => "unknown",
    }
}

pub(super) const fn outcome(outcome: &ProbeOutcome) -> &'static str {
    match outcome {
        ProbeOutcome::Answered(_) => "answered",
        ProbeOutcome::Failed(failure) => match failure {
            ProbeFailure::Refused => "refused",
            ProbeFailure::Unreachable(_) => "unreachable",
            ProbeFailure::Timeout(_) => "timeout",
            ProbeFailure::NoConnection(_) => "no_connection",
            ProbeFailure::Starting(_) => "starting",
            ProbeFailure::AuthFailed(_) => "auth_failed",
            ProbeFailure::Failed(_) => "failed",
        },
    }
}

pub(super) const fn receiver(receiver: Receiver) -> &'static str {
    match receiver {
        Receiver::Streaming => "streaming",
        Receiver::Idle => "idle",
        Receiver::Gone => "gone",
    }
}

pub(super) const fn failover(failover: Failover) -> &'static str {
    match failover {
        Failover::Automatic => "automatic",
        Failover::Paused => "paused",
    }
}
