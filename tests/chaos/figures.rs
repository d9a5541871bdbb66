//! What came of a scenario for the clients of one front.

use std::collections::BTreeMap;
use std::time::Duration;

use pgsteer_testkit::{Kind, Report, Verdict};

use crate::scenario::{Replication, Scenario};

/// What happened, once for each time that the fault was caused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// How long no write was possible, whatever stands in front: the poller's word, or how long the fault lasted.
    pub(crate) own: Duration,
    /// How much longer none succeeded; `None` where none did within the time that one waits for it.
    pub(crate) added: Option<Duration>,
}

/// All of it, for one front.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) outages: Vec<Outage>,
    /// What writers, and clients that only stay, were refused.
    pub(crate) errors: BTreeMap<String, usize>,
    /// What readers were refused.
    pub(crate) read_errors: BTreeMap<String, usize>,
    pub(crate) longest_wait: Duration,
    pub(crate) stayed: usize,
    pub(crate) clients: usize,
    pub(crate) verdict: Verdict,
    /// Writes acknowledged by a leader that was one no longer.
    pub(crate) from_deposed: usize,
    /// What the client with the long COPY or transaction was told each time; `None` if nothing.
    pub(crate) long: Vec<Option<String>>,
    /// Rows of a COPY or transaction that are there, less those whose client was told so.
    pub(crate) half_done: i64,
}

impl Figures {
    pub(crate) fn new(report: &Report, verdict: Verdict, from_deposed: usize) -> Self {
        let mut errors = report.by_sqlstate(Kind::Write);
        for (state, count) in report.by_sqlstate(Kind::Idle) {
            *errors.entry(state).or_default() += count;
        }
        Self {
            outages: Vec::new(),
            errors,
            read_errors: report.by_sqlstate(Kind::Read),
            longest_wait: report.longest_wait,
            stayed: report.stayed_connected(),
            clients: usize::from(report.clients),
            verdict,
            from_deposed,
            long: Vec::new(),
            half_done: 0,
        }
    }

    /// What must hold, and does not.
    pub(crate) fn violations(&self, scenario: &Scenario) -> Vec<String> {
        let Verdict { lost, duplicated, denied_but_there, .. } = &self.verdict;
        let mut violations = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                violations.push(what);
            }
        };
        if scenario.replication == Replication::Synchronous {
            must(*lost == 0, format!("{lost} acknowledged writes are lost"));
        }
        must(*duplicated == 0, format!("{duplicated} writes were done twice"));
        must(denied_but_there.is_empty(), format!("told to have failed, but done: {denied_but_there:?}"));
        must(
            self.from_deposed == 0,
            format!("{} answers of a deposed leader were passed on", self.from_deposed),
        );
        must(
            self.half_done == 0,
            format!("{} rows of a long transaction are there, more than its client was told", self.half_done),
        );
        must(self.long.iter().all(Option::is_some), "the long transaction was told nothing".to_owned());
        must(self.outages.iter().all(|outage| outage.added.is_some()), "writes did not resume".to_owned());
        let hangs = self.errors.keys().chain(self.read_errors.keys()).any(|state| state == "timeout");
        must(!hangs, "a client was not answered within its patience".to_owned());
        violations
    }

    /// The same scenario in another round.
    pub(crate) fn add(&mut self, other: &Self) {
        self.outages.extend(&other.outages);
        for (mine, theirs) in [(&mut self.errors, &other.errors), (&mut self.read_errors, &other.read_errors)]
        {
            for (state, count) in theirs {
                *mine.entry(state.clone()).or_default() += count;
            }
        }
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.stayed += other.stayed;
        self.clients += other.clients;
        self.verdict.acknowledged += other.verdict.acknowledged;
        self.verdict.lost += other.verdict.lost;
        self.verdict.lost_with_warning += other.verdict.lost_with_warning;
        self.verdict.duplicated += other.verdict.duplicated;
        self.verdict.unknown_and_there += other.verdict.unknown_and_there;
        self.verdict.denied_but_there.extend(other.verdict.denied_but_there.iter().cloned());
        self.from_deposed += other.from_deposed;
        self.long.extend(other.long.iter().cloned());
        self.half_done += other.half_done;
    }
}
