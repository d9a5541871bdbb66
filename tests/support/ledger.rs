//! Whether what was acknowledged is there.

use std::collections::BTreeMap;

use std::time::Duration;

use crate::{Acknowledged, Client, Cluster, Failure, LeaderChange, Report, Result};

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

/// How long a client's own clock may be behind the witness of the store on a busy machine.
const SLACK: Duration = Duration::from_millis(250);

impl Report {
    /// Writes acknowledged by a leader that was one no longer: another one was named before, or another client had been
    /// told of a write on a higher timeline before this one was sent.
    pub fn from_deposed(&self, changes: &[LeaderChange], cluster: &Cluster) -> Vec<Acknowledged> {
        let mut by_time = self.acknowledged.clone();
        by_time.sort_by_key(|write| write.at);
        let mut timelines = Vec::new(); // when each was first heard of
        for write in &by_time {
            if timelines.last().is_none_or(|(_, highest)| *highest < write.timeline) {
                timelines.push((write.at, write.timeline));
            }
        }
        let is_late = |write: &Acknowledged| {
            let before = timelines.iter().rev().find(|(at, _)| *at < write.sent);
            before.is_some_and(|(_, timeline)| *timeline > write.timeline)
        };
        let named: Vec<_> = changes
            .iter()
            .filter_map(|(at, name)| {
                let node = cluster.nodes.iter().find(|node| Some(&node.name) == name.as_ref())?;
                Some((*at, node.address.ip()))
            })
            .collect();
        let is_deposed = |write: &Acknowledged| {
            let long_before = named.iter().rev().find(|(at, _)| *at + SLACK < write.at);
            let since = named.iter().any(|(at, node)| *at + SLACK >= write.at && *node == write.server);
            long_before.is_some_and(|(_, node)| *node != write.server) && !since
        };
        by_time.into_iter().filter(|write| is_late(write) || is_deposed(write)).collect()
    }
}
