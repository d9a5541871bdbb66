//! Stolon's record in a real etcd. Stolon itself is played: what its sentinel writes is written here.

use std::time::Duration;

use etcd_client::Client;
use pgsteer::cluster::store::{
    policy::{Reach, StorePolicy},
    stolon::StolonStore,
};
use serde_json::json;

use super::{Watched, etcd_node::Etcd, leader_is, nothing, reach};

/// What the sentinel writes when `master` is whom proxies are to lead to.
fn record(master: &str) -> String {
    let database = |keeper: &str, port: &str| {
        json!({
            "spec": { "keeperUID": keeper, "role": if master == keeper { "master" } else { "standby" } },
            "status": { "healthy": true, "listenAddress": "127.0.0.1", "port": port, "systemdID": "7" },
        })
    };
    let databases: serde_json::Map<String, serde_json::Value> = [("n1", "6001"), ("n2", "6002")]
        .map(|(keeper, port)| (keeper.to_owned(), database(keeper, port)))
        .into_iter()
        .collect();
    json!({
        "formatVersion": 1,
        "cluster": { "spec": {} },
        "dbs": databases,
        "proxy": { "spec": { "masterDbUid": master } },
    })
    .to_string()
}

async fn put(client: &mut Client, key: &str, value: String) {
    client.put(key, value, None).await.unwrap();
}

fn policy(etcd: &Etcd, namespace: &str, reread: Duration) -> StorePolicy {
    let Reach { policy, .. } = reach(&[etcd.endpoint()], reread);
    StorePolicy { namespace: namespace.to_owned(), ..policy }
}

fn watch(policy: StorePolicy) -> Watched {
    Watched::start(|clock| Ok(StolonStore::new(policy, clock)))
}

#[tokio::test]
async fn the_watch_is_fast_and_a_reading_gives_a_short_right() {
    let etcd = Etcd::start().await;
    let mut client = Client::connect([etcd.endpoint()], None).await.unwrap();
    put(&mut client, "stolon/cluster/demo/clusterdata", record("n1")).await;
    let reread = Duration::from_secs(30);
    let mut store = watch(policy(&etcd, "stolon/cluster/", reread));
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 2));
    let key = first.leader.unwrap();
    assert!(key.right_until.unwrap().since(first.asked_at) >= reread, "{key:?}");

    store
        .follows(&key, ["n2", "n1", "n2"], async |leader| {
            put(&mut client, "stolon/cluster/demo/clusterdata", record(leader.unwrap_or_default())).await;
        })
        .await;
}

#[tokio::test]
async fn a_frozen_etcd_is_lost_and_found_again() {
    let etcd = Etcd::start().await;
    let mut client = Client::connect([etcd.endpoint()], None).await.unwrap();
    put(&mut client, "/mine/demo/clusterdata", record("n1")).await;
    let mut store = watch(policy(&etcd, "/mine/", Duration::from_millis(200)));
    store.read("first reading", leader_is("n1")).await;
    store.outlives_a_freeze(&etcd.child, Duration::from_secs(4)).await;
}

#[tokio::test]
async fn where_there_is_no_record_it_says_what_there_is() {
    let etcd = Etcd::start().await;
    let mut client = Client::connect([etcd.endpoint()], None).await.unwrap();
    let mut store = watch(policy(&etcd, "stolon/cluster/", Duration::from_millis(200)));
    let found = store.next("nothing", nothing).await;
    assert!(found.contains("no stolon/cluster/demo/clusterdata, nor any other cluster"), "{found}");
    put(&mut client, "stolon/cluster/other/clusterdata", record("n1")).await;
    store.next("other", |event| nothing(event).filter(|found| found.contains("the clusters other."))).await;
    put(&mut client, "stolon/cluster/demo/clusterdata", "{\"formatVersion\":9}".to_owned()).await;
    let reason = store.lost().await;
    assert!(reason.contains("its format is 9"), "{reason}");
    put(&mut client, "stolon/cluster/demo/clusterdata", record("n2")).await;
    store.read("the cluster, once it can be read", leader_is("n2")).await;
}

#[tokio::test]
async fn a_user_and_a_password() {
    let etcd = Etcd::start().await;
    let mut client = Client::connect([etcd.endpoint()], None).await.unwrap();
    put(&mut client, "stolon/cluster/demo/clusterdata", record("n1")).await;
    client.user_add("root", "secret", None).await.unwrap();
    client.role_add("root").await.ok();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    let watch_as = |password: &str| {
        let mut policy = policy(&etcd, "stolon/cluster/", Duration::from_millis(100));
        policy.login = Some(("root".to_owned(), password.to_owned()));
        watch(policy)
    };
    let reason = watch_as("hunter2").lost().await;
    assert!(reason.contains("authentication failed") && !reason.contains("hunter2"), "{reason}");
    watch_as("secret").read("reading as root", leader_is("n1")).await;
}
