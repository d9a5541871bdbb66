//! Other ways to run it: session pooling, and several clusters behind one pgsteer.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{
    Client, Cluster, Login, Options, Poller, Proxy, Result, Stage, connection_string, eventually, now,
    scenario_with,
};

use crate::outcome::PATRONI;

/// A client that owns a server loses it with its leader, and is told so; one that owns none stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_leader() -> Result {
    scenario_with(Options::default(), "[pool]\npool_mode = \"session\"\n", async |stage| {
        let owner = Client::connect(&stage.proxy.write_config()).await?;
        owner.batch_execute("SET application_name = 'mine'; CREATE TEMP TABLE t (n int)").await?;
        let newcomer = Client::connect(&stage.proxy.write_config()).await?;
        let pid = owner.text("SELECT pg_backend_pid()").await?;
        ensure!(pid == owner.text("SELECT pg_backend_pid()").await?, "its server changed");

        let old = stage.cluster.leader().await?.name.clone();
        let (poller, asked) = (Poller::start(&stage.cluster), now());
        stage.cluster.switchover().await?;
        poller.new_leader(&old, asked, PATRONI).await?;
        eventually("the owner's session ends", Duration::from_secs(5), async || {
            owner.batch_execute("SELECT 1").await.err()
        })
        .await?;
        let last = owner.farewell();
        ensure!(last.contains("57P01"), "the owner was told: {last}");
        ensure!(
            newcomer.text("SELECT pg_is_in_recovery()").await? == "f",
            "the newcomer is not on the leader"
        );
        Ok(())
    })
    .await
}

/// The failover of one is no business of the other's clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters() -> Result {
    let first = Cluster::start(Options::default()).await?;
    let second = Cluster::start(Options { scope: "settlement".to_owned(), ..Options::default() }).await?;
    let [write_first, write_second] = [first.sandbox.address(3, 6432)?, first.sandbox.address(3, 6433)?];
    let overrides = format!(
        r#"
        listen = [
            {{ address = "{write_first}", route = "write", cluster = "trading" }},
            {{ address = "{write_second}", route = "write", cluster = "settlement" }},
        ]
        [clusters.settlement]
        scope = "settlement"
        store = "etcd3"
        endpoints = ["{etcd}"]
        probe_user = "{user}"
        probe_password = "{password}"
        "#,
        etcd = second.etcd.address,
        user = Login::MONITORING.user,
        password = Login::MONITORING.password,
    );
    let proxy = Proxy::start_with(&first, &overrides).await?;
    let stage = Stage { proxy, cluster: first };
    let system = "SELECT system_identifier::text FROM pg_control_system()";
    let to = |address| connection_string(address, Login::TRADER, Cluster::DATABASE);
    let played = async {
        let clients = [Client::connect(&to(write_first)).await?, Client::connect(&to(write_second)).await?];
        for (client, cluster) in clients.iter().zip([&stage.cluster, &second]) {
            let own = cluster.leader().await?.superuser().await?.text(system).await?;
            ensure!(client.text(system).await? == own, "a client is on the wrong cluster");
        }
        let old = stage.cluster.leader().await?.name.clone();
        let (poller, asked) = (Poller::start(&stage.cluster), now());
        let switching = stage.cluster.switchover();
        let mut switching = std::pin::pin!(switching);
        loop {
            tokio::select! {
                switched = &mut switching => break switched.map(|_| ())?,
                answer = clients[1].text("SELECT pg_is_in_recovery()") => ensure!(answer? == "f"),
            }
        }
        poller.new_leader(&old, asked, PATRONI).await?;
        for client in &clients {
            ensure!(client.text("SELECT pg_is_in_recovery()").await? == "f", "a client is not on a leader");
        }
        Ok(())
    };
    let played = played.await;
    played.inspect_err(|_| eprintln!("{}", stage.cluster.sandbox.logs(40)))
}
