//! The leader is changed on purpose.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{
    Client, Login, Options, Report, Result, Stage, eventually, now, scenario, scenario_with,
};

use crate::outcome::{ADDED, PATRONI, ten_in_a_row, told_the_truth, watch};

/// No transaction of these clients takes as long as Patroni needs from the announcement to stopping PostgreSQL, so none
/// may hear of the switchover. Readers wait until there is a replica of the new timeline, which is Patroni's affair.
pub(crate) fn nobody_noticed(report: &Report) -> Result {
    let noticed = report.failures.first();
    ensure!(noticed.is_none(), "clients were told of a planned switchover: {noticed:?}");
    ensure!(report.partings.is_empty(), "clients lost their connections: {:?}", report.partings);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let asked = now();
        stage.cluster.switchover().await?;
        let change = watched.changes_leader(asked, ADDED).await?;
        nobody_noticed(&watched.end_after(stage, &change).await?)
    })
    .await
}

/// Patroni finds nobody to take over and clears the request; until then new transactions wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_that_patroni_gives_up() -> Result {
    scenario(Options::default(), async |stage| {
        let watched = watch(stage).await?;
        let old = watched.old.clone();
        let key = format!("/service/{}/failover", stage.cluster.options.scope);
        let asked = now();
        stage.cluster.etcd.put(&key, &format!(r#"{{"leader":"{old}","member":"node9"}}"#)).await?;
        eventually("new transactions are held", PATRONI, async || {
            stage.proxy.log().contains("about to step down").then_some(())
        })
        .await?;
        watched.writes_resume(now()).await?;
        let report = watched.end(stage, &old, asked).await?;
        let gap = report.longest_write_gap(asked);
        ensure!(
            gap < Duration::from_secs(8),
            "no write for {gap:?}: that is the bound and not Patroni's word"
        );
        told_the_truth(&report)?;
        nobody_noticed(&report)
    })
    .await
}

const TOKEN: &str = "[http]\ntoken = 'an operator and nobody else'";

/// `pgsteer switchover`, from the checkpoint ahead to the new leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_pgsteer_itself() -> Result {
    scenario_with(Options::default(), TOKEN, async |stage| {
        let granting = stage.cluster.leader().await?.superuser().await?;
        granting.batch_execute(&format!("GRANT pg_checkpoint TO {}", Login::MONITORING.user)).await?;
        // Who keeps a server and does nothing is not waited for.
        let keeper = Client::connect(&stage.proxy.write_config()).await?;
        keeper.batch_execute("CREATE TEMP TABLE kept (x int)").await?;
        let watched = watch(stage).await?;
        let asked = now();
        let said = stage.proxy.command(&["switchover"], PATRONI).await?;
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        println!("{out}{err}");
        ensure!(said.status.success(), "{out}{err}");
        for step in [
            "the leader has checkpointed",
            "nothing runs on the leader any more",
            "1 clients that run nothing lose what they keep",
            "takes writes",
        ] {
            ensure!(out.contains(step), "it did not say `{step}`: {out}");
        }
        let change = watched.changes_leader(asked, ADDED).await?;
        let report = watched.end_after(stage, &change).await?;
        nobody_noticed(&report)
    })
    .await
}

/// Patroni asks the candidate's own Patroni, and refuses where nobody answers for it. What is known beforehand it is not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_by_patroni_service_goes_on_with_the_old_leader() -> Result {
    scenario_with(Options::default(), TOKEN, async |stage| {
        let watched = watch(stage).await?;
        let old = watched.old.clone();
        let candidate = stage.cluster.sync_standby().await?.name.clone();
        let other = stage.cluster.async_standby().await?.name.clone();
        for (candidate, why) in
            [(&*other, "is no synchronous standby"), ("node9", "there is no member node9")]
        {
            let said = stage.proxy.command(&["switchover", "--candidate", candidate], PATRONI).await?;
            let err = String::from_utf8_lossy(&said.stderr);
            ensure!(!said.status.success() && err.contains(why), "{candidate}: {err}");
        }
        stage.cluster.node(&candidate)?.kill_patroni().await?;
        let asked = now();
        let said = stage.proxy.command(&["switchover", "--candidate", &candidate], PATRONI).await?;
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        println!("{out}{err}");
        ensure!(!said.status.success() && err.contains("Patroni refused"), "{out}{err}");
        ensure!(out.contains("no checkpoint ahead"), "{out}");
        watched.writes_resume(now()).await?;
        let report = watched.end(stage, &old, asked).await?;
        let gap = report.longest_write_gap(asked);
        ensure!(gap < Duration::from_secs(2), "no write for {gap:?}");
        nobody_noticed(&report)?;
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
        let report = ten_in_a_row(stage, cause, async |_: &mut Stage, _: &str| Ok(())).await?;
        nobody_noticed(&report)
    })
    .await
}
