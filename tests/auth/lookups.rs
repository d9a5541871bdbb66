//! `auth_query`.

use pgsteer_testkit::eventually;
use std::time::Duration;

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const HBA: &str =
    "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

const ROLES: &str = "
    create role asker login password 'asking';
    grant select on pg_authid to asker;
    create role \"O'Neill \"\"ü\"\"\" login password 'Grüße';
    create role trader login password 'first';
    create role nologin password 'x';
    create role expired login password 'x' valid until '2001-01-01';
    create role nopassword login;
";

const WRONG: &str = "28P01 password authentication failed for user";

async fn server() -> Postgres {
    let server = Postgres::start(HBA);
    prepare(&server, "postgres", ROLES).await;
    server
}

async fn is_refused(pgsteer: &Pgsteer, user: &str, password: &str) {
    assert_eq!(
        pgsteer.who(user, password, "postgres").await,
        format!("{WRONG} \"{user}\""),
        "{}",
        pgsteer.log()
    );
}

async fn is_let_in(pgsteer: &Pgsteer, user: &str, password: &str) {
    assert_eq!(
        pgsteer.who(user, password, "postgres").await,
        format!("{user} in postgres"),
        "{}",
        pgsteer.log()
    );
}

/// No secret is in any file but that of the one who asks.
#[tokio::test]
async fn users_are_looked_up_and_their_scram_keys_passed_through() {
    let server = server().await;
    let config = "auth_user = \"asker\"\nauth_file = \"users.txt\"\nauth_cache_age = \"1h\"\n";
    let users = [("users.txt", "\"asker\" \"asking\"\n")];
    let pgsteer = Pgsteer::start(&server, config, &users).await;
    is_let_in(&pgsteer, "trader", "first").await;
    is_let_in(&pgsteer, "O'Neill \"ü\"", "Grüße").await;
    is_let_in(&pgsteer, "asker", "asking").await;
    for user in ["nobody", "nologin", "expired", "nopassword"] {
        is_refused(&pgsteer, user, "x").await;
    }
    let asked = async |outcome| pgsteer.metric("pgsteer_auth_queries_total", &[("outcome", outcome)]).await;
    assert_eq!(asked("refused").await + asked("unreachable").await, 0.0, "{}", pgsteer.log());
    // Remembered: no further question, however many log in.
    let before = asked("found").await;
    for _ in 0..10 {
        is_let_in(&pgsteer, "trader", "first").await;
    }
    assert_eq!(asked("found").await, before);
    a_changed_password_is_noticed(&server, &pgsteer).await;
    a_new_user_is_noticed(&server, &pgsteer).await;
    in_an_outage_those_who_are_known_are_let_in(&server, &pgsteer).await;
}

/// A SCRAM client has begun by the old secret when its proof fails, so the login after that is the first to succeed.
async fn a_changed_password_is_noticed(server: &Postgres, pgsteer: &Pgsteer) {
    prepare(server, "postgres", "alter role trader password 'second'").await;
    is_refused(pgsteer, "trader", "second").await;
    is_let_in(pgsteer, "trader", "second").await;
    is_refused(pgsteer, "trader", "first").await;
    is_let_in(pgsteer, "trader", "second").await;
}

async fn a_new_user_is_noticed(server: &Postgres, pgsteer: &Pgsteer) {
    is_refused(pgsteer, "novice", "x").await;
    prepare(server, "postgres", "create role novice login password 'x'").await;
    // Refused, it asks again; and to be unknown is not believed for longer than a second.
    let noticed = eventually("the new user is let in", Duration::from_secs(10), async || {
        (pgsteer.who("novice", "x", "postgres").await == "novice in postgres").then_some(())
    });
    noticed.await.unwrap();
}

async fn in_an_outage_those_who_are_known_are_let_in(server: &Postgres, pgsteer: &Pgsteer) {
    server.stop();
    pgsteer.readiness_becomes(503).await;
    let waiting = pgsteer.connect("trader", "second", "postgres").await.expect("a login during an outage");
    for user in ["trader", "novice"] {
        let wrong = pgsteer.connect(user, "wrong", "postgres").await.err();
        assert_eq!(wrong.as_deref(), Some(&*format!("{WRONG} \"{user}\"")));
    }
    server.start_again();
    let answered = tokio::time::timeout(Duration::from_secs(20), waiting.query_one("select 1", &[])).await;
    assert_eq!(answered.unwrap().unwrap().get::<_, i32>(0), 1);
}

/// With methods that ask the client once, its answer is judged by the new secret.
#[tokio::test]
async fn with_plain_and_md5_a_changed_password_works_at_once() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "set password_encryption = 'md5'; create role u login password 'first'")
        .await;
    for auth_type in ["plain", "md5"] {
        let config =
            format!("auth_type = \"{auth_type}\"\nauth_user = \"postgres\"\nauth_cache_age = \"1h\"\n");
        let pgsteer = Pgsteer::start(&server, &config, &[]).await;
        prepare(&server, "postgres", "set password_encryption = 'md5'; alter role u password 'first'").await;
        is_let_in(&pgsteer, "u", "first").await;
        prepare(&server, "postgres", "set password_encryption = 'md5'; alter role u password 'second'").await;
        is_let_in(&pgsteer, "u", "second").await;
        is_refused(&pgsteer, "u", "first").await;
        is_refused(&pgsteer, "nobody", "first").await;
    }
}

#[tokio::test]
async fn many_logins_at_once_share_one_question() {
    let server = server().await;
    let config = "auth_user = \"asker\"\nauth_password = \"asking\"\nauth_cache_age = \"0\"\n";
    let slow =
        "auth_query = \"SELECT rolname, rolpassword FROM pg_authid, pg_sleep(0.5) WHERE rolname = $1\"\n";
    let pgsteer = Pgsteer::start(&server, &format!("{config}{slow}"), &[]).await;
    let logins = (0..50).map(|_| pgsteer.who("trader", "first", "postgres"));
    let outcomes = futures_util::future::join_all(logins).await;
    assert!(outcomes.iter().all(|outcome| outcome == "trader in postgres"), "{outcomes:?}");
    let asked = pgsteer.metric("pgsteer_auth_queries_total", &[]).await;
    assert!((1.0..=10.0).contains(&asked), "{asked} questions");
}

#[tokio::test]
async fn a_database_may_have_its_own_way() {
    let server = server().await;
    prepare(&server, "postgres", "create role app login password 'app'").await;
    prepare(&server, "postgres", "create database shop").await;
    let own = "
        create table tenants (name text, secret text);
        insert into tenants values ('alice', 'wonderland'), ('app', 'x'), ('twice', 'a'), ('twice', 'b');
        create role shopkeeper login password 'keeping';
        grant select on tenants to shopkeeper;
    ";
    prepare(&server, "shop", own).await;
    let config = "
        auth_user = \"asker\"
        auth_password = \"asking\"
        [databases.shop]
        user = \"app\"
        password = \"app\"
        auth_user = \"shopkeeper\"
        auth_password = \"keeping\"
        auth_query = \"SELECT name, secret FROM tenants WHERE name = $1\"
        auth_dbname = \"shop\"
        [databases.broken]
        dbname = \"shop\"
        auth_query = \"SELECT 1 / 0, $1\"
    ";
    let pgsteer = Pgsteer::start(&server, config, &[]).await;
    assert_eq!(pgsteer.who("alice", "wonderland", "shop").await, "app in shop");
    assert_eq!(pgsteer.who("alice", "wonderland", "postgres").await, format!("{WRONG} \"alice\""));
    assert_eq!(pgsteer.who("trader", "first", "shop").await, format!("{WRONG} \"trader\""));
    assert_eq!(pgsteer.who("trader", "first", "postgres").await, "trader in postgres");
    for (user, database) in [("twice", "shop"), ("trader", "broken")] {
        let said = pgsteer.who(user, "x", database).await;
        assert_eq!(said, "58000 users cannot be looked up on the servers", "{user}");
    }
    assert!(pgsteer.log().contains("it yields more than one row"), "{}", pgsteer.log());
    assert!(pgsteer.log().contains("division by zero"), "{}", pgsteer.log());
}

#[tokio::test]
async fn another_password_of_the_one_who_asks_counts_after_a_reload() {
    let server = server().await;
    let config = "auth_user = \"asker\"\nauth_password_file = \"password\"\n";
    let pgsteer = Pgsteer::start(&server, config, &[("password", "wrong")]).await;
    let said = pgsteer.who("trader", "first", "postgres").await;
    assert_eq!(said, "58000 users cannot be looked up on the servers");
    std::fs::write(pgsteer.file("password"), "asking").unwrap();
    pgsteer.reload("ok").await;
    is_let_in(&pgsteer, "trader", "first").await;
}

/// Rules ask the servers who is a member of what, as `pg_hba.conf` there would have it, and remember it as they do secrets.
#[tokio::test]
async fn memberships_are_looked_up() {
    let server = server().await;
    let roles = "
        create role staff; create role dba role staff; create database staff; create database sales; create database dba;
        create role ann login password 'x' in role dba; create role bob login password 'x';
        create role eve login superuser password 'x'; create role eager login password 'x';";
    for statement in roles.split(';').filter(|statement| !statement.trim().is_empty()) {
        prepare(&server, "postgres", statement).await;
    }
    let config = "auth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\nauth_user = \"asker\"\n\
                  auth_password = \"asking\"\nauth_cache_age = \"1h\"\n[pool]\nclient_login_timeout = \"2s\"\n";
    let rules = "host postgres +staff all reject\nhost postgres +dba all scram-sha-256\n\
                 host samerole all all scram-sha-256\nhost sales +bob,eager all scram-sha-256\n";
    prepare(&server, "postgres", "grant staff to eager").await;
    let pgsteer = Pgsteer::start(&server, config, &[("pg_hba.conf", rules)]).await;
    let none = |user: &str, database: &str| {
        format!(
            "28000 no pg_hba.conf entry for host \"127.0.0.1\", user \"{user}\", database \"{database}\", no encryption"
        )
    };
    let rejected = "28000 pg_hba.conf rejects connection for host \"127.0.0.1\", user \"eager\", database \"postgres\", no encryption";
    for (user, database, expected) in [
        ("ann", "postgres", "ann in postgres".to_owned()),
        ("eager", "postgres", rejected.to_owned()),
        ("eager", "staff", "eager in staff".to_owned()),
        ("eager", "dba", "eager in dba".to_owned()),
        ("eager", "sales", "eager in sales".to_owned()),
        // Everybody is a member of himself. A superuser is no member of anything for being one.
        ("bob", "sales", "bob in sales".to_owned()),
        ("bob", "staff", none("bob", "staff")),
        ("eve", "postgres", none("eve", "postgres")),
        ("stranger", "postgres", none("stranger", "postgres")),
    ] {
        assert_eq!(pgsteer.who(user, "x", database).await, expected, "{user}@{database}: {}", pgsteer.log());
    }
    // That somebody is a member is remembered, that he is not for a second at most.
    prepare(&server, "postgres", "revoke dba from ann").await;
    assert_eq!(pgsteer.who("ann", "x", "postgres").await, "ann in postgres");
    prepare(&server, "postgres", "grant dba to bob").await;
    let noticed = eventually("the new member is let in", Duration::from_secs(10), async || {
        (pgsteer.who("bob", "x", "postgres").await == "bob in postgres").then_some(())
    });
    noticed.await.unwrap();
    // In an outage who is known to be a member is one.
    server.stop();
    pgsteer.readiness_becomes(503).await;
    let waiting = pgsteer.connect("bob", "x", "postgres").await;
    assert!(waiting.is_ok(), "{waiting:?} {}", pgsteer.log());
    let unheard = pgsteer.who("unheard", "x", "postgres").await;
    assert_eq!(unheard, "57014 canceling authentication due to timeout");
}
