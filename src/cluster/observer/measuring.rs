//! Comparing standbys with whoever leads.

use super::Observer;
use crate::{
    clock::Moment,
    cluster::{
        ids::{Lsn, MemberName},
        topology::Lag,
    },
};

/// Stands for the number of a term where there is none: in a standby cluster.
const NO_TERM: u64 = 0;

impl Observer {
    /// Compares a standby that has just answered with the leader, if there is one, or with the leader of the standby
    /// cluster.
    pub(super) fn measure(&mut self, member: &MemberName, now: Moment) {
        let Some(view) = self.members.get(member) else { return };
        let Some((at, answer)) = view.last.as_ref().map(|last| last.at).zip(view.answering().cloned()) else {
            return;
        };
        let Some(standby) = answer.standby() else { return };
        let leads = self.standby_leader(now).is_some_and(|(leader, ..)| leader == member);
        if leads && let Some(position) = standby.position() {
            self.sample(NO_TERM, position, answer.asked_at);
        }
        let epoch = match (&self.leaderless, &self.office) {
            (None, Some(office)) => Some(office.term.epoch),
            (_, None) if self.store.settings.kind.is_standby() => Some(NO_TERM),
            _ => None,
        };
        let lags = epoch.and_then(|epoch| {
            self.trails.iter().map(|trail| trail.lag(epoch, standby, at)).collect::<Option<Vec<Lag>>>()
        });
        if let Some(view) = self.members.get_mut(member) {
            view.reads.answered(standby, lags, at, &self.policy.reads);
        }
    }

    pub(super) fn sample(&mut self, epoch: u64, lsn: Lsn, asked_at: Moment) {
        self.trails.iter_mut().for_each(|trail| trail.sample(epoch, lsn, asked_at));
    }

    /// Who leads a standby cluster, by a fresh answer, and when that was asked for.
    pub(super) fn standby_leader(&self, now: Moment) -> Option<(&MemberName, Moment)> {
        let named = self.named.as_ref().filter(|_| self.store.settings.kind.is_standby())?;
        let answer = self.members.get(&named.member)?.answering()?;
        let counts = answer.is_fresh(self.policy.fresh_for(), now) && answer.standby().is_some();
        counts.then_some((&named.member, answer.asked_at))
    }
}
