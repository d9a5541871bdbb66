//! The leader is changed on purpose.

use pgsteer_testkit::{Options, Result, Stage, now, scenario};

use crate::outcome::{ADDED, ten_in_a_row, watch};

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
        let cause = async |stage: &mut Stage, _: &str| {
            let asked = now();
            stage.cluster.switchover().await?;
            Ok(asked)
        };
        ten_in_a_row(stage, cause, async |_: &mut Stage, _: &str| Ok(())).await
    })
    .await
}
