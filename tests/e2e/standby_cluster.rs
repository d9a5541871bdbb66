//! A cluster that follows another one: reads work, writes are refused at once, until it is promoted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Options, Poller, Proxy, Release, Result, Sandbox, Server, Stage,
    eventually, now,
};

use crate::outcome::PATRONI;

const SOON: Duration = Duration::from_secs(20);
/// Nobody may wait for something that nobody knows of when it will be.
const AT_ONCE: Duration = Duration::from_secs(1);
/// No key tells of a promotion: it is found by asking each `probe_interval` (500 ms), on a busy machine.
const FOUND: Duration = Duration::from_millis(500 + 500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_reads_and_refuses_writes_until_it_is_promoted() -> Result {
    let sandbox = Sandbox::new()?;
    let upstream = Server::start(&sandbox, Release::System, Door::Scram, "wal_keep_size = 256MB\n").await?;
    let cluster = Cluster::following(&upstream, Options::default()).await?;
    let mut proxy = Proxy::launch(&cluster, "pgsteer", "")?;
    proxy.ready_for("/ready?route=read", SOON).await?;
    let stage = Stage { proxy, cluster };
    let played = async {
        reads_work(&stage, &upstream).await.context("reads")?;
        writes_are_refused(&stage).await.context("writes")?;
        a_promotion(&stage).await.context("its promotion")
    };
    played.await.inspect_err(|_| eprintln!("{}", stage.cluster.sandbox.logs(40)))
}

/// What the other cluster writes is read here, on the replicas; the standby leader is for when there is none.
async fn reads_work(stage: &Stage, upstream: &Server) -> Result {
    let owner = pgsteer_testkit::connection_string(upstream.address, Login::TRADER, Cluster::DATABASE);
    let owner = Client::connect(&owner).await?;
    owner.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await?;
    let leader = stage.cluster.standby_leader().await?.address.ip().to_string();
    let nodes = stage.cluster.nodes.iter().map(|node| node.address.ip().to_string());
    let replicas: BTreeSet<_> = nodes.filter(|address| *address != leader).collect();
    for config in [stage.proxy.read_config(), stage.proxy.split_config()] {
        let client = Client::connect(&config).await?;
        eventually("reads come from both replicas, with what was written", SOON, async || {
            let mut seen = BTreeSet::new();
            for _ in 0..10 {
                seen.insert(client.text("SELECT host(inet_server_addr()) FROM t").await.ok()?);
            }
            (seen == replicas).then_some(())
        })
        .await?;
    }
    Ok(())
}

async fn writes_are_refused(stage: &Stage) -> Result {
    for config in [stage.proxy.write_config(), stage.proxy.split_config()] {
        let client = Client::connect(&config).await?;
        for _ in 0..2 {
            let asked = now();
            let told = client.text("INSERT INTO t VALUES (2) RETURNING a").await;
            let told = format!("{:#}", told.err().context("a write was taken")?);
            ensure!(told.contains("25006") && told.contains("standby cluster"), "told {told}");
            ensure!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
        }
    }
    Ok(())
}

/// It changes no leader key.
async fn a_promotion(stage: &Stage) -> Result {
    let leader = stage.cluster.standby_leader().await?.name.clone();
    let key = stage.cluster.watch_leader_key().await?;
    let (poller, asked) = (Poller::start(&stage.cluster), now());
    let writer = Client::connect(&stage.proxy.write_config()).await?;
    stage.cluster.promote().await?;
    let written = eventually("a write is taken", PATRONI, async || {
        writer.batch_execute("INSERT INTO t VALUES (3)").await.ok().map(|()| now())
    })
    .await?;
    let (new, writable) = poller.new_leader("", asked, PATRONI).await?;
    println!(
        "{new} took writes {:?} after, pgsteer {:?} later",
        writable - asked,
        written.saturating_duration_since(writable)
    );
    ensure!(new == leader, "{new} was promoted, not {leader}");
    ensure!(written.saturating_duration_since(writable) < FOUND, "too late");
    ensure!(key.changes().iter().all(|(_, named)| named.as_deref() == Some(&leader)), "{:?}", key.changes());
    // The replicas follow, and whoever split reads goes on.
    stage.cluster.healthy(PATRONI).await?;
    let client = Client::connect(&stage.proxy.split_config()).await?;
    client.batch_execute("INSERT INTO t VALUES (4)").await?;
    eventually("replicas serve reads on the new timeline", SOON, async || {
        let here = "SELECT current_setting('in_hot_standby') || count(*) FROM t";
        (client.text(here).await.ok()? == "on3").then_some(())
    })
    .await
}
