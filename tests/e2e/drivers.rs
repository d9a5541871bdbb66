//! Real clients, as people run them.

mod dumps;
mod every;
mod programs;
mod rust;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{SinkExt, TryStreamExt};
use pgsteer_testkit::{Client, Cluster, Login, Options, Proxy, Result, Stage, scenario, sqlstate};
use tokio::process::Command;
use tokio_postgres::NoTls;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_pgbench_psycopg_and_tokio_postgres() -> Result {
    scenario(Options::default(), async |stage| {
        psql(stage).await?;
        pgbench(stage).await?;
        psycopg(stage).await?;
        tokio_postgres_statements(stage).await?;
        tokio_postgres_copy(stage).await?;
        tokio_postgres_cancel(stage).await
    })
    .await
}

/// No password is stored: the client's own SCRAM keys open the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_verifiers_only() -> Result {
    let cluster = Cluster::start(Options::default()).await?;
    let superuser = cluster.leader().await?.superuser().await?;
    let user = Login::TRADER.user;
    let verifier =
        superuser.text(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")).await?;
    let part = cluster.sandbox.part("pgsteer")?;
    part.write("verifiers.txt", &format!("\"{user}\" \"{verifier}\"\n"))?;
    let proxy = Proxy::start_with(&cluster, "[auth]\nauth_file = \"verifiers.txt\"").await?;
    let mut stage = Stage { proxy, cluster };
    let played = async {
        psql(&stage).await?;
        let mut wrong = stage.proxy.write_config();
        wrong.password("wrong");
        let refused = Client::try_connect(&wrong, Duration::from_secs(5)).await.err();
        ensure!(refused.as_deref() == Some("28P01"), "a wrong password: {refused:?}");
        let unknown = stage.proxy.write_config().user("nobody").to_owned();
        let refused = Client::try_connect(&unknown, Duration::from_secs(5)).await.err();
        ensure!(refused.as_deref() == Some("28P01"), "an unknown user: {refused:?}");
        let elsewhere = stage.proxy.write_config().dbname("nowhere").to_owned();
        let refused = Client::try_connect(&elsewhere, Duration::from_secs(5)).await.err();
        ensure!(refused.as_deref() == Some("3D000"), "an unknown database: {refused:?}");
        Ok(())
    };
    let played = played.await;
    stage.proxy.stop(Duration::from_secs(10)).await?;
    played.inspect_err(|_| eprintln!("{}", stage.cluster.sandbox.logs(40)))
}

/// Runs a program of PostgreSQL's, or Python, against an address; the answer is what it printed.
async fn run(program: &Path, to: SocketAddr, arguments: &[&str]) -> Result<String> {
    let Login { user, password } = Login::TRADER;
    let mut command = Command::new(program);
    command.args(arguments).env("PGHOST", to.ip().to_string()).env("PGPORT", to.port().to_string());
    command.env("PGUSER", user).env("PGPASSWORD", password).env("PGDATABASE", Cluster::DATABASE);
    let what = || format!("{} {arguments:?}", program.display());
    let said = tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output());
    let said = said.await.with_context(what)?.with_context(what)?;
    let [out, err] = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(said.status.success(), "{}: {}\n{out}{err}", what(), said.status);
    Ok(out + &err)
}

async fn psql(stage: &Stage) -> Result {
    let program = stage.cluster.sandbox.machine.postgres_program("psql");
    let ask = async |to, sql| run(&program, to, &["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]).await;
    let written = ask(
        stage.proxy.write,
        "CREATE TABLE p AS SELECT generate_series(1, 1000) AS n; SELECT count(*) FROM p",
    );
    ensure!(written.await?.trim() == "1000");
    stage.cluster.caught_up(Duration::from_secs(20)).await?;
    let read = ask(stage.proxy.read, "SELECT count(*), pg_is_in_recovery() FROM p").await?;
    ensure!(read.trim() == "1000|t", "the read route said {read}");
    let refused = ask(stage.proxy.read, "DELETE FROM p").await.err().context("a replica took a write")?;
    ensure!(format!("{refused}").contains("read-only"), "{refused}");
    let described = run(&program, stage.proxy.write, &["-X", "-c", "\\d p", "-c", "DROP TABLE p"]).await?;
    ensure!(described.contains("Table \"public.p\""), "{described}");
    Ok(())
}

async fn pgbench(stage: &Stage) -> Result {
    let program = stage.cluster.sandbox.machine.postgres_program("pgbench");
    run(&program, stage.proxy.write, &["-i", "-q", "-s", "1"]).await?;
    stage.cluster.caught_up(Duration::from_secs(20)).await?;
    for mode in ["simple", "extended", "prepared"] {
        let writes = ["-n", "-M", mode, "-c", "16", "-j", "2", "-T", "3"];
        no_transaction_failed(&run(&program, stage.proxy.write, &writes).await?)?;
        let reads = ["-n", "-S", "-M", mode, "-c", "16", "-j", "2", "-T", "2"];
        no_transaction_failed(&run(&program, stage.proxy.read, &reads).await?)?;
    }
    let bookkeeping = Client::connect(&stage.proxy.write_config()).await?;
    let sums =
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)";
    ensure!(bookkeeping.text(sums).await? == "t", "the accounts do not add up");
    Ok(())
}

fn no_transaction_failed(said: &str) -> Result {
    ensure!(said.contains("number of failed transactions: 0 (0.000%)"), "{said}");
    let done = said.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "));
    let done: u32 = done.with_context(|| said.to_owned())?.trim().parse()?;
    ensure!(done > 100, "only {done} transactions");
    Ok(())
}

async fn psycopg(stage: &Stage) -> Result {
    let program = &stage.cluster.sandbox.machine.python;
    let said = run(program, stage.proxy.write, &["-c", include_str!("psycopg_client.py")]).await?;
    ensure!(said.trim() == "ok", "{said}");
    Ok(())
}

async fn tokio_postgres_statements(stage: &Stage) -> Result {
    let mut clients = Vec::new();
    for _ in 0..40 {
        let client = Client::connect(&stage.proxy.write_config()).await?;
        let statement = client.prepare("SELECT $1::int + $2::int").await?;
        clients.push((client, statement));
    }
    // More clients than server connections, each with its own prepared statement, in turns.
    for round in 0..5 {
        for (number, (client, statement)) in (0..).zip(&clients) {
            let sum: i32 = client.query_one(statement, &[&number, &round]).await?.try_get(0)?;
            ensure!(sum == number + round, "{number} + {round} is {sum}");
        }
    }
    let (client, statement) = &clients[0];
    let pipelined = (0..100).map(|number| async move {
        let row = client.query_one(statement, &[&number, &1]).await?;
        anyhow::Ok(row.try_get::<_, i32>(0)? - number)
    });
    let answers = futures_util::future::try_join_all(pipelined).await?;
    ensure!(answers.iter().all(|one| *one == 1), "a pipeline's answers are out of order");
    let refused = client.query_one("SELECT 1 / $1::int", &[&0]).await.err().context("no error")?;
    ensure!(sqlstate(&refused) == "22012", "{refused:?}");
    ensure!(client.text("SELECT 'still here'").await? == "still here");
    Ok(())
}

async fn tokio_postgres_copy(stage: &Stage) -> Result {
    let client = Client::connect(&stage.proxy.write_config()).await?;
    client.batch_execute("CREATE TABLE c (t text)").await?;
    let line = bytes::Bytes::from("x".repeat(999) + "\n");
    let sink = client.copy_in::<_, bytes::Bytes>("COPY c FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    for _ in 0..10_000 {
        sink.send(line.clone()).await?;
    }
    ensure!(sink.finish().await? == 10_000, "COPY in");
    let out = client.copy_out("COPY c TO STDOUT").await?;
    let size = out.try_fold(0, async |size, part| Ok(size + part.len())).await?;
    ensure!(size == 10_000_000, "COPY out gave {size} bytes");
    client.batch_execute("DROP TABLE c").await?;
    Ok(())
}

async fn tokio_postgres_cancel(stage: &Stage) -> Result {
    let client = Client::connect(&stage.proxy.write_config()).await?;
    let token = client.cancel_token();
    let leader = stage.cluster.leader().await?.superuser().await?;
    let cancelling = async {
        let sleeping =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        pgsteer_testkit::eventually("the query runs", Duration::from_secs(10), async || {
            (leader.text(sleeping).await.ok()? == "1").then_some(())
        })
        .await?;
        anyhow::Ok(token.cancel_query(NoTls).await?)
    };
    let (slept, cancelled) = tokio::join!(client.batch_execute("SELECT pg_sleep(60)"), cancelling);
    cancelled?;
    let told = slept.err().context("the query was not cancelled")?;
    ensure!(sqlstate(&told) == "57014", "{told:?}");
    ensure!(client.text("SELECT 'still here'").await? == "still here");
    Ok(())
}
