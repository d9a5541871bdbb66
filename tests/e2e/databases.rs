//! Databases that are made, renamed and dropped while pgsteer keeps servers in them.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string, now};

/// Servers that idle stay.
const KEPT: &str = "[pool]\nmin_pool_size = 2\n";

async fn client(single: &Single, database: &str) -> Result<Client> {
    Client::connect(&connection_string(single.proxy.write, Login::TRADER, database)).await
}

/// Somebody works in a database, listens there, and leaves.
async fn visit(single: &Single, database: &str) -> Result {
    let visitor = client(single, database).await?;
    visitor.batch_execute("LISTEN news").await?;
    visitor.batch_execute("CREATE TABLE IF NOT EXISTS t (n int)").await?;
    ensure!(visitor.text("SELECT count(*) FROM t").await? == "0", "somebody else's table");
    Ok(())
}

/// As test runners of frameworks do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_free_when_its_last_client_has_left() -> Result {
    let single = Single::start(Release::System, Door::Open, "", KEPT).await?;
    let superuser = single.server.superuser().await?;
    superuser.batch_execute(&format!("ALTER ROLE {} CREATEDB", Login::TRADER.user)).await?;
    let admin = client(&single, Cluster::DATABASE).await?;
    admin.batch_execute("CREATE DATABASE one").await?;
    visit(&single, "one").await?;
    admin.batch_execute("ALTER DATABASE one RENAME TO two").await?;
    visit(&single, "two").await?;
    admin.execute("CREATE DATABASE one TEMPLATE two", &[]).await?;
    visit(&single, "one").await?;
    admin.execute("DROP DATABASE one", &[]).await?;

    // A client that is there is one of those that PostgreSQL waits for.
    let there = client(&single, "two").await?;
    there.batch_execute("SELECT 1").await?;
    let asked = now();
    let (dropped, ()) = tokio::join!(admin.batch_execute("DROP DATABASE two"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(there);
    });
    dropped?;
    ensure!(asked.elapsed() >= Duration::from_millis(500), "dropped under a client");

    Ok(())
}

/// Whom PostgreSQL sends away hears so; whoever has no server finds the database gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_dropped_by_force() -> Result {
    let single = Single::start(Release::System, Door::Open, "", KEPT).await?;
    let superuser = single.server.superuser().await?;
    superuser.batch_execute(&format!("ALTER ROLE {} CREATEDB", Login::TRADER.user)).await?;
    let admin = client(&single, Cluster::DATABASE).await?;
    admin.batch_execute("CREATE DATABASE one").await?;
    let busy = client(&single, "one").await?;
    busy.batch_execute("BEGIN; CREATE TABLE t (n int)").await?;
    let idle = client(&single, "one").await?;
    let asked = now();
    admin.batch_execute("DROP DATABASE one WITH (FORCE)").await?;
    ensure!(asked.elapsed() < Duration::from_secs(4), "PostgreSQL waited for those it had sent away");
    for (client, expected) in [(&busy, "57P01"), (&idle, "3D000")] {
        let heard = client.batch_execute("SELECT 1").await.err().context("it is still there")?;
        let (sqlstate, _) = client.words(&heard);
        ensure!(sqlstate == expected, "{sqlstate} instead of {expected}");
    }
    drop((busy, idle));
    // Nothing of the one that is gone is left for another one.
    admin.batch_execute("CREATE DATABASE two").await?;
    visit(&single, "two").await?;
    admin.batch_execute("ALTER DATABASE two RENAME TO one").await?;
    admin.batch_execute("DROP DATABASE one").await?;
    Ok(())
}
