//! Those who guess passwords.

use std::time::Duration;

use pgsteer_testkit::now;

use crate::{common::postgres::Postgres, pgsteer::Pgsteer};

const USERS: &str = "\"trader\" \"secret\"\n\"other\" \"secret\"\n\"postgres\" \"secret\"\n";

async fn refused_as(pgsteer: &Pgsteer, user: &str) -> String {
    pgsteer.connect(user, "wrong", "postgres").await.expect_err("a wrong password lets nobody in")
}

#[tokio::test]
async fn many_failures_make_the_next_ones_wait() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let config = "auth_file = \"users.txt\"\nauth_failures_max = 3\nauth_delay_max = \"600ms\"\nauth_delayed_max = 20\n";
    let pgsteer = Pgsteer::start(&server, config, &[("users.txt", USERS)]).await;
    let delayed =
        async |outcome| pgsteer.metric("pgsteer_logins_delayed_total", &[("outcome", outcome)]).await;
    for _ in 0..3 {
        assert!(refused_as(&pgsteer, "other").await.starts_with("28P01"));
    }
    assert_eq!(delayed("delayed").await, 0.0);
    // Who gets in waits once; not again, although the failures are not forgotten.
    assert_eq!(pgsteer.who("postgres", "secret", "postgres").await, "postgres in postgres");
    assert_eq!(delayed("delayed").await, 1.0);
    for _ in 0..5 {
        assert_eq!(pgsteer.who("postgres", "secret", "postgres").await, "postgres in postgres");
    }
    assert_eq!(delayed("delayed").await, 1.0);
    for _ in 0..4 {
        assert!(refused_as(&pgsteer, "other").await.starts_with("28P01"));
    }
    let began = now();
    assert!(refused_as(&pgsteer, "nobody").await.starts_with("28P01"));
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert_eq!(delayed("refused").await, 0.0);
    // Two of one address may wait at once; more are refused without waiting.
    let crowd = (0..20).map(|_| refused_as(&pgsteer, "nobody"));
    let said = futures_util::future::join_all(crowd).await;
    let turned_away =
        said.iter().filter(|said| **said == "53300 too many failed logins from your address").count();
    assert!(turned_away >= 16, "{said:?}");
    assert!(said.iter().filter(|said| said.starts_with("28P01")).count() >= 2, "{said:?}");
    assert_eq!(delayed("refused").await, turned_away as f64);
    assert_eq!(pgsteer.who("postgres", "secret", "postgres").await, "postgres in postgres");
}

#[tokio::test]
async fn nobody_waits_where_that_is_off() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let config = "auth_file = \"users.txt\"\nauth_failures_max = 0\n";
    let pgsteer = Pgsteer::start(&server, config, &[("users.txt", USERS)]).await;
    for _ in 0..50 {
        assert!(refused_as(&pgsteer, "other").await.starts_with("28P01"));
    }
    assert_eq!(pgsteer.metric("pgsteer_logins_delayed_total", &[]).await, 0.0);
}
