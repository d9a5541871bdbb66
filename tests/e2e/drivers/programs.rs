//! The programs that come with PostgreSQL.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single};
use tokio::process::Command;

use super::every::OVERRIDES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_systems_release() -> Result {
    all(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql_18() -> Result {
    all(Release::Eighteen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql_19() -> Result {
    all(Release::Nineteen).await
}

async fn all(release: Release) -> Result {
    let single = Single::start(release, Door::Scram, "", OVERRIDES).await?;
    psql(&single).await?;
    pgbench(&single).await?;
    maintenance(&single).await?;
    backup(&single).await
}

/// Runs a program; the answer is what it printed.
pub(super) async fn run(
    single: &Single,
    name: &str,
    to: SocketAddr,
    login: Login,
    arguments: &[&str],
) -> Result<String> {
    let mut command = Command::new(single.server.programs.join(name));
    command.args(arguments).env("PGHOST", to.ip().to_string()).env("PGPORT", to.port().to_string());
    command.env("PGUSER", login.user).env("PGPASSWORD", login.password).env("PGDATABASE", Cluster::DATABASE);
    command.env("LC_ALL", "C");
    let what = || format!("{name} {arguments:?}");
    let said = tokio::time::timeout(Duration::from_secs(120), command.kill_on_drop(true).output());
    let said = said.await.with_context(what)?.with_context(what)?;
    let [out, err] = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(said.status.success(), "{}: {}\n{out}{err}", what(), said.status);
    Ok(out + &err)
}

/// What psql shows of everything it can do is the same, directly and through pgsteer, five times at once.
async fn psql(single: &Single) -> Result {
    let [(_, directly), (_, through)] = single.both();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/psql.sql");
    let script = script.to_str().context("the script's path")?.to_owned();
    let play = |to, number: usize| {
        let (script, schema) = (script.clone(), format!("schema=psql_{number}"));
        async move {
            let arguments = ["-X", "-v", &schema, "-v", "VERBOSITY=verbose", "-f", &script];
            let shown = run(single, "psql", to, Login::TRADER, &arguments).await?;
            anyhow::Ok(shown.replace(&format!("psql_{number}"), "psql_N"))
        }
    };
    let expected = play(directly, 0).await?;
    ensure!(expected.contains("the end is reached"), "{expected}");
    let shown = try_join_all((1..=5).map(|number| play(through, number))).await?;
    for one in shown {
        let different = expected.lines().zip(one.lines()).find(|(expected, shown)| expected != shown);
        ensure!(different.is_none(), "psql shows (directly, through pgsteer): {different:#?}");
        ensure!(expected.len() == one.len(), "psql shows more or less: {one}");
    }
    Ok(())
}

async fn pgbench(single: &Single) -> Result {
    let to = single.proxy.write;
    run(single, "pgbench", to, Login::TRADER, &["-i", "-q", "-s", "1"]).await?;
    let script = single.sandbox.folder().join("pipeline.sql");
    let pipeline = "\\set n random(1, 1000)\n\\startpipeline\nSELECT :n;\nSELECT 1 + :n;\n\\endpipeline\n";
    std::fs::write(&script, pipeline)?;
    let script = script.to_str().context("the script's path")?;
    for mode in ["simple", "extended", "prepared"] {
        // A thread for each client: pgbench waits for each statement to be prepared, all the clients of a thread with it,
        // and that includes those whose transactions hold the servers.
        for what in [&["-c", "16", "-b", "tpcb-like"][..], &["-c", "16", "-S"], &["-c", "3", "-C", "-S"]] {
            let arguments = [&["-n", "-M", mode, "-j", "16", "-t", "40"], what].concat();
            finished(&run(single, "pgbench", to, Login::TRADER, &arguments).await?)?;
        }
        if mode != "simple" {
            let arguments = ["-n", "-M", mode, "-c", "16", "-j", "16", "-t", "20", "-f", script];
            finished(&run(single, "pgbench", to, Login::TRADER, &arguments).await?)?;
        }
    }
    let owner = Client::connect(&single.proxy.write_config()).await?;
    let sums =
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)";
    ensure!(owner.text(sums).await? == "t", "the accounts do not add up");
    Ok(())
}

fn finished(said: &str) -> Result {
    let of = "number of transactions actually processed: ";
    let done = said.lines().find_map(|line| line.strip_prefix(of)).with_context(|| said.to_owned())?;
    let (done, all) = done.split_once('/').with_context(|| said.to_owned())?;
    ensure!(done == all && said.contains("number of failed transactions: 0 (0.000%)"), "{said}");
    Ok(())
}

async fn maintenance(single: &Single) -> Result {
    let to = single.proxy.write;
    for (name, arguments) in [
        ("vacuumdb", &["--analyze", "-j", "4"][..]),
        ("vacuumdb", &["--analyze-in-stages"]),
        ("vacuumdb", &["--full", "-t", "pgbench_tellers"]),
        ("reindexdb", &["-j", "3", "-t", "pgbench_tellers", "-t", "pgbench_accounts"]),
        ("reindexdb", &["--concurrently", "-i", "pgbench_branches_pkey"]),
        ("clusterdb", &[]),
    ] {
        run(single, name, to, Login::TRADER, arguments).await?;
    }
    run(single, "vacuumdb", to, Login::POSTGRES, &["--all", "-j", "3"]).await?;
    run(single, "createuser", to, Login::POSTGRES, &["newcomer"]).await?;
    run(single, "dropuser", to, Login::POSTGRES, &["newcomer"]).await?;
    run(single, "pg_amcheck", to, Login::POSTGRES, &["--install-missing", "-j", "3"]).await?;
    let ready = run(single, "pg_isready", to, Login::TRADER, &[]).await?;
    ensure!(ready.contains("accepting connections"), "{ready}");
    let owner = Client::connect(&single.proxy.write_config()).await?;
    let analyzed = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'pgbench_accounts' AND last_analyze IS NOT NULL";
    ensure!(owner.text(analyzed).await? == "1", "vacuumdb analyzed nothing");
    Ok(())
}

/// A backup of the whole server, with the WAL that was written meanwhile, is one that PostgreSQL accepts.
async fn backup(single: &Single) -> Result {
    let folder = single.sandbox.folder().join("backup");
    let folder = folder.to_str().context("the folder's name")?;
    let arguments = ["-D", folder, "-X", "stream", "-c", "fast", "--manifest-checksums=SHA256"];
    run(single, "pg_basebackup", single.proxy.write, Login::TRADER, &arguments).await?;
    let verified = run(single, "pg_verifybackup", single.proxy.write, Login::TRADER, &[folder]).await?;
    ensure!(verified.contains("backup successfully verified"), "{verified}");
    Ok(())
}
