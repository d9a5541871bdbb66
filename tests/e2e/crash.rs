//! Processes die.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Options, Result, Stage, now, scenario};

use crate::outcome::{ADDED, Change, told_the_truth, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_node_dies() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let old = watched.old.clone();
        let killed = stage.cluster.node(&old)?.kill9().await?;
        let done = now();
        let change = Change { done, ..watched.changes_leader(killed, ADDED).await? };
        watched.end_after(stage, &change).await?;

        // It comes back as a standby and takes part in the reads.
        stage.cluster.node(&old)?.start()?;
        stage.cluster.healthy(Duration::from_secs(60)).await?;
        let node = stage.cluster.node(&old)?.address.ip().to_string();
        crate::reads::eventually_reads_from(stage, &node).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backend_is_terminated_and_nobody_else_notices() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let (victim, pid) = client_in_transaction(stage).await?;
        let leader = stage.cluster.leader().await?;
        let at = now();
        leader.superuser().await?.text(&format!("SELECT pg_terminate_backend({pid})")).await?;
        let Err(told) = victim.batch_execute("SELECT 1").await else {
            anyhow::bail!("the victim noticed nothing")
        };
        let (state, words) = victim.words(&told);
        ensure!(state == "57P01", "the victim was told: {words}");

        watched.writes_resume(now()).await?;
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, at).await?;
        ensure!(report.failures.is_empty(), "others were told: {:?}", report.failures.first());
        ensure!(report.partings.is_empty(), "others lost their connection: {:?}", report.partings);
        let gap = report.longest_write_gap(at);
        ensure!(gap < Duration::from_millis(250), "writes stood still for {gap:?}");
        Ok(())
    })
    .await
}

/// PostgreSQL itself ends every other backend when one is killed by a signal, and recovers: that is not a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backend_is_killed_and_the_leader_stays() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let (_victim, pid) = client_in_transaction(stage).await?;
        let leader = stage.cluster.leader().await?;
        let killed = now();
        leader.kill_backend(pid)?;
        // Down first, then up again: the poller sees both.
        pgsteer_testkit::eventually("PostgreSQL has recovered", Duration::from_secs(30), async || {
            let mut seen = watched.poller.seen().into_iter().filter(|seen| seen.at > killed);
            (seen.any(|seen| !seen.writable) && seen.any(|seen| seen.writable)).then_some(())
        })
        .await?;
        let writable = watched.poller.seen().last().map_or(killed, |seen| seen.at);
        let asking = Client::connect(&stage.proxy.write_config()).await?;
        ensure!(asking.text("SELECT pg_is_in_recovery()").await? == "f");
        let late = now() - writable;
        println!("recovered after {:?}, reachable {late:?} later", writable - killed);
        ensure!(late <= ADDED, "the leader was reachable {late:?} late");
        // Commits wait until the synchronous standby has found its leader again.
        watched.writes_resume(writable).await?;
        ensure!(stage.cluster.leader().await?.name == watched.old, "another node leads");
        let leader = watched.old.clone();
        let report = watched.end(stage, &leader, killed).await?;
        told_the_truth(&report)?;
        Ok(())
    })
    .await
}

/// A client that has begun a transaction, and the backend that runs it.
async fn client_in_transaction(stage: &Stage) -> Result<(Client, i32)> {
    let client = Client::connect(&stage.proxy.write_config()).await?;
    client.batch_execute("BEGIN").await?;
    let pid = client.text("SELECT pg_backend_pid()").await?.parse()?;
    Ok((client, pid))
}
