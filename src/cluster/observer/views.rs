//! What has been reported of the store and of each member, before anything is concluded from it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{departure::Departure, reads::ReadState};
use crate::{
    clock::Moment,
    cluster::{
        fact::{ProbeFailure, ProbeOutcome, ProbeReading, ProbedRole, Standby},
        ids::{Lsn, MemberName, Timeline},
        store::{ClusterSettings, MemberRecord, StoreEvent, StoreSnapshot},
        topology::{LastProbe, Named, StoreStatus, Suspicion},
    },
    net::Address,
};

/// How long a member whose record is gone is still asked and counted: it may be cut off and yet lead.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The store, as last read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoreView {
    pub(super) status: StoreStatus,
    /// Whom the leader key names; `None` once it was seen absent.
    pub(super) named: Option<Named>,
    /// The lease last seen on a leader key. Survives the key's deletion, not another leader.
    pub(super) lease: Option<LeaseView>,
    pub(super) system_id: Option<u64>,
    pub(super) settings: ClusterSettings,
    pub(super) sync_standbys: Vec<MemberName>,
    pub(super) departure: Departure,
    revision: u64,
}

/// What the newest lease queries said of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseView {
    pub(super) member: MemberName,
    pub(super) deadline: Moment,
}

impl StoreView {
    pub(super) fn new(status: StoreStatus) -> Self {
        Self {
            status,
            named: None,
            lease: None,
            system_id: None,
            settings: ClusterSettings::default(),
            sync_standbys: Vec::new(),
            departure: Departure::default(),
            revision: 0,
        }
    }

    /// Takes in what the store said. Returns the members it lists, if this is news.
    pub(super) fn absorb(&mut self, event: &StoreEvent, now: Moment) -> Option<Vec<MemberRecord>> {
        match event {
            StoreEvent::Read(snapshot) => self.read(snapshot, now),
            StoreEvent::Nothing { found } => {
                self.status = StoreStatus::Nothing(found.clone());
                self.named = None;
                None
            }
            StoreEvent::Lost { reason } => {
                self.status = match &self.status {
                    StoreStatus::NeverAnswered(_) => StoreStatus::NeverAnswered(Some(reason.clone())),
                    StoreStatus::Lost { since, .. } => {
                        StoreStatus::Lost { since: *since, reason: reason.clone() }
                    }
                    _ => StoreStatus::Lost { since: now, reason: reason.clone() },
                };
                // What comes next is read afresh, so it is newer whatever its number: a store restored from a
                // backup counts from an earlier revision.
                self.revision = 0;
                None
            }
        }
    }

    fn read(&mut self, snapshot: &StoreSnapshot, now: Moment) -> Option<Vec<MemberRecord>> {
        if snapshot.revision < self.revision {
            return None;
        }
        self.revision = snapshot.revision;
        let asked_at = match self.status {
            StoreStatus::Answering { asked_at } => asked_at.max(snapshot.asked_at),
            _ => snapshot.asked_at,
        };
        self.status = StoreStatus::Answering { asked_at };
        self.system_id = snapshot.system_id.or(self.system_id);
        self.settings = snapshot.settings.clone();
        self.sync_standbys.clone_from(&snapshot.sync_standbys);
        self.departure.read(snapshot, now);
        let Some(key) = &snapshot.leader else {
            self.named = None;
            return Some(snapshot.members.clone());
        };
        let same = |n: &Named| n.member == key.member && n.elected_at == key.elected_at;
        if !self.named.as_ref().is_some_and(same) {
            let (member, elected_at) = (key.member.clone(), key.elected_at);
            self.named = Some(Named { member, elected_at, seen_at: now });
        }
        let before = self.lease.take().filter(|lease| lease.member == key.member);
        let deadline = before.map(|lease| lease.deadline).max(key.right_until);
        self.lease = deadline.map(|deadline| LeaseView { member: key.member.clone(), deadline });
        Some(snapshot.members.clone())
    }
}

/// One member, as reported.
#[derive(Clone, Debug)]
pub(super) struct MemberView {
    pub(super) address: Address,
    /// When it was first heard of at this address: an earlier question was put to another server.
    pub(super) known_since: Moment,
    pub(super) record: Option<MemberRecord>,
    /// Since when its record is missing from the store.
    pub(super) gone_since: Option<Moment>,
    /// The newest outcome of asking it.
    pub(super) last: Option<LastProbe>,
    /// The newest answer, and when it was asked for.
    pub(super) answer: Option<Answer>,
    pub(super) suspected: Option<Suspicion>,
    pub(super) reads: ReadState,
    /// Since when it has been out of reach whenever it was asked.
    pub(super) out_of_reach_since: Option<Moment>,
    /// Since when nothing has come of asking it: out of reach, or no answer in time.
    pub(super) silent_since: Option<Moment>,
    /// How long it takes to answer.
    pub(super) latency: Option<Duration>,
    /// Patroni's REST API there, as last heard.
    pub(super) api_url: Option<String>,
}

/// An answer, and when it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) asked_at: Moment,
    pub(super) reading: ProbeReading,
}

impl MemberView {
    pub(super) fn new(address: Address, record: Option<MemberRecord>, now: Moment) -> Self {
        Self {
            address,
            known_since: now,
            api_url: record.as_ref().and_then(|record| record.api_url.clone()),
            record,
            gone_since: None,
            last: None,
            answer: None,
            suspected: None,
            reads: ReadState::default(),
            out_of_reach_since: None,
            silent_since: None,
            latency: None,
        }
    }

    /// Takes in an outcome. Returns whether it is news: an outcome of a question put earlier than the newest known
    /// one, or to another address, is not.
    pub(super) fn absorb(&mut self, probe: LastProbe, address: &Address) -> bool {
        let late = self.last.as_ref().is_some_and(|last| probe.asked_at < last.asked_at);
        if late || *address != self.address || probe.asked_at < self.known_since {
            return false;
        }
        if self.suspected.as_ref().is_some_and(|s| s.since <= probe.asked_at) {
            self.suspected = None;
        }
        let failed = |is: fn(&ProbeFailure) -> bool, since: Option<Moment>| match &probe.outcome {
            ProbeOutcome::Failed(failure) if is(failure) => since.or(Some(probe.asked_at)),
            _ => None,
        };
        self.out_of_reach_since = failed(ProbeFailure::is_out_of_reach, self.out_of_reach_since);
        self.silent_since = failed(ProbeFailure::is_silence, self.silent_since);
        if let ProbeOutcome::Answered(reading) = &probe.outcome {
            self.answer = Some(Answer { asked_at: probe.asked_at, reading: reading.clone() });
            self.latency = Some(smoothed(self.latency, probe.at.since(probe.asked_at)));
        }
        self.last = Some(probe);
        true
    }

    /// The newest outcome, if it was an answer.
    pub(super) fn answering(&self) -> Option<&Answer> {
        match self.last.as_ref()?.outcome {
            ProbeOutcome::Answered(_) => self.answer.as_ref(),
            ProbeOutcome::Failed(_) => None,
        }
    }

    /// Why it is not there any more: out of reach for `limit`, question after question. While its connections might work
    /// although nothing new gets there, they are as good as lost; of a server that is reached and does not answer that is
    /// known only once its Patroni does not keep its record in the store any more either (`by_record`: it would, if it ran).
    pub(super) fn lost(&self, limit: Duration, by_record: bool) -> Option<String> {
        let last = self.last.as_ref()?;
        let (since, what) = match (self.out_of_reach_since, self.gone_since.filter(|_| by_record)) {
            (Some(since), _) => (since, "out of reach"),
            (None, Some(_)) => (self.silent_since?, "its record is gone from the store"),
            (None, None) => return None,
        };
        (last.asked_at > since && last.at.since(since) >= limit)
            .then(|| format!("{what}: {}", self.failure().unwrap_or_default()))
    }

    /// Why the newest outcome was no answer.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.last.as_ref()?.outcome {
            ProbeOutcome::Answered(_) => None,
            ProbeOutcome::Failed(failure) => Some(failure.to_string()),
        }
    }

    /// The parameters of its newest login.
    pub(super) fn parameters(&self) -> Option<&Arc<Vec<(String, String)>>> {
        self.answer.as_ref().map(|answer| &answer.reading.parameters)
    }
}

/// The newest answer counts a quarter, the one before a quarter of the rest, and so on.
fn smoothed(before: Option<Duration>, newest: Duration) -> Duration {
    before.map_or(newest, |before| (before * 3 + newest) / 4)
}

impl Answer {
    /// Whether the answer still counts at `now`.
    pub(super) fn is_fresh(&self, fresh_for: Duration, now: Moment) -> bool {
        now < self.asked_at + fresh_for
    }

    /// The timeline and position, if it takes writes.
    pub(super) const fn writable(&self) -> Option<(Timeline, Lsn)> {
        match self.reading.role {
            ProbedRole::Writable { timeline, lsn } => Some((timeline, lsn)),
            ProbedRole::Standby(_) => None,
        }
    }

    /// The standby, if it is one.
    pub(super) const fn standby(&self) -> Option<&Standby> {
        match &self.reading.role {
            ProbedRole::Writable { .. } => None,
            ProbedRole::Standby(standby) => Some(standby),
        }
    }
}

/// All members, as reported.
pub(super) type Members = BTreeMap<MemberName, MemberView>;

/// Brings the list of members in line with the store's. A member that moved begins anew; one that is gone is
/// remembered for a while, since it may only be cut off from the store.
pub(super) fn list_members(members: &mut Members, listed: Vec<MemberRecord>, now: Moment) {
    for (name, view) in members.iter_mut() {
        if !listed.iter().any(|record| record.name == *name) {
            view.record = None;
            view.gone_since.get_or_insert(now);
        }
    }
    for record in listed {
        match members.get_mut(&record.name) {
            Some(view) if view.address == record.address => {
                view.api_url = record.api_url.clone().or(view.api_url.take());
                view.record = Some(record);
                view.gone_since = None;
            }
            _ => {
                let view = MemberView::new(record.address.clone(), Some(record.clone()), now);
                members.insert(record.name, view);
            }
        }
    }
}

/// Drops members that have been gone for long, except the one in office.
pub(super) fn forget_members(members: &mut Members, in_office: Option<&MemberName>, now: Moment) {
    members.retain(|name, view| {
        in_office == Some(name) || view.gone_since.is_none_or(|since| now.since(since) < REMEMBERED)
    });
}
