//! sqlx, as applications use it.
//!
//! usage: pgsteer-sqlx-scenarios NUMBER [SCENARIO | -SCENARIO ...]     only these, or all but these
//!
//! PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Acquire, Connection, Executor, PgConnection, Row};

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// Where, and which copy of the program this is.
#[derive(Clone, Copy)]
struct Play<'a> {
    number: &'a str,
}

impl Play<'_> {
    fn table(self, name: &str) -> String {
        format!("{name}_{}", self.number)
    }

    async fn pool(self, most: u32) -> Result<PgPool, sqlx::Error> {
        let options = PgPoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(30));
        options.connect_with(PgConnectOptions::new()).await
    }

    async fn fresh(self, pool: &PgPool, name: &str, columns: &str) -> Result<String, sqlx::Error> {
        let name = self.table(name);
        pool.execute(format!("DROP TABLE IF EXISTS {name}").as_str()).await?;
        pool.execute(format!("CREATE TABLE {name} ({columns})").as_str()).await?;
        Ok(name)
    }
}

fn state(error: &sqlx::Error) -> String {
    let said = error.as_database_error().and_then(|said| said.code());
    said.map_or_else(|| error.to_string(), std::borrow::Cow::into_owned)
}

fn refused<T>(result: Result<T, sqlx::Error>, expected: &str) -> Done {
    match result {
        Ok(_) => Err(format!("no error, where {expected} was expected").into()),
        Err(error) if state(&error) == expected => Ok(()),
        Err(error) => Err(format!("{error:?}, where {expected} was expected").into()),
    }
}

macro_rules! same {
    ($found:expr, $expected:expr) => {
        let (found, expected) = ($found, $expected);
        if found != expected {
            return Err(format!("line {}: found {found:?}, expected {expected:?}", line!()).into());
        }
    };
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Item {
    n: i32,
    t: Option<String>,
    tags: Vec<String>,
}

async fn queries(play: Play<'_>) -> Done {
    let pool = play.pool(10).await?;
    let name = play.fresh(&pool, "sqlx_queries", "n int PRIMARY KEY, t text, tags text[] NOT NULL").await?;
    let insert = format!("INSERT INTO {name} VALUES ($1, $2, $3)");
    for n in 0..50 {
        let tags = vec![n.to_string(), "x".to_owned()];
        let text = (n % 2 == 0).then(|| format!("Grüße {n}"));
        let done = sqlx::query(&insert).bind(n).bind(text).bind(tags).execute(&pool).await?;
        same!(done.rows_affected(), 1);
    }
    let query = format!("SELECT * FROM {name} WHERE n = $1");
    for n in 0..50 {
        let item: Item = sqlx::query_as(&query).bind(n).fetch_one(&pool).await?;
        same!(item.n, n);
        same!(item.t.is_some(), n % 2 == 0);
        same!(item.tags[0].as_str(), n.to_string());
    }
    let gone: Option<Item> = sqlx::query_as(&query).bind(1000).fetch_optional(&pool).await?;
    same!(gone, None);
    let sum: i64 = sqlx::query_scalar(&format!("SELECT sum(n) FROM {name}")).fetch_one(&pool).await?;
    same!(sum, 1225);
    let mut rows = sqlx::query("SELECT generate_series(1, 5000) AS n").fetch(&pool);
    let mut total = 0_i64;
    while let Some(row) = rows.try_next().await? {
        total += i64::from(row.get::<i32, _>("n"));
    }
    drop(rows);
    same!(total, 12_502_500);
    refused(sqlx::query(&insert).bind(1).bind("x").bind(vec!["x"]).execute(&pool).await, "23505")?;
    // Several statements at once go by the simple protocol.
    let done = pool
        .execute(format!("DELETE FROM {name} WHERE n < 10; DELETE FROM {name} WHERE n < 20").as_str())
        .await?;
    same!(done.rows_affected(), 20);
    // A result that nobody reads to its end.
    for _ in 0..3 {
        let mut rows = sqlx::query("SELECT generate_series(1, 100000) AS n").fetch(&pool);
        same!(rows.try_next().await?.is_some(), true);
    }
    pool.execute(format!("DROP TABLE {name}").as_str()).await?;
    pool.close().await;
    Ok(())
}

async fn prepared(play: Play<'_>) -> Done {
    let options = PgConnectOptions::new().statement_cache_capacity(10);
    let pool = PgPoolOptions::new().max_connections(8).connect_with(options).await?;
    let works = (0..16).map(|worker| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for n in 0..40_i32 {
                let query = format!("SELECT $1::int + {}, $2::text", n % 25);
                let row = sqlx::query(&query).bind(worker).bind(n.to_string()).fetch_one(&pool).await?;
                let found = (row.get::<i32, _>(0), row.get::<String, _>(1));
                if found != (worker + n % 25, n.to_string()) {
                    return Err(sqlx::Error::Protocol(format!("{found:?}")));
                }
            }
            Ok(())
        })
    });
    for work in works.collect::<Vec<_>>() {
        work.await??;
    }
    let mut one = pool.acquire().await?;
    let statement = one.prepare("SELECT $1::int8 AS a, $2::text AS b").await?;
    same!(sqlx::Statement::columns(&statement).len(), 2);
    one.clear_cached_statements().await?;
    let unnamed = sqlx::query("SELECT $1::int").bind(7).persistent(false).fetch_one(&mut *one).await?;
    same!(unnamed.get::<i32, _>(0), 7);
    drop(one);
    let _ = play;
    pool.close().await;
    Ok(())
}

async fn transactions(play: Play<'_>) -> Done {
    let pool = play.pool(4).await?;
    let name = play.fresh(&pool, "sqlx_transactions", "n int PRIMARY KEY").await?;
    let insert = format!("INSERT INTO {name} VALUES ($1)");
    let mut outer = pool.begin().await?;
    sqlx::query(&insert).bind(1).execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    sqlx::query(&insert).bind(2).execute(&mut *inner).await?;
    refused(sqlx::query(&insert).bind(1).execute(&mut *inner).await, "23505")?;
    inner.rollback().await?;
    let mut inner = outer.begin().await?;
    sqlx::query(&insert).bind(3).execute(&mut *inner).await?;
    inner.commit().await?;
    outer.commit().await?;
    // Dropped without a word: rolled back before the connection serves again.
    for _ in 0..5 {
        let mut dropped = pool.begin().await?;
        sqlx::query(&insert).bind(4).execute(&mut *dropped).await?;
        drop(dropped);
    }
    let found: Vec<i32> =
        sqlx::query_scalar(&format!("SELECT n FROM {name} ORDER BY n")).fetch_all(&pool).await?;
    same!(found, vec![1, 3]);
    let mut serializable = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await?;
    refused(sqlx::query(&insert).bind(9).execute(&mut *serializable).await, "25006")?;
    serializable.rollback().await?;
    pool.execute(format!("DROP TABLE {name}").as_str()).await?;
    pool.close().await;
    Ok(())
}

async fn copies(play: Play<'_>) -> Done {
    let pool = play.pool(4).await?;
    let name = play.fresh(&pool, "sqlx_copies", "n int PRIMARY KEY, t text").await?;
    let copy = format!("COPY {name} FROM STDIN");
    let mut sink = pool.copy_in_raw(&copy).await?;
    let lines: String = (0..5000).map(|n| format!("{n}\trow {n}\n")).collect();
    sink.send(lines.as_bytes()).await?;
    same!(sink.finish().await?, 5000);
    let out = pool.copy_out_raw(&format!("COPY (SELECT * FROM {name} ORDER BY n) TO STDOUT")).await?;
    let read = out.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    });
    same!(read.await?, lines.into_bytes());
    let mut sink = pool.copy_in_raw(&copy).await?;
    sink.send(b"9000\tx\n".as_slice()).await?;
    sink.abort("the program gives up").await?;
    let mut sink = pool.copy_in_raw(&copy).await?;
    sink.send(b"1\tx\n".as_slice()).await?;
    refused(sink.finish().await, "23505")?;
    let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM {name}")).fetch_one(&pool).await?;
    same!(count, 5000);
    pool.execute(format!("DROP TABLE {name}").as_str()).await?;
    pool.close().await;
    Ok(())
}

async fn listening(play: Play<'_>) -> Done {
    let channel = play.table("sqlx_channel");
    let pool = play.pool(3).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(&channel).await?;
    pool.execute(format!("NOTIFY {channel}, 'one'").as_str()).await?;
    sqlx::query("SELECT pg_notify($1, $2)").bind(&channel).bind("two").execute(&pool).await?;
    for expected in ["one", "two"] {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.recv()).await??;
        same!((heard.channel(), heard.payload()), (channel.as_str(), expected));
    }
    listener.unlisten(&channel).await?;
    drop(listener);
    pool.close().await;
    Ok(())
}

async fn settings(play: Play<'_>) -> Done {
    let options = PgConnectOptions::new().application_name("mine").options([("search_path", "pg_catalog")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let _ = play;
    for _ in 0..3 {
        let path: String =
            sqlx::query_scalar("SELECT current_setting('search_path')").fetch_one(&mut connection).await?;
        same!(path, "pg_catalog");
        let own: String = sqlx::query_scalar("SELECT current_setting('application_name')")
            .fetch_one(&mut connection)
            .await?;
        same!(own, "mine");
    }
    connection.execute("SET work_mem = '9MB'").await?;
    for _ in 0..3 {
        let memory: String =
            sqlx::query_scalar("SELECT current_setting('work_mem')").fetch_one(&mut connection).await?;
        same!(memory, "9MB");
    }
    connection.ping().await?;
    connection.close().await?;
    let wrong = PgConnectOptions::new().password("wrong");
    refused(PgConnection::connect_with(&wrong).await, "28P01")
}

async fn temporary_tables(play: Play<'_>) -> Done {
    let mut connection = PgConnection::connect_with(&PgConnectOptions::new()).await?;
    let _ = play;
    connection.execute("CREATE TEMP TABLE staged (n int)").await?;
    for n in 0..5 {
        sqlx::query("INSERT INTO staged VALUES ($1)").bind(n).execute(&mut connection).await?;
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM staged").fetch_one(&mut connection).await?;
    same!(count, 5);
    connection.close().await?;
    Ok(())
}

fn chosen(name: &str, words: &[String]) -> bool {
    let (unwanted, wanted): (Vec<&String>, Vec<&String>) =
        words.iter().partition(|word| word.starts_with('-'));
    (wanted.is_empty() || wanted.iter().any(|word| *word == name))
        && unwanted.iter().all(|word| word[1..] != *name)
}

/// A name and what it plays.
macro_rules! scenarios {
    ($play:expr, $words:expr, $($name:ident),+) => {{
        let mut failed = false;
        $(if chosen(stringify!($name), $words) {
            match tokio::time::timeout(Duration::from_secs(90), $name($play)).await {
                Ok(Ok(())) => println!("ok {}", stringify!($name)),
                Ok(Err(error)) => {
                    println!("FAILED {} {error:?}", stringify!($name));
                    failed = true;
                }
                Err(_) => {
                    println!("FAILED {} the time was over", stringify!($name));
                    failed = true;
                }
            }
        })+
        failed
    }};
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((number, words)) = arguments.split_first() else {
        println!("which copy of the program is this?");
        return ExitCode::from(2);
    };
    let play = Play { number };
    let failed = scenarios!(
        play,
        words,
        queries,
        prepared,
        transactions,
        copies,
        listening,
        settings,
        temporary_tables
    );
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
