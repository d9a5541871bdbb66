//! Whether a member serves reads.

use std::collections::BTreeSet;

use super::{
    overrides::Overrides,
    views::{MemberView, Members},
};
use crate::{
    clock::Moment,
    cluster::{
        fact::{Receiver, Standby},
        ids::{MemberName, Term},
        policy::{ObserverPolicy, ReadPolicy},
        store::{ClusterKind, Failover},
        topology::{Exclusion, Lag, Marked, Obstacle, Reads},
    },
};

/// Answers within half the bounds, one after the other, until a replica that lagged serves reads again.
const ANSWERS_TO_RETURN: u8 = 2;

/// What is remembered of a member's reads from answer to answer.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadState {
    pub(super) lag: Option<Lag>,
    bound: Bound,
    /// When its WAL receiver was first seen to be gone, if it still is.
    receiver_gone_at: Option<Moment>,
}

/// Within the bounds or not, with hysteresis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bound {
    #[default]
    Within,
    Beyond {
        /// Answers within half the bounds since.
        good: u8,
    },
}

impl ReadState {
    /// Takes in an answer of the standby. `lag` is `None` while there is no leader to compare it with.
    pub(super) fn answered(&mut self, standby: &Standby, lag: Option<Lag>, at: Moment, policy: &ReadPolicy) {
        self.receiver_gone_at = match standby.receiver {
            Receiver::Gone => self.receiver_gone_at.or(Some(at)),
            Receiver::Streaming | Receiver::Idle => None,
        };
        let Some(lag) = lag else { return };
        self.lag = Some(lag);
        let within = |part: u32| {
            lag.bytes <= policy.lag_bytes_max / u64::from(part) && lag.time <= policy.lag_time_max / part
        };
        self.bound = match self.bound {
            Bound::Within if within(1) => Bound::Within,
            Bound::Within => Bound::Beyond { good: 0 },
            Bound::Beyond { good } if within(2) && good + 1 >= ANSWERS_TO_RETURN => Bound::Within,
            Bound::Beyond { good } if within(2) => Bound::Beyond { good: good + 1 },
            Bound::Beyond { .. } => Bound::Beyond { good: 0 },
        };
    }

    /// Forgets the lag: a new term began, whose leader it has not been compared with.
    pub(super) const fn new_term(&mut self) {
        self.lag = None;
    }
}

/// While no leader is there: since when, and who served reads then.
#[derive(Clone, Debug)]
pub(super) struct Leaderless {
    pub(super) since: Moment,
    pub(super) served: BTreeSet<MemberName>,
}

/// What the question is judged by.
pub(super) struct Judge<'a> {
    pub(super) policy: &'a ObserverPolicy,
    pub(super) now: Moment,
    /// The term whose leader takes writes now, and when its newest answer was asked for; or that there is none.
    pub(super) leader: Result<(&'a Term, Moment), &'a Leaderless>,
    /// Whom the store names.
    pub(super) named: Option<&'a MemberName>,
    pub(super) overrides: &'a Overrides,
    /// A member whose record is gone may be one whose Patroni was stopped while it is paused.
    pub(super) failover: Failover,
    /// A standby cluster has nobody who takes writes: its replicas are compared with what is sent to them.
    pub(super) kind: ClusterKind,
    pub(super) system_id: Option<u64>,
    /// Leaders that were deposed and have not come back.
    pub(super) deposed: &'a dyn Fn(&MemberName) -> bool,
    /// Whether the member served reads until now.
    pub(super) served: &'a dyn Fn(&MemberName) -> bool,
}

impl Judge<'_> {
    /// Whether each member serves reads.
    pub(super) fn all(&self, members: &Members) -> Vec<(MemberName, Reads)> {
        members.iter().map(|(name, view)| (name.clone(), self.one(name, view))).collect()
    }

    fn one(&self, name: &MemberName, view: &MemberView) -> Reads {
        match (self.usable(name, view), self.leader) {
            (Err(why), _) => Reads::Excluded(why),
            (Ok(standby), Ok((term, leader_asked_at))) => {
                match self.follows(name, view, standby, term, leader_asked_at) {
                    Ok(()) => Reads::Qualifies,
                    Err(why) => Reads::Excluded(why),
                }
            }
            (Ok(standby), Err(_)) if self.kind == ClusterKind::Standby => match self.keeps_up(standby) {
                Ok(()) => Reads::Qualifies,
                Err(why) => Reads::Excluded(why),
            },
            (Ok(_), Err(leaderless)) => {
                let until = leaderless.since + self.policy.reads.no_leader_grace;
                if !leaderless.served.contains(name) {
                    Reads::Excluded(Obstacle::NoLeader.because("it did not qualify when the leader was lost"))
                } else if self.now < until {
                    Reads::Grace(until)
                } else {
                    Reads::Excluded(
                        Obstacle::NoLeader.because("there has been no leader for longer than the grace"),
                    )
                }
            }
        }
    }

    /// What holds with and without a leader.
    fn usable<'v>(&self, name: &MemberName, view: &'v MemberView) -> Result<&'v Standby, Exclusion> {
        if self.named == Some(name) || self.leader.is_ok_and(|(term, _)| term.member == *name) {
            return Err(Obstacle::Leader.because("it is the leader"));
        }
        if let Some(Marked { mark, .. }) = self.overrides.mark(name) {
            return Err(Obstacle::Marked.because(mark.to_string()));
        }
        if (self.deposed)(name) {
            return Err(Obstacle::Deposed.because("it was deposed and has not come back as a replica"));
        }
        let counts = self.failover == Failover::Automatic;
        if let Some(gone) = view.gone_since.filter(|_| counts).map(|_| "its record is gone from the store") {
            return Err(Obstacle::Unlisted.because(gone));
        }
        if let Some(record) = &view.record {
            if record.noloadbalance {
                return Err(Obstacle::Noloadbalance.because("tagged noloadbalance"));
            }
            if !matches!(record.state.as_str(), "running" | "streaming") {
                let state = format!("its state in the store is {}", record.state);
                return Err(Obstacle::NotRunning.because(state));
            }
        }
        let Some(answer) = view.answering() else {
            let why = view.failure().unwrap_or_else(|| "it has not been asked yet".to_owned());
            return Err(Obstacle::NoAnswer.because(why));
        };
        if !answer.is_fresh(self.policy.fresh_for(), self.now) {
            return Err(Obstacle::NoAnswer.because("its last answer is too old"));
        }
        if self.system_id != Some(answer.reading.system_id) {
            return Err(Obstacle::WrongSystem.because("its system identifier is not the cluster's"));
        }
        answer.standby().ok_or_else(|| Obstacle::NotInRecovery.because("it is not in recovery"))
    }

    /// What holds in a standby cluster: it replays what it is sent, within the bound for bytes.
    fn keeps_up(&self, standby: &Standby) -> Result<(), Exclusion> {
        if standby.receiver != Receiver::Streaming {
            return Err(Obstacle::NotStreaming.because("its WAL receiver is not streaming"));
        }
        let (Some(known), Some(replayed)) = (standby.known, standby.replayed) else {
            return Err(Obstacle::NotStreaming.because("its lag is not known yet"));
        };
        let bytes = known.0.saturating_sub(replayed.0);
        if bytes > self.policy.reads.lag_bytes_max {
            return Err(Obstacle::Lagging.because(format!("lags {bytes} bytes behind what it is sent")));
        }
        Ok(())
    }

    /// What holds against a leader.
    fn follows(
        &self,
        name: &MemberName,
        view: &MemberView,
        standby: &Standby,
        term: &Term,
        leader_asked_at: Moment,
    ) -> Result<(), Exclusion> {
        if standby.timeline != Some(term.timeline) {
            let has = standby.timeline.map_or_else(|| "unknown".to_owned(), |t| t.to_string());
            let why = format!("its timeline is {has}, the leader's {}", term.timeline);
            return Err(Obstacle::WrongTimeline.because(why));
        }
        let Some(lag) = view.reads.lag else {
            return Err(Obstacle::NotStreaming.because("its lag is not known yet"));
        };
        match standby.receiver {
            Receiver::Streaming => {}
            Receiver::Idle if lag.bytes == 0 => {}
            Receiver::Idle => {
                return Err(Obstacle::NotStreaming.because("its WAL receiver is not streaming"));
            }
            // When a leader dies, its replicas lose their WAL receivers before we have asked the leader again: only
            // a leader that is alive since then makes this the replica's own fault.
            Receiver::Gone
                if (self.served)(name)
                    && view.reads.receiver_gone_at.is_some_and(|gone_at| leader_asked_at <= gone_at) => {}
            Receiver::Gone => return Err(Obstacle::NotStreaming.because("it has no WAL receiver")),
        }
        if let Bound::Beyond { good } = view.reads.bound {
            let Lag { bytes, time } = lag;
            let coming_back = if good == 0 { "" } else { "coming back: " };
            return Err(Obstacle::Lagging.because(format!("{coming_back}lags {bytes} bytes, {time:?}")));
        }
        Ok(())
    }
}
