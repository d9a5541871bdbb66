//! What must hold of every failover, whatever caused it.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{
    Client, Cluster, Kind, LeaderKey, Login, Moment, Plan, Poller, Report, Result, Stage, Verdict, Workload,
    eventually,
};

/// The longest that Patroni itself may take with its fastest timers, and a margin.
pub(crate) const PATRONI: Duration = Duration::from_secs(45);
/// From a new leader that takes writes to the first write through pgsteer, at worst.
pub(crate) const ADDED: Duration = Duration::from_millis(500);
/// The longest that a client may wait on the old leader once the store names another.
pub(crate) const ON_THE_OLD: Duration = Duration::from_secs(1);
/// What a client may hear whose work was cut off: unknown whether committed (08007), or certainly not, because the
/// leader was deposed (57P01) or its connection broke (08006).
pub(crate) const TRUTH: [&str; 3] = ["08007", "57P01", "08006"];

/// Clients at work, and witnesses who ask the nodes and the store directly.
pub(crate) struct Watched {
    pub(crate) load: Workload,
    pub(crate) poller: Poller,
    pub(crate) key: LeaderKey,
    /// Who leads now.
    pub(crate) old: String,
}

/// Starts them, and waits until they have seen the leader.
pub(crate) async fn watch(stage: &Stage) -> Result<Watched> {
    let load =
        Workload::start(&stage.proxy.write_config(), &stage.proxy.read_config(), Plan::default()).await?;
    let poller = Poller::start(&stage.cluster);
    let key = stage.cluster.watch_leader_key().await?;
    let old = stage.cluster.leader().await?.name.clone();
    eventually("the poller has seen the leader", PATRONI, async || {
        poller.seen().iter().any(|seen| seen.writable && seen.node == old).then_some(())
    })
    .await?;
    let enough = load.counts().writes + 200;
    eventually("the clients are at work", PATRONI, async || (load.counts().writes > enough).then_some(()))
        .await?;
    Ok(Watched { load, poller, key, old })
}

/// A failover that is over.
pub(crate) struct Outcome {
    pub(crate) report: Report,
    /// When the store named the new leader.
    pub(crate) named: Moment,
}

impl Watched {
    /// Waits until writes succeed on a leader other than the old one, lets the clients work on, ends them, and checks
    /// what must hold of every failover.
    pub(crate) async fn fails_over(self, stage: &mut Stage, since: Moment) -> Result<Outcome> {
        self.fails_over_within(stage, since, ADDED).await
    }

    /// The same with a bound of its own.
    pub(crate) async fn fails_over_within(
        self,
        stage: &mut Stage,
        since: Moment,
        bound: Duration,
    ) -> Result<Outcome> {
        let (new, writable) = self.poller.new_leader(&self.old, since, PATRONI).await?;
        let first = self.writes_resume(writable).await?;
        let added = first - writable;
        println!("{new} took writes {:?} after; the first through pgsteer {added:?} later", writable - since);
        let named = self.key.changes().into_iter().find(|(_, leader)| leader.as_deref() == Some(&*new));
        let named = named.map_or(writable, |(at, _)| at);
        let report = self.end(stage, &new).await?;
        ensure!(added <= bound, "{added:?} from the new leader being writable to the first write");
        let waited_on_the_old = report.failures.iter().filter(|failure| failure.sent < named);
        if let Some(worst) =
            waited_on_the_old.map(|failure| failure.at.saturating_duration_since(named)).max()
        {
            ensure!(
                worst <= ON_THE_OLD,
                "a client waited {worst:?} on the old leader after another was named"
            );
        }
        Ok(Outcome { report, named })
    }

    /// When the first write after a moment was acknowledged; then a hundred more.
    pub(crate) async fn writes_resume(&self, after: Moment) -> Result<Moment> {
        let what = "a write succeeds through pgsteer";
        let first =
            eventually(what, Duration::from_secs(30), async || self.load.first_write_after(after)).await?;
        let enough = self.load.counts().writes + 100;
        eventually("writes go on", PATRONI, async || (self.load.counts().writes > enough).then_some(()))
            .await?;
        Ok(first)
    }

    /// Ends the clients and compares what they were told with what `leader` has.
    pub(crate) async fn end(self, stage: &mut Stage, leader: &str) -> Result<Report> {
        let report = self.load.finish().await?;
        let leader = stage.cluster.node(leader)?.config(Login::TRADER, Cluster::DATABASE);
        let verdict = Verdict::of(&report, &Client::connect(&leader).await?).await?;
        println!(
            "{verdict:?}; writers {:?}, readers {:?}, idle {:?}, {} of {} stayed connected",
            report.by_sqlstate(Kind::Write),
            report.by_sqlstate(Kind::Read),
            report.by_sqlstate(Kind::Idle),
            report.stayed_connected(),
            report.clients
        );
        ensure!(verdict.is_good(), "{verdict:?}");
        Ok(report)
    }
}

impl Outcome {
    /// Nobody but the clients with a write in flight noticed, each of those once, and they were told the truth.
    pub(crate) fn only_writes_in_flight_were_cut(&self) -> Result {
        told_the_truth(&self.report)?;
        for failure in &self.report.failures {
            ensure!(failure.kind == Kind::Write, "a client that was not writing was told: {failure:?}");
            let own = self.report.failures.iter().filter(|other| other.client == failure.client).count();
            ensure!(own == 1, "client {} was cut off {own} times", failure.client);
        }
        Ok(())
    }
}

/// Every error said whether the work may have been committed, and none came without words.
pub(crate) fn told_the_truth(report: &Report) -> Result {
    for failure in &report.failures {
        ensure!(TRUTH.contains(&failure.sqlstate.as_str()), "a client was told: {failure:?}");
    }
    for client in report.reconnects.keys() {
        let told = report.failures.iter().any(|failure| failure.client == *client);
        ensure!(told, "client {client} lost its connection without a word");
    }
    Ok(())
}
