//! Databases that do not exist.

use std::time::Duration;

use pgsteer_testkit::{eventually, now};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const MISSING: &str = "3D000 database \"missing\" does not exist";

/// Whoever asks for a missing database hears so at once, every time; others notice nothing.
#[tokio::test]
async fn a_missing_database_answers_at_once_every_time() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let pgsteer = Pgsteer::start(&server, "auth_type = \"trust\"\n", &[]).await;
    let good = pgsteer.connect("postgres", "", "postgres").await.unwrap();
    let began = now();
    for round in 0..200 {
        assert_eq!(pgsteer.who("postgres", "", "missing").await, MISSING);
        if round % 10 == 0 {
            assert_eq!(pgsteer.who("postgres", "", "template1").await, "postgres in template1");
            good.query_one("select 1", &[]).await.unwrap();
        }
    }
    // 200 times server_login_retry (1 s) if anybody had to wait for it.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let at_once = (0..20).map(|_| pgsteer.who("postgres", "", "missing"));
    assert!(futures_util::future::join_all(at_once).await.iter().all(|said| said == MISSING));
    prepare(&server, "postgres", "create database missing template template0").await;
    let noticed = eventually("the new database is noticed", Duration::from_secs(10), async || {
        (pgsteer.who("postgres", "", "missing").await == "postgres in missing").then_some(())
    });
    noticed.await.unwrap_or_else(|error| panic!("{error}\n{}", pgsteer.log()));
}

/// Nothing is remembered of them, whatever it is: neither for the client nor for servers.
#[tokio::test]
async fn names_of_missing_databases_cost_no_lasting_memory() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let pgsteer = Pgsteer::start(&server, "auth_type = \"trust\"\n[log]\nlevel = \"error\"\n", &[]).await;
    assert_eq!(pgsteer.who("postgres", "", "postgres").await, "postgres in postgres");
    for number in 0..100 {
        let name = format!("missing{number}");
        let said = pgsteer.who("postgres", "", &name).await;
        assert_eq!(said, format!("3D000 database \"{name}\" does not exist"));
    }
    let known = pgsteer.metric("pgsteer_users_and_databases", &[]).await;
    assert_eq!(known, 1.0, "users and databases that are remembered");
    // What was made for them is cleared away by and by.
    let cleared = eventually("only the good database has a pool", Duration::from_secs(20), async || {
        (pgsteer.metric("pgsteer_pools", &[]).await == 1.0).then_some(())
    });
    cleared.await.unwrap();
}
