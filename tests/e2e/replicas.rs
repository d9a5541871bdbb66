//! What becomes of reads whose replica is lost, and of connections opened ahead on the next leader.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Options, Result, Stage, eventually, scenario_with};

const SOON: Duration = Duration::from_secs(20);

/// Reads only, and takes a while.
const SLOW: &str = "SELECT count(*)::text FROM generate_series(1, 3000000) a WHERE a % 7 = 3";
const SLOW_YIELDS: &str = "428572";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_reads_run_elsewhere_and_a_promotion_finds_connections_open() -> Result {
    scenario_with(Options::default(), "[pool]\nwarm_candidates = 1", async |stage| {
        reads_of_a_killed_replica(stage).await?;
        connections_over_a_promotion(stage).await
    })
    .await
}

async fn reads_of_a_killed_replica(stage: &Stage) -> Result {
    // What functions do is learnt behind the first read; from then on no read may fail.
    eventually("a killed read runs again", SOON, async || {
        let reader = Client::connect(&stage.proxy.read_config()).await.ok()?;
        killed(stage, &reader, SLOW, false).await.ok()
    })
    .await?;
    let reader = Client::connect(&stage.proxy.read_config()).await?;
    for named in [false, true] {
        let answer = killed(stage, &reader, SLOW, named).await?;
        ensure!(answer == SLOW_YIELDS, "{answer}");
    }
    ensure!(stage.proxy.metric("pgsteer_read_retries_total", "server_gone").await? >= 3.0, "not counted");
    // What might do more than read is its client's to repeat.
    let told = killed(stage, &reader, "SELECT pg_sleep(60)::text", false).await;
    ensure!(told.is_err(), "a volatile function was run again: {told:?}");
    Ok(())
}

/// Runs a statement, kills the backend that it runs on as soon as it does, and says what comes of it.
async fn killed(stage: &Stage, reader: &Client, sql: &str, named: bool) -> Result<String> {
    let victim = async {
        let replicas = stage.cluster.replicas().await?;
        let mut clients = Vec::new();
        for replica in replicas {
            clients.push(replica.superuser().await?);
        }
        let kill = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
            WHERE state = 'active' AND pid <> pg_backend_pid() AND (query LIKE '%a % 7 = 3%' OR query LIKE '%pg_sleep%')";
        eventually("the statement runs", SOON, async || {
            for client in &clients {
                if client.text(kill).await.ok()? == "1" {
                    return Some(());
                }
            }
            None
        })
        .await
    };
    let answer = async {
        if named {
            let statement = reader.prepare(sql).await?;
            Ok(reader.query_one(&statement, &[]).await?.get::<_, String>(0))
        } else {
            reader.text(sql).await
        }
    };
    let (answer, killed) = tokio::join!(answer, victim);
    killed?;
    answer
}

/// The connections of a user that a node has: process ids.
async fn backends(superuser: &Client, user: &str) -> Result<BTreeSet<String>> {
    let pids = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity";
    let sql = format!("{pids} WHERE usename = '{user}'");
    Ok(superuser.text(&sql).await?.split_whitespace().map(str::to_owned).collect())
}

async fn connections_over_a_promotion(stage: &Stage) -> Result {
    let mut config = stage.proxy.write_config();
    // Start-up settings of its own: servers are opened with the same.
    config.options("-c extra_float_digits=2");
    let user = config.get_user().context("no user")?.to_owned();
    let writer = Client::connect(&config).await?;
    writer.batch_execute("CREATE TABLE warm (a int)").await?;
    let candidate = stage.cluster.sync_standby().await?;
    let superuser = candidate.superuser().await?;
    eventually("connections are opened ahead", SOON, async || {
        let ahead = stage.proxy.metric("pgsteer_server_connections_ahead", &candidate.name).await.ok()?;
        let there = backends(&superuser, &user).await;
        let there = there.ok()?.len();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let enough = ahead >= 1.0 && there as f64 >= ahead;
        enough.then_some(())
    })
    .await?;
    let before = backends(&superuser, &user).await?;
    let leader = stage.cluster.switchover().await?;
    ensure!(leader == candidate.name, "{leader} leads, not {}", candidate.name);
    writer.batch_execute("INSERT INTO warm VALUES (1)").await?;
    let pid = writer.text("SELECT pg_backend_pid()::text").await?;
    ensure!(before.contains(&pid), "it writes on {pid}, which is none of {before:?}");
    for setting in ["transaction_read_only", "default_transaction_read_only", "in_hot_standby"] {
        let shown = writer.text(&format!("SHOW {setting}")).await?;
        ensure!(shown == "off", "{setting} is {shown} on a connection that was opened in recovery");
    }
    Ok(())
}
