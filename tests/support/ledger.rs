//! Whether what was acknowledged is there.

use std::collections::BTreeMap;

use crate::{Acknowledged, Client, Failure, Report, Result};

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
        for row in leader.query("SELECT id FROM ledger", &[]).await? {
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
