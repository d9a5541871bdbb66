//! Processes stop where they stand: no reset, no end of file, no answer.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Kind, Options, Result, scenario};

use crate::outcome::{ADDED, PATRONI, told_the_truth, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_node_freezes_and_wakes_up_deposed() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let old = watched.old.clone();
        let frozen = stage.cluster.node(&old)?.freeze().await?;
        let change = watched.changes_leader(frozen, ADDED).await?;

        // For a moment it still believes that it leads. Nothing may reach it.
        let thawed = stage.cluster.node(&old)?.thaw().await?;
        stage.cluster.healthy(Duration::from_secs(90)).await?;
        watched.writes_resume(thawed).await?;
        let report = watched.end_after(stage, &change).await?;
        let late = report.failures.iter().find(|failure| failure.kind == Kind::Write && failure.at >= thawed);
        ensure!(late.is_none(), "after it woke up: {late:?}");
        Ok(())
    })
    .await
}

/// It wakes up with a right to write that has long run out, towards a leader that has become a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgsteer_freezes_across_a_failover() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let asking = Client::connect(&stage.proxy.write_config()).await?;
        asking.batch_execute("SELECT 1").await?;
        let frozen = stage.proxy.freeze().await?;
        let new = stage.cluster.switchover().await?;
        watched.poller.new_leader(&watched.old, frozen, PATRONI).await?;
        stage.cluster.healthy(Duration::from_secs(60)).await?;

        let thawed = stage.proxy.thaw().await?;
        ensure!(asking.text("SELECT pg_is_in_recovery()").await? == "f", "writes were led to a standby");
        let late = thawed.elapsed();
        println!("answered {late:?} after it woke up");
        watched.writes_resume(thawed).await?;
        let report = watched.end(stage, &new, frozen).await?;
        told_the_truth(&report)?;
        ensure!(late < Duration::from_secs(1), "{late:?} until the first answer");
        Ok(())
    })
    .await
}
