//! The control: no pgsteer. What Patroni itself needs, and that the harness would notice a loss.

use std::time::Duration;

use pgsteer_testkit::{Cluster, Kind, Login, Options, Plan, Poller, Result, Verdict, Workload, now};
use tokio_postgres::config::TargetSessionAttrs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_straight_to_the_leader_survive_its_crash() -> Result {
    let begun = now();
    let mut cluster = Cluster::start(Options::default()).await?;
    println!("healthy after {:?}", begun.elapsed());
    let poller = Poller::start(&cluster);
    let key = cluster.watch_leader_key().await?;
    let mut anywhere = tokio_postgres::Config::new();
    for node in &cluster.nodes {
        anywhere.host(node.address.ip().to_string()).port(node.address.port());
    }
    anywhere.user(Login::TRADER.user).password(Login::TRADER.password).dbname(Cluster::DATABASE);
    let mut leaders = anywhere.clone();
    leaders.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let load = Workload::start(&leaders, &anywhere, Plan::default()).await?;

    let old = cluster.leader().await?.name.clone();
    let killed = cluster.node(&old)?.kill9().await?;
    println!("killing took {:?}", killed.elapsed());
    let (new, writable) = poller.new_leader(&old, killed, Duration::from_secs(60)).await?;
    for (at, leader) in key.changes() {
        println!("{:?} leader key: {leader:?}", at - killed);
    }
    println!("{:?} {new} writable", writable - killed);
    let report = pgsteer_testkit::eventually("a write succeeds", Duration::from_secs(20), async || {
        load.progress().first_write_after(writable)
    });
    println!("first write {:?} after", report.await? - writable);
    let report = load.finish().await?;
    println!(
        "{} acked {:?} {:?}",
        report.acknowledged.len(),
        report.by_sqlstate(Kind::Write),
        report.reconnects
    );
    let leader = Login::TRADER;
    let leader =
        pgsteer_testkit::Client::connect(&cluster.node(&new)?.config(leader, Cluster::DATABASE)).await?;
    let verdict = Verdict::of(&report, &leader).await?;
    println!("{verdict:?}");
    anyhow::ensure!(verdict.lost == 0);

    cluster.node(&old)?.start()?;
    let back = now();
    cluster.healthy(Duration::from_secs(60)).await?;
    println!("healthy again {:?} after restart", back.elapsed());
    let to = cluster.switchover().await?;
    println!("switchover to {to}");
    cluster.healthy(Duration::from_secs(60)).await?;
    println!("{:?}", poller.seen());
    Ok(())
}
