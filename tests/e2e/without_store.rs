//! `store = "none"`: the servers themselves are asked who leads.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Options, Result, eventually, now, scenario_with};

use crate::outcome::{Change, watch};

const NO_STORE: &str = "[clusters.trading]\nstore = \"none\"\n";
/// Nobody says when to ask: two rounds of probes, and one that a dead server does not answer.
const FOUND: Duration = Duration::from_millis(2 * 500 + 1000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_node_dies() -> Result {
    scenario_with(Options::default(), NO_STORE, async |stage| {
        let watched = watch(stage).await?;
        let old = watched.old.clone();
        let killed = stage.cluster.node(&old)?.kill9().await?;
        let done = now();
        let change = Change { done, ..watched.changes_leader(killed, FOUND).await? };
        watched.end_after(stage, &change).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover() -> Result {
    scenario_with(Options::default(), NO_STORE, async |stage| {
        let watched = watch(stage).await?;
        let asked = now();
        stage.cluster.switchover().await?;
        let change = watched.changes_leader(asked, FOUND).await?;
        watched.end_after(stage, &change).await?;
        Ok(())
    })
    .await
}

/// With one server of three nobody can say that it is the only leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_is_not_believed() -> Result {
    let overrides = format!("{NO_STORE}[pool]\nleader_wait_timeout = \"2s\"\n");
    scenario_with(Options::default(), &overrides, async |stage| {
        let client = Client::connect(&stage.proxy.write_config()).await?;
        client.batch_execute("SELECT 1").await?;
        for name in stage.cluster.replicas().await?.iter().map(|node| node.name.clone()).collect::<Vec<_>>() {
            stage.cluster.node(&name)?.kill9().await?;
        }
        let refused = eventually("a write is refused", Duration::from_secs(15), async || {
            client.batch_execute("SELECT 1").await.err().map(|error| pgsteer_testkit::sqlstate(&error))
        })
        .await?;
        ensure!(refused == "57P03", "the client was told {refused}");
        Ok(())
    })
    .await
}
