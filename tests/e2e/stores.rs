//! Other stores than etcd's v3 API: the leader is found, a switchover is noticed, writes go on.

use std::time::Duration;

use pgsteer_testkit::{Options, Patroni, Result, Stage, Store, now, scenario, scenario_with};

use crate::outcome::{ADDED, watch};

async fn switches_over(stage: &mut Stage, bound: Duration) -> Result {
    let watched = watch(stage).await?;
    let asked = now();
    stage.cluster.switchover().await?;
    let change = watched.changes_leader(asked, bound).await?;
    watched.end_after(stage, &change).await?;
    Ok(())
}

/// No store is read.
const BY_REST: &str = "[clusters.trading]\nstore = \"patroni\"\n";

/// Nobody tells of a change: members are asked at intervals, and often once something broke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patronis_rest_api() -> Result {
    scenario_with(Options::default(), BY_REST, async |stage| {
        switches_over(stage, Duration::from_secs(1) + ADDED).await
    })
    .await
}

/// Patroni 3 calls the leader `master`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patroni_3() -> Result {
    let options = Options { patroni: Patroni::Three, ..Options::default() };
    scenario(options, async |stage| switches_over(stage, ADDED).await).await
}

/// The same, whose members are known by its REST API alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patroni_3_by_its_rest_api() -> Result {
    let options = Options { patroni: Patroni::Three, ..Options::default() };
    scenario_with(options, BY_REST, async |stage| switches_over(stage, Duration::from_secs(1) + ADDED).await)
        .await
}

async fn with_store(store: Store) -> Result {
    scenario(Options::default().with_store(store), async |stage| switches_over(stage, ADDED).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_by_its_v2_api() -> Result {
    with_store(Store::Etcd2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consul() -> Result {
    with_store(Store::Consul).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper() -> Result {
    with_store(Store::ZooKeeper).await
}
