//! Again and again. Too long for every run: `cargo nextest run --profile full -E 'test(endurance::)'`.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Options, Result, now, scenario};

use crate::outcome::{ADDED, told_the_truth, watch};

/// The figure that the project is measured by, for leaders that die: each has Patroni's ttl of 20 s to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_crashes_in_a_row() -> Result {
    scenario(Options::default(), async |stage| {
        let mut watched = watch(stage).await?;
        let begun = now();
        let mut added = Vec::new();
        for _ in 0..10 {
            let killed = stage.cluster.node(&watched.old)?.kill9().await?;
            let change = watched.changes_leader(killed, ADDED).await?;
            added.push(change.added);
            stage.cluster.node(&watched.old)?.start()?;
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
