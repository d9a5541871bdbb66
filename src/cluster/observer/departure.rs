//! Whether the leader is about to step down as planned, and since when.

use std::time::Duration;

use crate::{
    clock::Moment,
    cluster::{
        ids::MemberName,
        store::{StoreSnapshot, Switchover},
    },
};

/// What a member's record says while Patroni shuts its PostgreSQL down.
const STOPPING: &str = "stopping";

/// Signs in the store that a leader is about to step down.
///
/// Patroni writes `/failover` before it lets the leader checkpoint and stop, and clears it when the change is done or
/// given up; a leader that is stopped otherwise says so in its record. Neither is more than an announcement: it holds
/// new writes for a while and proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Departure {
    /// What stands in `/failover`.
    asked: Option<Switchover>,
    /// Since when that has been known and due.
    asked_since: Option<Moment>,
    /// The leader whose record says that it is being stopped, and since when.
    stopping: Option<(MemberName, Moment)>,
}

impl Departure {
    /// Takes in a reading of the store.
    pub(super) fn read(&mut self, snapshot: &StoreSnapshot, now: Moment) {
        let revision = |asked: &Option<Switchover>| asked.as_ref().map(|asked| asked.revision);
        if revision(&self.asked) != revision(&snapshot.switchover) {
            self.asked_since = None;
        }
        self.asked.clone_from(&snapshot.switchover);
        let leader = snapshot.leader.as_ref().map(|key| &key.member);
        let stopping = snapshot
            .members
            .iter()
            .find(|record| Some(&record.name) == leader && record.state == STOPPING)
            .map(|record| record.name.clone());
        self.stopping = stopping.map(|member| match self.stopping.take() {
            Some((known, since)) if known == member => (member, since),
            _ => (member, now),
        });
        self.tick(now);
    }

    /// Time has passed: what was scheduled may be due.
    pub(super) fn tick(&mut self, now: Moment) {
        if self.asked.as_ref().is_some_and(|asked| asked.is_due(now)) {
            self.asked_since.get_or_insert(now);
        }
    }

    /// Until when new writes to `leader` wait for it to step down, at most `hold_max` after each sign of it.
    pub(super) fn holds(&self, leader: &MemberName, hold_max: Duration) -> Option<Moment> {
        let concerns = |asked: &Switchover| asked.from.as_ref().is_none_or(|from| from == leader);
        let asked = self.asked_since.filter(|_| self.asked.as_ref().is_some_and(concerns));
        let stopping = self.stopping.as_ref().filter(|(member, _)| member == leader).map(|(_, since)| *since);
        asked.max(stopping).map(|since| since + hold_max)
    }

    /// When something here changes by time alone: a schedule that comes due.
    pub(super) fn due(&self) -> Option<Moment> {
        match self.asked.as_ref()?.due {
            crate::cluster::store::Due::At(at) => Some(at),
            _ => None,
        }
    }
}
