//! How faults are caused and mended.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{CLIENTS, Moment, Result, now};
use serde_json::json;

use crate::scenario::{Component, Fault, Loss, PROXIES_STORE, Side};
use crate::stage::Stage;

/// Longer than Patroni takes for a switchover.
const SWITCHOVER: Duration = Duration::from_secs(60);

/// Does it; the answer is when. `leader` is who leads now.
pub(crate) async fn cause(fault: Fault, stage: &mut Stage, leader: &str) -> Result<Moment> {
    let begun = now();
    match fault {
        Fault::Kill => return stage.cluster.node(leader)?.kill9().await,
        Fault::FreezeNode => return stage.cluster.node(leader)?.freeze().await,
        Fault::FreezePatroni => return stage.cluster.node(leader)?.freeze_patroni(),
        Fault::Lose(losses) => lose(stage, leader, losses)?,
        Fault::Switchover => drop(stage.cluster.switchover().await?),
        Fault::UnseenSwitchover => {
            lose(stage, leader, PROXIES_STORE)?;
            stage.cluster.switchover().await?;
        }
        Fault::OwnSwitchover => {
            let said = stage.proxy.command(&["switchover"], SWITCHOVER).await?;
            ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
        Fault::Restart(component) => return restart(component, stage, leader).await,
    }
    Ok(begun)
}

/// Undoes it.
pub(crate) async fn mend(fault: Fault, stage: &mut Stage, leader: &str) -> Result {
    match fault {
        Fault::Kill => stage.cluster.node(leader)?.start(),
        Fault::FreezeNode | Fault::FreezePatroni => stage.cluster.node(leader)?.thaw().await.map(drop),
        Fault::Lose(_) | Fault::UnseenSwitchover => stage.cluster.sandbox.network()?.mend(),
        Fault::Switchover | Fault::OwnSwitchover | Fault::Restart(_) => Ok(()),
    }
}

fn lose(stage: &Stage, leader: &str, losses: &[Loss]) -> Result {
    let hosts = |side| -> Vec<u8> {
        let nodes = |wanted: fn(&str, &str) -> bool| {
            let found = stage.cluster.nodes.iter().filter(move |node| wanted(&node.name, leader));
            found.map(pgsteer_testkit::Node::host).collect()
        };
        match side {
            Side::Leader => nodes(|name, leader| name == leader),
            Side::Standbys => nodes(|name, leader| name != leader),
            Side::Store => vec![1],
            Side::Proxies if stage.peers.is_some() => vec![2, 3],
            Side::Proxies => vec![2],
            Side::Clients => vec![CLIENTS],
        }
    };
    let network = stage.cluster.sandbox.network()?;
    for loss in losses {
        for from in hosts(loss.from) {
            hosts(loss.to).into_iter().try_for_each(|to| network.lose(from, to, loss.percent))?;
        }
    }
    Ok(())
}

async fn restart(component: Component, stage: &mut Stage, leader: &str) -> Result<Moment> {
    let at = now();
    match component {
        Component::Store => {
            let at = stage.cluster.etcd.stop().await?;
            stage.cluster.etcd.start().await?;
            return Ok(at);
        }
        Component::Patroni => {
            let node = stage.cluster.node(leader)?;
            node.kill_patroni().await?;
            node.start()?;
        }
        Component::PostgreSql => {
            let answer = stage.cluster.node(leader)?.rest("POST", "/restart", &json!({})).await?;
            ensure!(answer.status == 200, "restart: {} {}", answer.status, answer.body);
        }
        Component::CrashedPostgreSql => return stage.cluster.node(leader)?.crash_postgresql(),
        Component::Proxies => {
            let (own, others) = tokio::join!(stage.proxy.restart(), async {
                match &mut stage.peers {
                    Some(peers) => peers.restart().await,
                    None => Ok(()),
                }
            });
            others?;
            return own;
        }
        Component::Replica => {
            let name = stage.cluster.sync_standby().await?.name.clone();
            let node = stage.cluster.node(&name)?;
            let at = node.kill9().await?;
            node.start()?;
            return Ok(at);
        }
    }
    Ok(at)
}
