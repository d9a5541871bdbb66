//! The leader is changed on purpose.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Options, Result, scenario};

use crate::outcome::{ADDED, PATRONI, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let asked = pgsteer_testkit::now();
        stage.cluster.switchover().await?;
        let outcome = watched.fails_over(stage, asked).await?;
        outcome.only_writes_in_flight_were_cut()
    })
    .await
}

/// The figure that the project is measured by, for a clean change of leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_switchovers_in_a_row() -> Result {
    scenario(Options::default(), async |stage| {
        let mut watched = watch(stage).await?;
        let mut added = Vec::new();
        for _ in 0..10 {
            let asked = pgsteer_testkit::now();
            let new = stage.cluster.switchover().await?;
            let (_, writable) = watched.poller.new_leader(&watched.old, asked, PATRONI).await?;
            added.push(watched.writes_resume(writable).await? - writable);
            stage.cluster.healthy(Duration::from_secs(60)).await?;
            watched.old = new;
        }
        added.sort();
        println!("added by pgsteer, sorted: {added:?}");
        let new = watched.old.clone();
        watched.end(stage, &new).await?;
        ensure!(added[4] <= Duration::from_millis(100), "the median is {:?}", added[4]);
        ensure!(added[9] <= ADDED, "the worst is {:?}", added[9]);
        Ok(())
    })
    .await
}
