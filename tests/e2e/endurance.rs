//! Again and again. Too long for every run: `cargo nextest run --profile full -E 'test(endurance::)'`.

use pgsteer_testkit::{Options, Result, Stage, scenario};

use crate::outcome::ten_in_a_row;

/// The figure that the project is measured by, for leaders that die: each has Patroni's ttl of 20 s to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_crashes_in_a_row() -> Result {
    scenario(Options::default(), async |stage| {
        let cause = async |stage: &mut Stage, old: &str| stage.cluster.node(old)?.kill9().await;
        let mend = async |stage: &mut Stage, old: &str| stage.cluster.node(old)?.start();
        ten_in_a_row(stage, cause, mend).await?;
        Ok(())
    })
    .await
}
