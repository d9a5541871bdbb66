//! Whether a member serves reads.

use std::{collections::BTreeSet, time::Duration};

use super::{
    overrides::Overrides,
    views::{MemberView, Members},
};
use crate::{
    clock::Moment,
    cluster::{
        fact::{Receiver, Standby},
        ids::{MemberName, Term, Timeline},
        policy::{LagBound, ObserverPolicy, ReadPolicy},
        store::{ClusterKind, Failover, Feed},
        topology::{Exclusion, Lag, Marked, Obstacle, Reads, Rise, Within},
    },
};

/// Answers within half the bounds, one after the other, until a replica that lagged serves reads again.
const ANSWERS_TO_RETURN: u8 = 2;

/// A replica that has lost its leader looks for it again each `wal_retrieve_retry_interval` (5 s), and a leader that is
/// restarted may be away for as long.
const RECONNECTS: Duration = Duration::from_secs(20);

/// What is remembered of a member's reads from answer to answer.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadState {
    /// How far it is behind, for each bound: told from samples that are as dense as that one needs.
    lags: Vec<Lag>,
    bounds: Vec<Bound>,
    /// When its WAL receiver was first seen to be gone, if it still is.
    receiver_gone_at: Option<Moment>,
    /// Since when it serves reads, if it does.
    serving_since: Option<Moment>,
    /// Since when it has had a part of its share only, because it has joined others, if it still has.
    rising_since: Option<Moment>,
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

impl Bound {
    fn after(self, lag: Lag, bound: LagBound) -> Self {
        let within = |part: u32| lag.bytes <= bound.bytes / u64::from(part) && lag.time <= bound.time / part;
        match self {
            Self::Within if within(1) => Self::Within,
            Self::Within => Self::Beyond { good: 0 },
            Self::Beyond { good } if within(2) && good + 1 >= ANSWERS_TO_RETURN => Self::Within,
            Self::Beyond { good } if within(2) => Self::Beyond { good: good + 1 },
            Self::Beyond { .. } => Self::Beyond { good: 0 },
        }
    }
}

impl ReadState {
    /// Takes in an answer of the standby. `lags`, one for each bound, are `None` while there is no leader to compare it
    /// with.
    pub(super) fn answered(
        &mut self,
        standby: &Standby,
        lags: Option<Vec<Lag>>,
        at: Moment,
        policy: &ReadPolicy,
    ) {
        self.receiver_gone_at = match standby.receiver {
            Receiver::Gone => self.receiver_gone_at.or(Some(at)),
            Receiver::Streaming | Receiver::Idle => None,
        };
        let Some(lags) = lags else { return };
        self.bounds.resize(policy.bounds.len(), Bound::default());
        for ((before, bound), lag) in self.bounds.iter_mut().zip(&policy.bounds).zip(&lags) {
            *before = before.after(*lag, *bound);
        }
        self.lags = lags;
    }

    /// How far it is behind.
    pub(super) fn lag(&self) -> Option<Lag> {
        self.lags.first().copied()
    }

    /// Which bounds it is within.
    pub(super) fn within(&self) -> Within {
        Within::of(self.bounds.iter().map(|bound| *bound == Bound::Within))
    }

    /// Forgets the lag: a new term began, whose leader it has not been compared with.
    pub(super) fn new_term(&mut self) {
        self.lags.clear();
    }

    /// It serves no reads.
    pub(super) const fn serves_none(&mut self) {
        (self.serving_since, self.rising_since) = (None, None);
    }

    /// It serves reads. Where others have served for long (`joins`), one that has not until now rises.
    pub(super) fn serves(&mut self, joins: bool, now: Moment) {
        if self.serving_since.is_none() {
            (self.serving_since, self.rising_since) = (Some(now), joins.then_some(now));
        }
    }

    /// Whether it has served for at least so long.
    pub(super) fn has_served_for(&self, time: Duration, now: Moment) -> bool {
        self.serving_since.is_some_and(|since| now.since(since) >= time)
    }

    /// The part of its share that it has.
    pub(super) fn rise(&self, slow_start: Duration, now: Moment) -> Rise {
        self.rising_since.map_or(Rise::FULL, |since| Rise::after(now.since(since), slow_start))
    }

    /// When that grows next.
    pub(super) fn rises_at(&self, slow_start: Duration, now: Moment) -> Option<Moment> {
        let since = self.rising_since?;
        let eighths = u32::from(Rise::after(now.since(since), slow_start).eighths());
        (eighths < 8).then(|| since + slow_start * (eighths + 1) / 8)
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
    /// When the leader of a standby cluster was asked for its newest answer, if that still counts.
    pub(super) reference_asked_at: Option<Moment>,
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
            (Ok(standby), Err(_)) if self.stands_by() => match self.keeps_up(name, view, standby) {
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
        let named = self.named == Some(name) && !self.stands_by();
        if named || self.leader.is_ok_and(|(term, _)| term.member == *name) {
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

    /// Whether this is a standby cluster in which nobody takes writes.
    const fn stands_by(&self) -> bool {
        self.leader.is_err() && self.kind.is_standby()
    }

    /// What holds in a standby cluster. How far its leader is behind the other cluster nobody here can tell: it must be
    /// sent what comes, or restore from an archive. The others are compared with it.
    fn keeps_up(&self, name: &MemberName, view: &MemberView, standby: &Standby) -> Result<(), Exclusion> {
        let leads = self.named == Some(name);
        match standby.receiver {
            Receiver::Streaming => {}
            _ if standby.restores() || (leads && self.kind == ClusterKind::Standby(Feed::Archive)) => {}
            // Until its new leader takes over, it is sent nothing.
            Receiver::Gone if !leads && (self.served)(name) && !self.has_answered_since(view) => {}
            Receiver::Idle | Receiver::Gone => {
                return Err(Obstacle::NotStreaming.because("its WAL receiver is not streaming"));
            }
        }
        within_bounds(view)
    }

    /// Whether the leader of a standby cluster was asked after this member had lost its WAL receiver, or could have been
    /// for long.
    fn has_answered_since(&self, view: &MemberView) -> bool {
        let Some(gone_at) = view.reads.receiver_gone_at else { return true };
        let over = self.now >= gone_at + self.policy.reads.no_leader_grace;
        over || self.reference_asked_at.is_some_and(|asked_at| asked_at > gone_at)
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
        if standby.timeline != Some(term.timeline) && !is_recorded_on(view, standby, term.timeline) {
            return Err(Obstacle::WrongTimeline.because(elsewhere(standby, term.timeline)));
        }
        let Some(lag) = view.reads.lag() else {
            return Err(Obstacle::NotStreaming.because("its lag is not known yet"));
        };
        match standby.receiver {
            Receiver::Streaming => {}
            // It is compared with the leader's own position like any other, whatever brings it there.
            _ if standby.restores() => {}
            Receiver::Idle if lag.bytes == 0 => {}
            Receiver::Idle => {
                return Err(Obstacle::NotStreaming.because("its WAL receiver is not streaming"));
            }
            // When a leader dies, its replicas lose their WAL receivers before we have asked the leader again: only
            // a leader that is alive since then makes this the replica's own fault.
            Receiver::Gone
                if (self.served)(name)
                    && view.reads.receiver_gone_at.is_some_and(|gone_at| leader_asked_at <= gone_at) => {}
            Receiver::Gone => {
                let since = view.reads.receiver_gone_at;
                let lately = since.is_some_and(|gone_at| self.now < gone_at + RECONNECTS);
                let obstacle = if lately { Obstacle::Reconnecting } else { Obstacle::NotStreaming };
                return Err(obstacle.because("it has no WAL receiver"));
            }
        }
        within_bounds(view)
    }
}

/// Whether Patroni has recorded that a standby which restores from an archive has come to this timeline. In SQL a server
/// without a WAL receiver tells only of what its control file has, which may be as old as its last restartpoint; Patroni asks
/// it over a replication connection (`IDENTIFY_SYSTEM`), anew with each timeline of the leader's.
fn is_recorded_on(view: &MemberView, standby: &Standby, leader: Timeline) -> bool {
    let recorded = view.record.as_ref().and_then(|record| record.timeline);
    let restores = standby.receiver == Receiver::Gone && standby.restores();
    restores && standby.timeline.is_some_and(|reached| reached < leader) && recorded == Some(leader)
}

/// That a standby is not seen to be on the leader's timeline, in a sentence. Without a WAL receiver only the one it has
/// certainly come to is known, and it may be further.
fn elsewhere(standby: &Standby, leader: Timeline) -> String {
    match (standby.timeline, standby.receiver) {
        (Some(reached), Receiver::Gone) if reached < leader => format!(
            "it has no WAL receiver, and whether it has come from timeline {reached} to the leader's, {leader}, is not known"
        ),
        (Some(timeline), _) => format!("its timeline is {timeline}, the leader's {leader}"),
        (None, _) => format!("its timeline is unknown, the leader's {leader}"),
    }
}

/// Whether it is within the first bound.
fn within_bounds(view: &MemberView) -> Result<(), Exclusion> {
    let Some(Lag { bytes, time }) = view.reads.lag() else {
        return Err(Obstacle::NotStreaming.because("its lag is not known yet"));
    };
    if let Some(Bound::Beyond { good }) = view.reads.bounds.first().copied() {
        let coming_back = if good == 0 { "" } else { "coming back: " };
        return Err(Obstacle::Lagging.because(format!("{coming_back}lags {bytes} bytes, {time:?}")));
    }
    Ok(())
}
