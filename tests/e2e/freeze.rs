//! Processes stop where they stand: no reset, no end of file, no answer.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Options, Result, scenario};

use crate::outcome::{PATRONI, told_the_truth, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_node_freezes_and_wakes_up_deposed() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let second = watch(stage).await?; // goes on while the old leader wakes up
        let old = watched.old.clone();
        let frozen = stage.cluster.node(&old)?.freeze().await?;
        let outcome = watched.fails_over(stage, frozen).await?;
        outcome.only_writes_in_flight_were_cut()?;

        // For a moment it still believes that it leads. Nothing may reach it.
        let before = second.load.counts().failures;
        let thawed = stage.cluster.node(&old)?.thaw().await?;
        stage.cluster.healthy(Duration::from_secs(90)).await?;
        second.writes_resume(thawed).await?;
        let new = stage.cluster.leader().await?.name.clone();
        let report = second.end(stage, &new).await?;
        ensure!(report.failures.len() == before, "after it woke up: {:?}", report.failures.last());
        ensure!(outcome.named < thawed, "the store named another leader while it was frozen");
        Ok(())
    })
    .await
}

/// It wakes up with a right to write that has long run out, towards a leader that has become a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgsteer_freezes_across_a_failover() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let frozen = stage.proxy.freeze().await?;
        let new = stage.cluster.switchover().await?;
        watched.poller.new_leader(&watched.old, frozen, PATRONI).await?;
        stage.cluster.healthy(Duration::from_secs(60)).await?;

        let thawed = stage.proxy.thaw().await?;
        let first = watched.writes_resume(thawed).await?;
        println!("the first write {:?} after it woke up", first - thawed);
        let report = watched.end(stage, &new).await?;
        told_the_truth(&report)?;
        ensure!(first - thawed < Duration::from_secs(1), "{:?} until the first write", first - thawed);
        Ok(())
    })
    .await
}
