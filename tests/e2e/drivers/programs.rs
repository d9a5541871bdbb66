//! The programs that come with PostgreSQL.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string};
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

async fn all(release: Release) -> Result {
    let single = Single::start(release, Door::Scram, "", OVERRIDES).await?;
    psql(&single).await?;
    pgbench(&single).await?;
    dump_and_restore(&single).await?;
    maintenance(&single).await
}

/// Runs a program; the answer is what it printed.
async fn run(
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

/// Every format, with several connections where there may be; what was restored dumps as the original does.
async fn dump_and_restore(single: &Single) -> Result {
    let [(_, directly), (_, through)] = single.both();
    let owner = Client::connect(&single.proxy.write_config()).await?;
    owner
        .batch_execute(
            "CREATE TABLE kinds (id serial PRIMARY KEY, t text, j jsonb, b bytea, tags text[]);
             INSERT INTO kinds (t, j, b, tags) SELECT 'Grüße ' || n, jsonb_build_object('n', n),
                 decode(md5(n::text), 'hex'), ARRAY['a', NULL, n::text] FROM generate_series(1, 5000) AS n;
             CREATE INDEX kinds_t ON kinds (t);
             CREATE VIEW few_kinds AS SELECT * FROM kinds WHERE id < 10;
             CREATE MATERIALIZED VIEW many_kinds AS SELECT * FROM kinds WHERE id > 10;
             CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
             SELECT lo_from_bytea(0, 'a large object')",
        )
        .await?;
    let folder = single.sandbox.folder();
    let original = dump(single, directly, Cluster::DATABASE).await?;
    ensure!(original.contains("COPY public.kinds"), "{original}");
    ensure!(dump(single, through, Cluster::DATABASE).await? == original, "the plain dump is another");
    for (format, jobs) in [("custom", "1"), ("directory", "3"), ("tar", "1")] {
        let file = folder.join(format!("dump.{format}")).display().to_string();
        run(single, "pg_dump", through, Login::TRADER, &["-F", format, "-j", jobs, "-f", &file]).await?;
        let restored = format!("restored_{format}");
        run(single, "createdb", through, Login::POSTGRES, &["-O", "trader", "-T", "template0", &restored])
            .await?;
        let jobs = if format == "tar" { "1" } else { "3" };
        let arguments = ["-d", &restored, "-j", jobs, "--exit-on-error", &file];
        run(single, "pg_restore", through, Login::TRADER, &arguments).await?;
        ensure!(
            dump(single, directly, &restored).await? == original,
            "{format}: what was restored is another"
        );
    }
    let file = folder.join("dump.sql");
    std::fs::write(&file, &original)?;
    run(single, "createdb", through, Login::POSTGRES, &["-O", "trader", "-T", "template0", "restored_plain"])
        .await?;
    let file = file.display().to_string();
    let arguments = ["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", "restored_plain", "-f", &file];
    run(single, "psql", through, Login::TRADER, &arguments).await?;
    ensure!(dump(single, directly, "restored_plain").await? == original, "what psql restored is another");
    let globals = run(single, "pg_dumpall", through, Login::POSTGRES, &["--globals-only"]).await?;
    let expected = run(single, "pg_dumpall", directly, Login::POSTGRES, &["--globals-only"]).await?;
    ensure!(without_keys(&globals) == without_keys(&expected), "{globals}");
    let restored = Client::connect(&connection_string(through, Login::TRADER, "restored_custom")).await?;
    ensure!(restored.text("SELECT twice(count(*)::int) FROM many_kinds").await? == "9980");
    Ok(())
}

async fn dump(single: &Single, at: SocketAddr, database: &str) -> Result<String> {
    let arguments = ["--restrict-key=same", "-d", database];
    // Releases before 2025 know no such key and write none.
    let arguments = if knows_restrict_key(single).await? { &arguments[..] } else { &arguments[1..] };
    run(single, "pg_dump", at, Login::TRADER, arguments).await
}

async fn knows_restrict_key(single: &Single) -> Result<bool> {
    let help = run(single, "pg_dump", single.server.address, Login::TRADER, &["--help"]).await?;
    Ok(help.contains("--restrict-key"))
}

/// pg_dumpall's output without what is drawn anew each time.
fn without_keys(text: &str) -> String {
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

async fn maintenance(single: &Single) -> Result {
    let to = single.proxy.write;
    for (name, arguments) in [
        ("vacuumdb", &["--analyze", "-j", "4"][..]),
        ("vacuumdb", &["--analyze-in-stages"]),
        ("vacuumdb", &["--full", "-t", "kinds"]),
        ("reindexdb", &["-j", "3", "-t", "kinds", "-t", "pgbench_accounts"]),
        ("reindexdb", &["--concurrently", "-i", "kinds_t"]),
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
    let analyzed =
        "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'kinds' AND last_analyze IS NOT NULL";
    ensure!(owner.text(analyzed).await? == "1", "vacuumdb analyzed nothing");
    Ok(())
}
