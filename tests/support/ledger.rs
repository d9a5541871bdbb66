//! Whether what was acknowledged is there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::{Acknowledged, Client, Failure, Moment, Report, Result};

/// What a leader's table says about a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Writes acknowledged to a client.
    pub acknowledged: usize,
    /// Of those, the ones the leader does not have.
    pub lost: usize,
    /// More that it does not have, acknowledged with PostgreSQL's warning that no standby had confirmed them.
    pub lost_with_warning: usize,
    /// Writes the leader has more than once: replayed behind the client's back.
    pub duplicated: usize,
    /// Writes whose client was told that it cannot know (08007, or nothing), and that are there.
    pub unknown_and_there: usize,
    /// Writes that are there although their client was told that they failed: what it was told.
    pub denied_but_there: Vec<String>,
}

impl Verdict {
    /// Nothing lost, nothing doubled, nothing denied.
    pub const fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.denied_but_there.is_empty()
    }

    /// Compares a report with the `ledger` table on the leader, asked directly.
    ///
    /// # Errors
    /// The leader does not answer.
    pub async fn of(report: &Report, leader: &Client) -> Result<Self> {
        let mut there: BTreeMap<i64, usize> = BTreeMap::new();
        let (first, last) = (i32::from(report.first), i32::from(report.first) + i32::from(report.clients));
        let query = "SELECT id FROM ledger WHERE writer >= $1 AND writer < $2";
        for row in leader.query(query, &[&first, &last]).await? {
            *there.entry(row.try_get(0)?).or_default() += 1;
        }
        let missing = report.acknowledged.iter().filter(|write| !there.contains_key(&write.id));
        let (lost_with_warning, lost): (Vec<&Acknowledged>, Vec<&Acknowledged>) =
            missing.partition(|write| write.unconfirmed);
        let failed =
            report.failures.iter().filter(|failure| failure.id.is_some_and(|id| there.contains_key(&id)));
        let (unknown, denied): (Vec<&Failure>, Vec<&Failure>) =
            failed.partition(|failure| failure.is_unknown());
        Ok(Self {
            acknowledged: report.acknowledged.len(),
            lost: lost.len(),
            lost_with_warning: lost_with_warning.len(),
            duplicated: there.values().filter(|count| **count > 1).count(),
            unknown_and_there: unknown.len(),
            denied_but_there: denied.iter().map(|failure| failure.cause.clone()).collect(),
        })
    }
}

/// How much later than it came a client of ours may note an answer on a busy machine.
const SLACK: Duration = Duration::from_secs(1);

impl Report {
    /// Writes acknowledged by a leader that was one no longer: another one was named before, or another client had been
    /// told of a write on a higher timeline before this one was sent. `named` is who was named leader when, in order.
    pub fn from_deposed(&self, named: &[(Moment, IpAddr)]) -> Vec<Acknowledged> {
        let mut by_time = self.acknowledged.clone();
        by_time.sort_by_key(|write| write.at);
        let mut timelines: Vec<(Moment, u32)> = Vec::new(); // when each was first heard of
        for write in &by_time {
            if timelines.last().is_none_or(|(_, highest)| *highest < write.timeline) {
                timelines.push((write.at, write.timeline));
            }
        }
        let is_late = |write: &Acknowledged| {
            let before = timelines.iter().rev().find(|(at, _)| *at < write.sent);
            before.is_some_and(|(_, timeline)| *timeline > write.timeline)
        };
        let is_deposed = |write: &Acknowledged| {
            let long_before = named.iter().rev().find(|(at, _)| *at + SLACK < write.at);
            let since = named.iter().any(|(at, server)| *at + SLACK >= write.at && *server == write.server);
            long_before.is_some_and(|(_, server)| *server != write.server) && !since
        };
        by_time.into_iter().filter(|write| is_late(write) || is_deposed(write)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes as (server, timeline, sent, acknowledged) and names as (when, server), times in milliseconds; the answer is
    /// when those were sent that a deposed leader acknowledged.
    fn check(writes: &[(u8, u32, u64, u64)], named: &[(u64, u8)], expected: &[u64]) {
        let begun = crate::now();
        let moment = |ms| begun + Duration::from_millis(ms);
        let address = |server| IpAddr::from([10, 77, 0, server]);
        let acknowledged = writes.iter().map(|(server, timeline, sent, at)| Acknowledged {
            id: 1,
            server: address(*server),
            timeline: *timeline,
            sent: moment(*sent),
            at: moment(*at),
            unconfirmed: false,
        });
        let report = Report { acknowledged: acknowledged.collect(), ..Report::default() };
        let named: Vec<_> = named.iter().map(|(at, server)| (moment(*at), address(*server))).collect();
        let found: Vec<_> =
            report.from_deposed(&named).iter().map(|write| (write.sent - begun).as_millis()).collect();
        assert_eq!(
            found,
            expected.iter().map(|ms| u128::from(*ms)).collect::<Vec<_>>(),
            "{writes:?} {named:?}"
        );
    }

    #[test]
    fn answers_of_a_deposed_leader_are_told_from_those_of_a_leader() {
        check(&[(1, 1, 0, 10), (2, 2, 1500, 1510)], &[(1000, 2)], &[]);
        // By the store: the moment of the naming itself is nobody's fault.
        check(&[(1, 1, 990, 1900)], &[(1000, 2)], &[]);
        check(&[(1, 1, 990, 2100), (1, 1, 5000, 5010)], &[(1000, 2)], &[990, 5000]);
        // It leads again.
        check(&[(1, 3, 5000, 5010)], &[(1000, 2), (4000, 1)], &[]);
        check(&[(1, 3, 4000, 4100)], &[(1000, 2), (4000, 1)], &[]);
        // By another client's word: what was sent before it was told is nobody's fault.
        check(&[(2, 2, 100, 110), (1, 1, 105, 120)], &[], &[]);
        check(&[(2, 2, 100, 110), (1, 1, 111, 120)], &[], &[111]);
    }
}
