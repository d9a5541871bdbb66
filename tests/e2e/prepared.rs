//! Many prepared statements: what they cost in memory, and what they leave to others.

use anyhow::ensure;
use pgsteer_testkit::{Client, Door, Release, Result, Single};

const CLIENTS: usize = 6;
const STATEMENTS: usize = 1000;

/// Of 4 kB, and different from the others.
fn text(number: usize) -> String {
    format!("SELECT {number}::int4 AS a, 'x'::text AS b {:4000}", "")
}

/// Clients that prepare the same thousand statements, at any time, keep the texts once between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_take_little_memory() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"\n[pool]\ndefault_pool_size = 1";
    let stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let before = stage.proxy.metric("pgsteer_resident_memory_bytes", "").await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&stage.proxy.write_config()).await?;
        let mut statements = Vec::new();
        for number in 0..STATEMENTS {
            statements.push(client.prepare(&text(number)).await?);
        }
        clients.push((client, statements));
    }
    let after = stage.proxy.metric("pgsteer_resident_memory_bytes", "").await?;
    let each = (after - before) / (CLIENTS * STATEMENTS) as f64;
    println!("{each} bytes for each statement of each client");
    ensure!(each < 2000.0, "{each} bytes for each statement of 4 kB that {CLIENTS} clients have");
    for (client, statements) in &clients {
        let found: i32 = client.query_one(&statements[7], &[]).await?.get(0);
        ensure!(found == 7, "the seventh is {found}");
    }
    Ok(())
}

/// A client that goes through a thousand statements takes no place on the server from one that uses five.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_are_kept_beside_thousands() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"\n[runtime]\nworkers = 1
        [pool]\ndefault_pool_size = 1\nmax_prepared_statements = 50";
    let stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let [many, few] = [
        Client::connect(&stage.proxy.write_config()).await?,
        Client::connect(&stage.proxy.write_config()).await?,
    ];
    let mut of_few = Vec::new();
    for number in 0..5 {
        of_few.push(few.prepare(&format!("SELECT {number}::int4")).await?);
    }
    let mut of_many = Vec::new();
    for number in 0..STATEMENTS {
        of_many.push(many.prepare(&format!("SELECT {number}::int8")).await?);
    }
    for statement in &of_few {
        few.query_one(statement, &[]).await?;
    }
    let parses = async || stage.proxy.metric("pgsteer_statement_parses_total", "").await;
    let before = parses().await?;
    let mut turns = 0;
    for chunk in of_many.chunks(100) {
        for statement in chunk {
            many.query_one(statement, &[]).await?;
            turns += 1;
        }
        for statement in &of_few {
            few.query_one(statement, &[]).await?;
        }
    }
    // Each of the many is parsed anew, and none of the few.
    let parsed = parses().await? - before;
    ensure!((parsed - f64::from(turns)).abs() < 0.5, "{parsed} were parsed for {turns} that had no place");
    let held = few.text("SELECT count(*)::text FROM pg_prepared_statements").await?;
    ensure!(held.parse::<usize>()? <= 50, "the server holds {held}");
    Ok(())
}
