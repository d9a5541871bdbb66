//! The leader is changed on purpose.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Options, Result, now, scenario};

use crate::outcome::{ADDED, told_the_truth, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let asked = now();
        stage.cluster.switchover().await?;
        let change = watched.changes_leader(asked, ADDED).await?;
        watched.end_after(stage, &change).await?;
        Ok(())
    })
    .await
}

/// The figure that the project is measured by, for a clean change of leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_switchovers_in_a_row() -> Result {
    scenario(Options::default(), async |stage| {
        let mut watched = watch(stage).await?;
        let begun = now();
        let mut added = Vec::new();
        for _ in 0..10 {
            let asked = now();
            stage.cluster.switchover().await?;
            let change = watched.changes_leader(asked, ADDED).await?;
            added.push(change.added);
            stage.cluster.healthy(Duration::from_secs(60)).await?;
            watched.old = change.new;
        }
        added.sort();
        println!("added by pgsteer, sorted: {added:?}");
        let new = watched.old.clone();
        told_the_truth(&watched.end(stage, &new, begun).await?)?;
        ensure!(added[4] <= Duration::from_millis(100), "the median is {:?}", added[4]);
        Ok(())
    })
    .await
}
