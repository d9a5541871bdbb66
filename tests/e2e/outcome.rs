//! What must hold of every failover, whatever caused it.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{
    Client, Cluster, Failure, Kind, LeaderKey, Login, Moment, Plan, Poller, Report, Result, Stage, Verdict,
    Workload, eventually, now,
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
/// What a reader may hear after replica_wait_timeout: Patroni and PostgreSQL take seconds to make the remaining replicas
/// follow a new leader, and until they do they are on an old timeline.
pub(crate) const NO_REPLICA: [&str; 1] = ["57P03"];

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

/// A change of leader that is over, while the clients go on.
pub(crate) struct Change {
    /// Who leads now.
    pub(crate) new: String,
    /// When what caused it was done.
    pub(crate) since: Moment,
    /// When that had taken hold of every process. Killed ones die one after the other on a busy machine, and a client that
    /// comes back meanwhile may meet another that dies.
    pub(crate) done: Moment,
    /// When the store named the new leader; where nobody watched it, when that took writes.
    pub(crate) named: Moment,
    /// From the new leader taking writes to the first write through pgsteer.
    pub(crate) added: Duration,
}

impl Watched {
    /// Waits until writes succeed on a leader other than the old one, within a bound after that takes them.
    pub(crate) async fn changes_leader(&self, since: Moment, bound: Duration) -> Result<Change> {
        let (new, writable) = self.poller.new_leader(&self.old, since, PATRONI).await?;
        let added = self.writes_resume(writable).await? - writable;
        println!("{new} took writes {:?} after; the first through pgsteer {added:?} later", writable - since);
        ensure!(added <= bound, "{added:?} from the new leader being writable to the first write");
        let named = self.key.changes().into_iter().find(|(_, leader)| leader.as_deref() == Some(&*new));
        Ok(Change { new, since, done: since, named: named.map_or(writable, |(at, _)| at), added })
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
    pub(crate) async fn end(self, stage: &mut Stage, leader: &str, since: Moment) -> Result<Report> {
        let report = self.load.finish().await?;
        let leader = stage.cluster.node(leader)?.config(Login::TRADER, Cluster::DATABASE);
        let verdict = Verdict::of(&report, &Client::connect(&leader).await?).await?;
        println!("{verdict:?}; {} of {} stayed connected", report.stayed_connected(), report.clients);
        println!(
            "no write for {:?}, no read for {:?}",
            report.longest_write_gap(since),
            report.longest_read_gap(since)
        );
        print!("{}", report.complaints(since));
        ensure!(verdict.is_good(), "{verdict:?}");
        let from_deposed = report.from_deposed(&stage.cluster.leaders(&self.key.changes()));
        ensure!(from_deposed.is_empty(), "passed on from a deposed leader: {:?}", from_deposed.first());
        Ok(report)
    }

    /// The same after a change of leader, and checks what must hold of every one: only clients with a write in flight
    /// were cut off, each of those once, at once, and with the truth.
    pub(crate) async fn end_after(self, stage: &mut Stage, change: &Change) -> Result<Report> {
        let report = self.end(stage, &change.new, change.since).await?;
        told_the_truth(&report)?;
        for failure in report.failures.iter().filter(|failure| failure.kind == Kind::Write) {
            let waited = failure.at.saturating_duration_since(change.named.max(failure.sent));
            ensure!(
                waited <= ON_THE_OLD,
                "a client waited {waited:?} after another leader was named: {failure:?}"
            );
            let earlier = |other: &&Failure| other.client == failure.client && other.at < failure.at;
            let again = report.failures.iter().find(earlier);
            ensure!(
                again.is_none() || failure.sent < change.done,
                "a client was cut off twice: {again:?}, {failure:?}"
            );
        }
        Ok(report)
    }
}

/// Ten changes of leader, one after the other, each by `cause`, which says when it was done; before the next the cluster is
/// mended. pgsteer adds little to the median of them.
pub(crate) async fn ten_in_a_row(
    stage: &mut Stage,
    cause: impl AsyncFn(&mut Stage, &str) -> Result<Moment>,
    mend: impl AsyncFn(&mut Stage, &str) -> Result,
) -> Result<Report> {
    let mut watched = watch(stage).await?;
    let begun = now();
    let mut added = Vec::new();
    for _ in 0..10 {
        let since = cause(stage, &watched.old).await?;
        let change = watched.changes_leader(since, ADDED).await?;
        added.push(change.added);
        mend(stage, &watched.old).await?;
        stage.cluster.healthy(Duration::from_secs(60)).await?;
        watched.old = change.new;
    }
    added.sort();
    println!("added by pgsteer, sorted: {added:?}");
    let new = watched.old.clone();
    let report = watched.end(stage, &new, begun).await?;
    told_the_truth(&report)?;
    ensure!(added[4] <= Duration::from_millis(100), "the median is {:?}", added[4]);
    Ok(report)
}

/// Every error said whether the work may have been committed, and no connection ended without words or need.
pub(crate) fn told_the_truth(report: &Report) -> Result {
    for failure in &report.failures {
        let allowed: &[&str] = match failure.kind {
            Kind::Write => &TRUTH,
            Kind::Read => &NO_REPLICA,
            Kind::Idle => &[],
        };
        ensure!(allowed.contains(&failure.sqlstate.as_str()), "a client was told: {failure:?}");
    }
    for (client, words) in &report.partings {
        let told =
            report.failures.iter().any(|failure| failure.client == *client && failure.kind == Kind::Write);
        ensure!(told, "client {client} lost its connection without need; it heard {words:?}");
    }
    Ok(())
}
