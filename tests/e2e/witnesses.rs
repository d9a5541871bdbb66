//! The control: no pgsteer. When this fails, it is the machine or the harness; and it says what Patroni itself needs.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Kind, Login, Options, Plan, Poller, Result, Verdict, Workload, eventually,
};
use tokio_postgres::config::TargetSessionAttrs;

use crate::outcome::PATRONI;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_straight_to_the_leader_survive_its_crash() -> Result {
    let mut cluster = Cluster::start(Options::default()).await?;
    let survived = straight_to_the_leader(&mut cluster).await;
    survived.inspect_err(|_| eprintln!("{}", cluster.sandbox.logs(40)))
}

async fn straight_to_the_leader(cluster: &mut Cluster) -> Result {
    let poller = Poller::start(cluster);
    let key = cluster.watch_leader_key().await?;
    let mut anywhere = tokio_postgres::Config::new();
    for node in &cluster.nodes {
        anywhere.host(node.address.ip().to_string()).port(node.address.port());
    }
    anywhere.user(Login::TRADER.user).password(Login::TRADER.password).dbname(Cluster::DATABASE);
    let mut leader = anywhere.clone();
    leader.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let load = Workload::start(&leader, &anywhere, Plan::default()).await?;

    let old = cluster.leader().await?.name.clone();
    let killed = cluster.node(&old)?.kill9().await?;
    let (new, writable) = poller.new_leader(&old, killed, PATRONI).await?;
    let first =
        eventually("a write succeeds", Duration::from_secs(20), async || load.first_write_after(writable));
    println!(
        "{new} took writes {:?} after the kill, the first write {:?} later",
        writable - killed,
        first.await? - writable
    );

    let named = key.changes().into_iter().find(|(_, leader)| leader.as_deref() == Some(&*new));
    let (named, _) = named.context("the store never named the new leader")?;
    ensure!(named > killed && named < writable, "the poller saw the new leader before the store named it");
    let report = load.finish().await?;
    let direct = cluster.node(&new)?.config(Login::TRADER, Cluster::DATABASE);
    let verdict = Verdict::of(&report, &Client::connect(&direct).await?).await?;
    println!("{verdict:?}, writers {:?}", report.by_sqlstate(Kind::Write));
    ensure!(verdict.is_good(), "{verdict:?}");
    ensure!(
        report.stayed_connected() < usize::from(report.clients),
        "nobody lost a connection to a killed node"
    );
    Ok(())
}
