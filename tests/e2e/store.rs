//! The store is away, at the beginning or later.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Cluster, Options, Poller, Proxy, Result, eventually, now, scenario};

use crate::outcome::{ADDED, PATRONI, told_the_truth, watch};

/// Longer than Patroni's ttl, after which no right to write can be left from the store.
const LONGER_THAN_TTL: Duration = Duration::from_secs(25);

/// Without failsafe mode the leader must demote itself; it is promoted again when the store is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_stops_and_starts() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let stopped = stage.cluster.etcd.stop().await?;
        eventually("the leader has demoted itself", PATRONI, async || {
            watched.poller.seen().iter().any(|seen| seen.at > stopped && !seen.writable).then_some(())
        })
        .await?;
        stage.cluster.etcd.start().await?;
        let started = now();
        let (new, writable) = watched.poller.new_leader("", started, PATRONI).await?;
        let first = watched.writes_resume(writable).await?;
        println!(
            "{new} took writes {:?} after etcd's start, pgsteer {:?} later",
            writable - started,
            first - writable
        );
        stage.cluster.healthy(Duration::from_secs(90)).await?;
        let report = watched.end(stage, &new, stopped).await?;
        told_the_truth(&report)?;
        ensure!(
            first - writable <= ADDED,
            "{:?} from the leader being writable to the first write",
            first - writable
        );
        // (With the new leader's timeline the replicas have to find it first, which is told of in `outcome`.)
        let gap = report.longest_read_gap_until(stopped, writable);
        ensure!(gap < Duration::from_secs(1), "no read was answered for {gap:?} while there was no leader");
        Ok(())
    })
    .await
}

/// With failsafe mode the leader goes on, and so must we: nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_stops_and_starts_in_failsafe_mode() -> Result {
    scenario(Options::default().with_failsafe(), async |stage| {
        let watched = watch(stage).await?;
        let stopped = stage.cluster.etcd.stop().await?;
        eventually("writes go on without a store", 2 * LONGER_THAN_TTL, async || {
            watched.load.first_write_after(stopped + LONGER_THAN_TTL)
        })
        .await?;
        stage.cluster.etcd.start().await?;
        stage.cluster.healthy(Duration::from_secs(90)).await?;
        watched.writes_resume(now()).await?;
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, stopped).await?;
        ensure!(report.failures.is_empty(), "a client was told: {:?}", report.failures.first());
        let gap = report.longest_write_gap(stopped);
        ensure!(gap < Duration::from_secs(2), "writes stood still for {gap:?}");
        Ok(())
    })
    .await
}

/// Only the leader's Patroni has lost the store: the key runs out in sight of everybody, and the leader goes on rightfully. Writes
/// wait until its Patroni has confirmed that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_loses_etcd_in_failsafe_mode() -> Result {
    scenario(Options::default().with_failsafe().with_links(), async |stage| {
        let watched = watch(stage).await?;
        let leader = watched.old.clone();
        let silent = stage.cluster.link(&leader)?.fall_silent().await?;
        let gone = eventually("the leader key is gone", PATRONI, async || {
            let changes = watched.key.changes();
            changes.into_iter().find(|(at, named)| *at > silent && named.is_none()).map(|(at, _)| at)
        })
        .await?;
        eventually("writes go on without the key", PATRONI, async || {
            watched.load.first_write_after(gone + Duration::from_secs(5))
        })
        .await?;
        eventually("the leader's Patroni gives the right to write", PATRONI, async || {
            let known = stage.proxy.get("/leader").await.ok()?.json();
            (known["right_to_write"]["source"] == "failsafe").then_some(())
        })
        .await?;
        stage.cluster.link(&leader)?.mend();
        eventually("the leader has its key again", PATRONI, async || {
            let (at, named) = watched.key.changes().pop()?;
            (at > gone && named? == leader).then_some(())
        })
        .await?;
        watched.writes_resume(now()).await?;
        let report = watched.end(stage, &leader, silent).await?;
        ensure!(report.failures.is_empty(), "a client was told: {:?}", report.failures.first());
        ensure!(report.partings.is_empty(), "a client was cut off: {:?}", report.partings);
        let gap = report.longest_write_gap(silent);
        ensure!(gap < Duration::from_secs(2), "writes stood still for {gap:?}");
        Ok(())
    })
    .await
}

/// Patroni may be stopped while it is paused; its keys in the store run out then, and PostgreSQL goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patroni_is_paused_and_stopped() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        stage.cluster.configure(&serde_json::json!({ "pause": true })).await?;
        eventually("pgsteer knows of the pause", PATRONI, async || {
            let known = stage.proxy.get("/leader").await.ok()?.json();
            (known["settings"]["failover"] == "paused").then_some(())
        })
        .await?;
        let stopped = now();
        for node in &mut stage.cluster.nodes {
            node.kill_patroni().await?;
        }
        eventually("the leader key is gone", PATRONI, async || {
            watched
                .key
                .changes()
                .into_iter()
                .any(|(at, leader)| at > stopped && leader.is_none())
                .then_some(())
        })
        .await?;
        let gone = now();
        eventually("writes go on without the key", PATRONI, async || {
            watched.load.first_write_after(gone + Duration::from_secs(5))
        })
        .await?;
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, stopped).await?;
        ensure!(report.failures.is_empty(), "a client was told: {:?}", report.failures.first());
        ensure!(report.partings.is_empty(), "a client was cut off: {:?}", report.partings);
        let gap = report.longest_write_gap(stopped);
        ensure!(gap < Duration::from_secs(2), "writes stood still for {gap:?}");
        Ok(())
    })
    .await
}

/// A store that is silent for a moment is no reason for anything. (After two seconds Patroni may demote the leader.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_freezes_for_a_moment() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let frozen = stage.cluster.etcd.freeze().await?;
        eventually("writes go on", PATRONI, async || {
            watched.load.first_write_after(frozen + Duration::from_secs(1))
        })
        .await?;
        let thawed = stage.cluster.etcd.thaw().await?;
        watched.writes_resume(thawed).await?;
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, frozen).await?;
        ensure!(report.failures.is_empty(), "a client was told: {:?}", report.failures.first());
        let gap = report.longest_write_gap(frozen);
        ensure!(gap < Duration::from_secs(1), "writes stood still for {gap:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgsteer_starts_before_the_cluster() -> Result {
    let mut cluster = Cluster::start(Options::default()).await?;
    for node in &mut cluster.nodes {
        node.kill9().await?;
    }
    cluster.etcd.stop().await?;
    let proxy = Proxy::launch(&cluster, "pgsteer", "")?;
    let told = before_the_cluster(&mut cluster, &proxy).await;
    told.inspect_err(|_| eprintln!("{}", cluster.sandbox.logs(40)))
}

async fn before_the_cluster(cluster: &mut Cluster, proxy: &Proxy) -> Result {
    eventually("pgsteer is alive", Duration::from_secs(10), async || {
        (proxy.get("/health").await.ok()?.status == 200).then_some(())
    })
    .await?;
    ensure!(proxy.get("/ready").await?.status == 503, "ready without a cluster");

    let config = proxy.write_config();
    let waiting = tokio::spawn(async move {
        // A login while nothing is known of any server may be refused, but only by saying that there is no leader.
        loop {
            match Client::try_connect(&config, Duration::from_secs(90)).await {
                Ok(client) => return client.text("SELECT pg_is_in_recovery()").await,
                Err(state) => ensure!(state == "57P03", "a login before the cluster: {state}"),
            }
        }
    });
    let poller = Poller::start(cluster);
    let begun = now();
    cluster.etcd.start().await?;
    for node in &mut cluster.nodes {
        node.start()?;
    }
    let (_, writable) = poller.new_leader("", begun, PATRONI).await?;
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await???;
    println!("answered {:?} after the leader took writes", now() - writable);
    ensure!(answer == "f", "the write route led to a standby");
    eventually("pgsteer is ready", Duration::from_secs(10), async || {
        (proxy.get("/ready").await.ok()?.status == 200).then_some(())
    })
    .await
}
