//! tokio-postgres: what the other tests, which speak by it, do not use.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string, sqlstate};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{AsyncMessage, Config, NoTls, SimpleQueryMessage};

use super::every::OVERRIDES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_systems_release() -> Result {
    all(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_postgresql_18() -> Result {
    all(Release::Eighteen).await
}

async fn all(release: Release) -> Result {
    let single = Single::start(release, Door::Scram, "", OVERRIDES).await?;
    for (number, (label, at)) in (0..).zip(single.both()) {
        let config = connection_string(at, Login::TRADER, Cluster::DATABASE);
        let copies = (0..4).map(|copy| scenarios(&config, 10 * number + copy));
        try_join_all(copies).await.context(label)?;
    }
    Ok(())
}

async fn scenarios(config: &Config, number: i32) -> Result {
    pipelined(config).await.context("pipelined")?;
    portals(config).await.context("portals")?;
    binary_copies(config, number).await.context("binary copies")?;
    own_types(config, number).await.context("own types")?;
    transactions(config, number).await.context("transactions")?;
    left_in_the_middle(config).await.context("left in the middle")?;
    simple_queries(config).await.context("simple queries")?;
    notifications(config, number).await.context("notifications")
}

/// Several statements on their way at once, some of which fail.
async fn pipelined(config: &Config) -> Result {
    let client = Client::connect(config).await?;
    let divide = client.prepare("SELECT 100 / $1::int").await?;
    let asked = (0..200).map(|n: i32| {
        let (client, divide) = (&client, &divide);
        async move {
            let divisor = n % 7;
            match client.query_one(divide, &[&divisor]).await {
                Ok(row) => ensure!(row.try_get::<_, i32>(0)? == 100 / divisor, "100 / {divisor}"),
                Err(error) => ensure!(divisor == 0 && sqlstate(&error) == "22012", "{error}"),
            }
            Ok(())
        }
    });
    try_join_all(asked).await?;
    let prepared = try_join_all((0..60).map(|n| {
        let client = &client;
        async move { client.prepare(&format!("SELECT $1::int + {n}")).await }
    }));
    for (n, statement) in (0..).zip(&prepared.await?) {
        ensure!(client.query_one(statement, &[&1]).await?.try_get::<_, i32>(0)? == n + 1);
    }
    Ok(())
}

/// Execute with a limit of rows, again and again, two portals side by side.
async fn portals(config: &Config) -> Result {
    let mut client = connected(config).await?;
    let walk = client.prepare("SELECT n FROM generate_series(1, $1::int) AS n").await?;
    let transaction = client.transaction().await?;
    let first = transaction.bind(&walk, &[&1000]).await?;
    let second = transaction.bind(&walk, &[&10]).await?;
    let mut total = 0;
    loop {
        let rows = transaction.query_portal(&first, 70).await?;
        if rows.is_empty() {
            break;
        }
        total += rows.iter().map(|row| row.get::<_, i32>(0)).sum::<i32>();
        let one = transaction.query_portal(&second, 1).await?;
        ensure!(one.len() <= 1, "more rows than asked for");
    }
    ensure!(total == 500_500, "{total}");
    transaction.commit().await?;
    let gone = client.transaction().await?;
    let failed = gone.query_portal(&first, 1).await.err().context("a portal outlived its transaction")?;
    ensure!(sqlstate(&failed) == "34000", "{failed}");
    Ok(())
}

async fn binary_copies(config: &Config, number: i32) -> Result {
    let client = Client::connect(config).await?;
    let table = format!("rust_copies_{number}");
    client
        .batch_execute(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (n int, t text)"))
        .await?;
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    let types = [Type::INT4, Type::TEXT];
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
    for n in 0..3000 {
        writer.as_mut().write(&[&n, &format!("row {n}")]).await?;
    }
    ensure!(writer.finish().await? == 3000, "COPY in");
    let out = client.copy_out(&format!("COPY {table} TO STDOUT (FORMAT binary)")).await?;
    let rows: Vec<_> = BinaryCopyOutStream::new(out, &types).try_collect().await?;
    ensure!(rows.len() == 3000 && rows[7].get::<&str>(1) == "row 7");
    // Dropped before its end: the server is told, and nothing was written.
    {
        let sink = client.copy_in::<_, bytes::Bytes>(&format!("COPY {table} FROM STDIN")).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from_static(b"9000\tx\n")).await?;
    }
    ensure!(client.text(&format!("SELECT count(*) FROM {table}")).await? == "3000");
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    Ok(())
}

/// Types that the driver has to ask the server about.
async fn own_types(config: &Config, number: i32) -> Result {
    let client = Client::connect(config).await?;
    let names = ["mood", "pair", "small"].map(|name| format!("rust_{name}_{number}"));
    let [mood, pair, small] = &names;
    client
        .batch_execute(&format!(
            "DROP TYPE IF EXISTS {pair}; DROP DOMAIN IF EXISTS {small}; DROP TYPE IF EXISTS {mood};
             CREATE TYPE {mood} AS ENUM ('good', 'bad');
             CREATE DOMAIN {small} AS int CHECK (VALUE < 10);
             CREATE TYPE {pair} AS (m {mood}, n {small}[])"
        ))
        .await?;
    let fresh = Client::connect(config).await?;
    let statement = fresh.prepare(&format!("SELECT $1::{pair}, ARRAY['good'::{mood}]")).await?;
    let Kind::Composite(fields) = statement.params()[0].kind() else { anyhow::bail!("no composite") };
    let shown: Vec<_> = fields.iter().map(|field| (field.name(), field.type_().name().to_owned())).collect();
    ensure!(shown == [("m", mood.clone()), ("n", format!("_{small}"))], "{shown:?}");
    ensure!(matches!(statement.columns()[1].type_().kind(), Kind::Array(of) if of.name() == mood));
    client.batch_execute(&format!("DROP TYPE {pair}; DROP DOMAIN {small}; DROP TYPE {mood}")).await?;
    Ok(())
}

async fn transactions(config: &Config, number: i32) -> Result {
    let mut client = connected(config).await?;
    let table = format!("rust_transactions_{number}");
    client
        .batch_execute(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (n int UNIQUE)"))
        .await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    let mut outer = client.transaction().await?;
    outer.execute(&insert, &[&1]).await?;
    {
        let inner = outer.savepoint("within").await?;
        let refused = inner.execute(&insert, &[&1]).await.err().context("the duplicate was taken")?;
        ensure!(sqlstate(&refused) == "23505", "{refused}");
    } // dropped: rolled back
    let inner = outer.transaction().await?;
    inner.execute(&insert, &[&2]).await?;
    inner.commit().await?;
    outer.commit().await?;
    {
        let dropped = client.transaction().await?;
        dropped.execute(&insert, &[&3]).await?;
    }
    let started = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::Serializable);
    let transaction = started.read_only(true).deferrable(true).start().await?;
    let found = transaction.query(&format!("SELECT n FROM {table} ORDER BY n"), &[]).await?;
    let found: Vec<i32> = found.iter().map(|row| row.get(0)).collect();
    ensure!(found == [1, 2], "{found:?}");
    transaction.rollback().await?;
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    Ok(())
}

/// A client that loses interest in an answer, and one that goes away while it comes.
async fn left_in_the_middle(config: &Config) -> Result {
    let client = Client::connect(config).await?;
    for _ in 0..5 {
        let rows = client.query_raw("SELECT n FROM generate_series(1, $1::int) AS n", [&20_000]).await?;
        let mut rows = std::pin::pin!(rows);
        ensure!(rows.next().await.is_some_and(|row| row.is_ok()));
    }
    ensure!(client.text("SELECT 'still here'").await? == "still here");
    for _ in 0..3 {
        let leaving = Client::connect(config).await?;
        let rows =
            leaving.query_raw("SELECT repeat('x', 1000) FROM generate_series(1, $1::int)", [&20_000]).await?;
        let mut rows = std::pin::pin!(rows);
        ensure!(rows.next().await.is_some_and(|row| row.is_ok()));
    }
    Ok(())
}

async fn simple_queries(config: &Config) -> Result {
    let client = Client::connect(config).await?;
    let messages = client
        .simple_query(
            "SELECT 1 AS a; SELECT 'x' AS b, NULL AS c; CREATE TEMP TABLE gone (n int) ON COMMIT DROP; ",
        )
        .await?;
    let rows = messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
    let ends =
        messages.iter().filter(|message| matches!(message, SimpleQueryMessage::CommandComplete(_))).count();
    ensure!((rows, ends) == (2, 3), "{messages:?}");
    let failed = client.simple_query("SELECT 1; SELECT 1 / 0; SELECT 2").await.err().context("no error")?;
    ensure!(sqlstate(&failed) == "22012", "{failed}");
    let nothing = client.simple_query("").await?;
    ensure!(matches!(nothing[..], [SimpleQueryMessage::CommandComplete(0)]), "{nothing:?}");
    Ok(())
}

/// What is sent is heard once and in order, whether the listener is idle, busy or in a transaction; behind UNLISTEN nothing.
async fn notifications(config: &Config, number: i32) -> Result {
    const SENT: usize = 30;
    let (listener, mut connection) = config.connect(NoTls).await?;
    let (tell, mut heard) = tokio::sync::mpsc::channel(2 * SENT);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message
                && tell.send(notification.payload().to_owned()).await.is_err()
            {
                break;
            }
        }
    });
    let sender = Client::connect(config).await?;
    let channel = format!("rust_channel_{number}");
    listener.batch_execute(&format!("LISTEN {channel}")).await?;
    for n in 0..SENT {
        sender.execute("SELECT pg_notify($1, $2)", &[&channel, &n.to_string()]).await?;
        match n % 3 {
            0 => {}
            1 => listener.batch_execute("SELECT 1").await?,
            _ => listener.batch_execute("BEGIN; SELECT 1; COMMIT").await?,
        }
    }
    for n in 0..SENT {
        let word = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        ensure!(word.with_context(|| format!("{n} is not heard"))? == Some(n.to_string()));
    }
    listener.batch_execute(&format!("UNLISTEN {channel}; LISTEN {channel}_end")).await?;
    sender.batch_execute(&format!("NOTIFY {channel}, 'unheard'; NOTIFY {channel}_end, 'end'")).await?;
    let word = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    ensure!(word.context("the end is not heard")?.as_deref() == Some("end"));
    Ok(())
}

/// A client that may begin transactions.
async fn connected(config: &Config) -> Result<tokio_postgres::Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
