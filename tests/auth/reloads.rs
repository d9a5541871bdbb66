//! What a reload changes: for those who come afterwards, or at once for those who are there.

use std::time::Duration;

use pgsteer_testkit::eventually;

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const SOON: Duration = Duration::from_secs(20);

async fn two_databases() -> Postgres {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create database one").await;
    prepare(&server, "postgres", "create database two").await;
    prepare(&server, "postgres", "create role app login").await;
    server
}

/// `dbname` and `user` are for new connections; those that are open keep what they had.
#[tokio::test]
async fn a_database_leads_elsewhere() {
    let server = two_databases().await;
    let before = "auth_type = \"trust\"\n[databases.shop]\ndbname = \"one\"\n";
    let pgsteer = Pgsteer::start(&server, before, &[]).await;
    let open = pgsteer.connect("postgres", "", "shop").await.unwrap();
    let asks = "select current_user || ' in ' || current_database()";
    let who = async || open.query_one(asks, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(who().await, "postgres in one");
    pgsteer.rewrite("dbname = \"one\"", "dbname = \"two\"\nuser = \"app\"");
    pgsteer.reload("ok").await;
    assert_eq!(pgsteer.who("postgres", "", "shop").await, "app in two");
    assert_eq!(who().await, "postgres in one");
    pgsteer.rewrite("user = \"app\"", "");
    pgsteer.reload("ok").await;
    assert_eq!(pgsteer.who("postgres", "", "shop").await, "postgres in two");
}

/// Two names of one database have limits of their own, and so have the pools behind them.
#[tokio::test]
async fn each_name_of_a_database_has_its_own_limits() {
    let server = two_databases().await;
    let config = "auth_type = \"trust\"\n[databases.batch]\ndbname = \"one\"\npool_size = 2\n\
                  [databases.few]\ndbname = \"one\"\nmax_db_connections = 1\n";
    let pgsteer = Pgsteer::start(&server, config, &[]).await;
    let mut clients = Vec::new();
    for database in ["one", "batch", "few"] {
        for _ in 0..3 {
            clients.push(pgsteer.connect("postgres", "", database).await.unwrap());
        }
    }
    let busy = clients.iter().map(|client| client.batch_execute("begin"));
    let busy = futures_util::future::join_all(busy);
    tokio::pin!(busy);
    let leased = async |database| {
        let labels = [("database", database), ("dbname", "one"), ("state", "leased")];
        pgsteer.metric("pgsteer_pool_servers", &labels).await
    };
    let all = async || [leased("one").await, leased("batch").await, leased("few").await];
    let waiting = async || pgsteer.metric("pgsteer_server_waiting_clients", &[]).await;
    let got = eventually("all have what they may have", SOON, async || {
        (all().await == [3.0, 2.0, 1.0] && waiting().await == 3.0).then_some(())
    });
    tokio::select! {
        done = &mut busy => panic!("nobody had to wait: {done:?}"),
        got = got => got.unwrap_or_else(|error| panic!("{error}\n{}", pgsteer.log())),
    }
}

/// A pool's size follows the file, also where the last who came for it was turned away: that nobody is remembered of
/// its user and database then does not keep it from the pool that is left.
#[tokio::test]
async fn a_pool_follows_the_file_though_its_last_client_was_turned_away() {
    let server = two_databases().await;
    let pgsteer =
        Pgsteer::start(&server, "auth_type = \"trust\"\n[pool]\ndefault_pool_size = 7\n", &[]).await;
    let size = async || pgsteer.metric("pgsteer_pool_size", &[("database", "one")]).await;
    assert_eq!(pgsteer.who("postgres", "", "one").await, "postgres in one");
    let turned_away = pgsteer.connect_with("postgres", "one", "-c no_such_setting=1").await;
    assert!(turned_away.as_ref().is_err_and(|said| said.starts_with("42704")), "{turned_away:?}");
    assert_eq!(size().await, 7.0);
    pgsteer.rewrite("default_pool_size = 7", "default_pool_size = 3");
    pgsteer.reload("ok").await;
    assert_eq!(size().await, 3.0);
    let client = pgsteer.connect("postgres", "", "one").await.unwrap();
    client.batch_execute("select").await.unwrap();
    pgsteer.rewrite("default_pool_size = 3", "default_pool_size = 4");
    pgsteer.reload("ok").await;
    assert_eq!(size().await, 4.0);
}

/// Whoever reads the log finds the place in the file, and what is odd in a file that can be used.
#[tokio::test]
async fn the_log_says_where_a_file_is_wrong() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let pgsteer = Pgsteer::start(&server, "auth_type = \"trust\"\n[pool]\npin_max = 5\n", &[]).await;
    pgsteer.rewrite("pin_max = 5", "tcp_keepidle = \"500ms\"");
    pgsteer.reload("failed").await;
    pgsteer.rewrite("tcp_keepidle = \"500ms\"", "query_wait_timeout = 0");
    pgsteer.reload("ok").await;
    let log = pgsteer.log();
    for said in [
        "pgsteer.toml:16:16: `tcp_keepidle`: 500ms is not a whole number of seconds",
        "pgsteer.toml:16:22: requests wait for a server without limit",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    assert_eq!(pgsteer.who("postgres", "", "postgres").await, "postgres in postgres");
}
