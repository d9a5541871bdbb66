//! A cluster that follows another one: reads work, writes are refused at once, until it is promoted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Moment, Options, Poller, Proxy, Release, Result, Sandbox, Server,
    connection_string, eventually, now,
};

use crate::outcome::PATRONI;

const SOON: Duration = Duration::from_secs(20);
/// Nobody may wait for something that nobody knows of when it will be.
const AT_ONCE: Duration = Duration::from_secs(1);
/// No key tells of a promotion: it is found by asking each `probe_interval` (500 ms), on a busy machine.
const FOUND: Duration = Duration::from_millis(500 + 500);

/// Where the proxies learn of it: from the store, and from Patroni's REST API alone.
const STORES: [(&str, &str); 2] =
    [("pgsteer", ""), ("pgsteer-by-rest", "[clusters.trading]\nstore = \"patroni\"\n")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_reads_and_refuses_writes_until_it_is_promoted() -> Result {
    let sandbox = Sandbox::new()?;
    let upstream = Server::start(&sandbox, Release::System, Door::Scram, "wal_keep_size = 256MB\n").await?;
    let cluster = Cluster::following(&upstream, Options::default()).await?;
    let mut proxies = Vec::new();
    for (part, keys) in STORES {
        let mut proxy = Proxy::launch(&cluster, part, keys)?;
        proxy.ready_for("/ready?route=read", SOON).await?;
        proxies.push(proxy);
    }
    let played = async {
        let owner = connection_string(upstream.address, Login::TRADER, Cluster::DATABASE);
        Client::connect(&owner).await?.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await?;
        for proxy in &proxies {
            reads_work(&cluster, proxy).await.context("reads")?;
            writes_are_refused(proxy).await.context("writes")?;
        }
        a_promotion(&cluster, &proxies).await.context("its promotion")
    };
    played.await.inspect_err(|_| eprintln!("{}", cluster.sandbox.logs(40)))
}

/// What the other cluster writes is read here, on the replicas; the standby leader is for when there is none.
async fn reads_work(cluster: &Cluster, proxy: &Proxy) -> Result {
    let leader = cluster.standby_leader().await?.address.ip().to_string();
    let nodes = cluster.nodes.iter().map(|node| node.address.ip().to_string());
    let replicas: BTreeSet<_> = nodes.filter(|address| *address != leader).collect();
    for config in [proxy.read_config(), proxy.split_config()] {
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

async fn writes_are_refused(proxy: &Proxy) -> Result {
    for config in [proxy.write_config(), proxy.split_config()] {
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

/// When the first write of a client was taken.
async fn first_write(writer: &Client) -> Result<Moment> {
    eventually("a write is taken", PATRONI, async || {
        writer.batch_execute("INSERT INTO t VALUES (3)").await.ok().map(|()| now())
    })
    .await
}

/// It changes no leader key.
async fn a_promotion(cluster: &Cluster, proxies: &[Proxy]) -> Result {
    let leader = cluster.standby_leader().await?.name.clone();
    let key = cluster.watch_leader_key().await?;
    let [by_etcd, by_rest] = proxies else { bail!("two proxies") };
    let writers =
        [Client::connect(&by_etcd.write_config()).await?, Client::connect(&by_rest.write_config()).await?];
    let (poller, asked) = (Poller::start(cluster), now());
    cluster.promote().await?;
    let written = tokio::try_join!(first_write(&writers[0]), first_write(&writers[1]))?;
    let (new, writable) = poller.new_leader("", asked, PATRONI).await?;
    let [by_etcd, by_rest] = [written.0, written.1].map(|at| at.saturating_duration_since(writable));
    println!(
        "{new} took writes {:?} after; by etcd {by_etcd:?} later, by REST {by_rest:?}",
        writable - asked
    );
    ensure!(new == leader, "{new} was promoted, not {leader}");
    ensure!(by_etcd < FOUND, "{by_etcd:?}");
    ensure!(key.changes().iter().all(|(_, named)| named.as_deref() == Some(&leader)), "{:?}", key.changes());
    // The replicas follow, and whoever splits reads goes on.
    cluster.healthy(PATRONI).await?;
    for proxy in proxies {
        let client = Client::connect(&proxy.split_config()).await?;
        client.batch_execute("INSERT INTO t VALUES (4)").await?;
        eventually("replicas serve reads on the new timeline", SOON, async || {
            let here = "SELECT current_setting('in_hot_standby') || (count(*) > 3) FROM t";
            (client.text(here).await.ok()? == "ontrue").then_some(())
        })
        .await?;
    }
    Ok(())
}
