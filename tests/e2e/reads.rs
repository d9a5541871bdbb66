//! Which replicas serve reads, and how old what they say may be.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Options, Result, Stage, eventually, scenario};
use tokio::task::JoinHandle;

/// The shipped bound on a replica's lag, two probe intervals, and what the machine itself may be late.
const OLDEST_READ: Duration = Duration::from_millis(1000 + 2 * 500 + 500);
const SOON: Duration = Duration::from_secs(20);
/// What a reader may hear whose server died while it worked for him: the connection broke, with or without a statement under
/// way (which may be a write: a replica can be promoted), or the server's own last words.
const READ_LOST: [&str; 3] = ["08006", "08007", "57P01"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_replica_leaves_the_reads_and_comes_back() -> Result {
    scenario(Options::default(), async |stage| {
        let lagging = stage.cluster.async_standby().await?;
        let lagging_ip = lagging.address.ip().to_string();
        let other_ip = stage.cluster.sync_standby().await?.address.ip().to_string();
        let both = BTreeSet::from([lagging_ip, other_ip.clone()]);
        reads_come_from(stage, &both).await?;

        let beating = heartbeat(stage).await?;
        let ages = Client::connect(&stage.proxy.read_config()).await?;
        lagging.freeze_replay().await?;
        let only_the_other = async { reads_come_from(stage, &BTreeSet::from([other_ip])).await };
        let oldest = oldest_read_while(&ages, only_the_other).await?;
        println!("the oldest read was {oldest:?} old");
        ensure!(oldest <= OLDEST_READ, "a read was {oldest:?} old");

        lagging.thaw_replay().await?;
        let oldest = oldest_read_while(&ages, reads_come_from(stage, &both)).await?;
        ensure!(oldest <= OLDEST_READ, "a read was {oldest:?} old after the replica came back");
        beating.abort();
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_when_a_replica_dies() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = crate::outcome::watch(stage).await?;
        let dying = stage.cluster.async_standby().await?.name.clone();
        let killed = stage.cluster.node(&dying)?.kill9().await?;
        watched.writes_resume(killed).await?;
        let left = stage.cluster.sync_standby().await?.address.ip().to_string();
        reads_come_from(stage, &BTreeSet::from([left])).await?;
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, killed).await?;
        let gap = report.longest_read_gap(killed);
        ensure!(gap < Duration::from_secs(1), "no read was answered for {gap:?}");
        let written = report.failures.iter().find(|failure| failure.kind != pgsteer_testkit::Kind::Read);
        ensure!(written.is_none(), "a client that did not read was told: {written:?}");
        ensure!(report.reads.iter().all(|read| read.1), "a read was answered by the leader");
        for failure in &report.failures {
            ensure!(READ_LOST.contains(&failure.sqlstate.as_str()), "a reader was told: {failure:?}");
            let own = report.failures.iter().filter(|other| other.client == failure.client).count();
            ensure!(own == 1, "client {} was told of one death {own} times", failure.client);
        }
        Ok(())
    })
    .await
}

/// Waits until reads come from this node too.
pub(crate) async fn eventually_reads_from(stage: &Stage, ip: &str) -> Result {
    let client = Client::connect(&stage.proxy.read_config()).await?;
    eventually(&format!("reads come from {ip}"), SOON, async || {
        (client.text("SELECT host(inet_server_addr())").await.ok()? == ip).then_some(())
    })
    .await
}

/// Waits until twenty reads in a row come from these nodes, each of them, and no other.
async fn reads_come_from(stage: &Stage, expected: &BTreeSet<String>) -> Result {
    let client = Client::connect(&stage.proxy.read_config()).await?;
    let mut last = BTreeSet::new();
    let waited = eventually("reads come from the right replicas", SOON, async || {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            seen.insert(client.text("SELECT host(inet_server_addr())").await.ok()?);
        }
        last = seen;
        (last == *expected).then_some(())
    });
    waited.await.with_context(|| format!("expected {expected:?}, they came from {last:?}"))
}

/// Writes the time into a row, through pgsteer, as fast as it is confirmed.
async fn heartbeat(stage: &Stage) -> Result<JoinHandle<()>> {
    let client = Client::connect(&stage.proxy.write_config()).await?;
    client.batch_execute("CREATE TABLE heartbeat AS SELECT clock_timestamp() AS at").await?;
    stage.cluster.caught_up(SOON).await?;
    Ok(tokio::spawn(async move {
        while client.batch_execute("UPDATE heartbeat SET at = clock_timestamp()").await.is_ok() {}
    }))
}

/// Reads the time in the row until `until` ends; the answer is the worst age, by the replica's own clock.
async fn oldest_read_while(client: &Client, until: impl Future<Output = Result>) -> Result<Duration> {
    let mut until = std::pin::pin!(until);
    let mut oldest = Duration::ZERO;
    let age = "SELECT (extract(epoch FROM clock_timestamp() - at) * 1000)::int::text FROM heartbeat";
    loop {
        tokio::select! {
            biased;
            done = &mut until => {
                done?;
                return Ok(oldest);
            }
            milliseconds = client.text(age) => {
                oldest = oldest.max(Duration::from_millis(milliseconds?.parse().unwrap_or(0)));
            }
        }
    }
}
