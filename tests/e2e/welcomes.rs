//! What clients are told at their login, in which no other client's choices may show.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string, eventually};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

/// As seen by the text alone nobody could ask for it where writes are not allowed.
const READ_ONLY: &str = "SELECT setting FROM pg_settings WHERE name ~ '^default_trans.*_read'";

/// What a client is told of these settings.
async fn told<const N: usize>(config: &Config, names: [&str; N]) -> Result<[String; N]> {
    let login = tokio::time::timeout(Duration::from_secs(20), config.connect(NoTls));
    let (_client, connection) = login.await.context("no login")??;
    Ok(names.map(|name| connection.parameter(name).unwrap_or("-").to_owned()))
}

/// Reads that fall back on the leader cannot write there, whoever logged in first; and nobody else is told so or held to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_on_the_leader_leave_nobody_else_read_only() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"\n[replicas]\nfallback = \"leader\"";
    let stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let (read, write) = ((stage.proxy.read, "on"), (stage.proxy.write, "off"));
    for (user, order) in [(Login::TRADER, [read, write, read]), (Login::POSTGRES, [write, read, write])] {
        for (address, expected) in order {
            let config = connection_string(address, user, Cluster::DATABASE);
            let told = told(&config, ["default_transaction_read_only", "in_hot_standby"]).await?;
            ensure!(told == [expected, "off"], "{} at {address} was told {told:?}", user.user);
            let client = Client::connect(&config).await?;
            let found = client.text(READ_ONLY).await?;
            ensure!(found == expected, "{} at {address} found {found}", user.user);
            let writes = client.batch_execute("CREATE TABLE written(); DROP TABLE written").await;
            ensure!(writes.is_ok() == (expected == "off"), "{} at {address}: {writes:?}", user.user);
        }
    }
    // What a function does to that behind our back is its client's alone.
    let cunning = Client::connect(&connection_string(read.0, Login::POSTGRES, Cluster::DATABASE)).await?;
    let lift = "CREATE FUNCTION lift() RETURNS text LANGUAGE sql AS
                $$ SELECT set_config('default_transaction_read_only', 'off', false) $$";
    let writer = Client::connect(&connection_string(write.0, Login::POSTGRES, Cluster::DATABASE)).await?;
    writer.batch_execute(lift).await?;
    ensure!(cunning.text("SELECT lift()").await? == "off");
    let other = Client::connect(&connection_string(read.0, Login::POSTGRES, Cluster::DATABASE)).await?;
    ensure!(other.text(READ_ONLY).await? == "on", "another client may write");
    Ok(())
}

/// While there is no server to ask a client is told what one would say to it: nothing that others have chosen at their start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_shows_nobodys_choices() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"\n[pool]\nleader_wait_timeout = \"10s\"";
    let mut stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let to = |login: Login, address: SocketAddr| connection_string(address, login, Cluster::DATABASE);
    let names = ["is_superuser", "session_authorization", "server_encoding", "TimeZone"];
    let write = stage.proxy.write;
    let plain = told(&to(Login::POSTGRES, write), names).await?;
    ensure!(plain[..3] == ["on", "postgres", "UTF8"], "{plain:?}");
    let mut modest = to(Login::POSTGRES, write);
    modest.options("-c role=trader");
    let role = told(&modest, names).await?;
    ensure!(role[..2] == ["off", "postgres"], "{role:?}");
    stage.server.kill9().await?;
    eventually("there is no leader", Duration::from_secs(20), async || {
        let answer = stage.proxy.get("/ready?route=write").await.ok()?;
        (answer.status != 200).then_some(())
    })
    .await?;
    // Nobody has come with this zone before, so it is not remembered what such a one is told.
    let of_now = |mut config: Config, options: &str| {
        config.options(format!("-c TimeZone=Asia/Tokyo {options}"));
        config
    };
    for (login, options, expected) in [
        (Login::POSTGRES, "", ["on", "postgres", "UTF8", "Asia/Tokyo"]),
        (Login::POSTGRES, "-c role=trader", ["off", "postgres", "UTF8", "Asia/Tokyo"]),
        // Which of the two it is nobody has heard.
        (Login::POSTGRES, "-c role=monitoring", ["-", "postgres", "UTF8", "Asia/Tokyo"]),
        (Login::TRADER, "", ["-", "trader", "UTF8", "Asia/Tokyo"]),
    ] {
        let told = told(&of_now(to(login, write), options), names).await?;
        ensure!(told == expected, "{} {options}: {told:?}", login.user);
    }
    Ok(())
}

/// Roles and databases may change at any time, and the configuration of the server: who logs in then is told, and finds, what
/// is so now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_meets_what_is_so_now() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"";
    let stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let fickle = Login { user: "fickle", password: "" };
    let to = |login: Login| connection_string(stage.proxy.write, login, Cluster::DATABASE);
    let admin = Client::connect(&to(Login::POSTGRES)).await?;
    admin.batch_execute("CREATE ROLE fickle LOGIN").await?;
    let before = Client::connect(&to(fickle)).await?;
    before.batch_execute("SELECT 1").await?;
    // What one has set itself, be it to what it was, stays as it is.
    let chosen = Client::connect(&to(fickle)).await?;
    chosen.batch_execute("SET DateStyle = 'ISO, MDY'").await?;
    for (change, told_name, told_value, shown, expected) in [
        ("SELECT 1", "is_superuser", "off", "work_mem", "4MB"),
        ("ALTER ROLE fickle SUPERUSER", "is_superuser", "on", "is_superuser", "on"),
        ("ALTER ROLE fickle SET work_mem = '1234kB'", "is_superuser", "on", "work_mem", "1234kB"),
        (
            "ALTER DATABASE trading SET DateStyle = german",
            "DateStyle",
            "German, DMY",
            "DateStyle",
            "German, DMY",
        ),
        ("ALTER DATABASE trading RESET DateStyle", "DateStyle", "ISO, MDY", "DateStyle", "ISO, MDY"),
        (RELOADED[0], "TimeZone", "Asia/Tokyo", "TimeZone", "Asia/Tokyo"),
        (RELOADED[1], "default_transaction_read_only", "on", "transaction_read_only", "on"),
        (RELOADED[2], "default_transaction_read_only", "off", "transaction_read_only", "off"),
    ] {
        for part in change.split(';') {
            admin.simple_query(part).await.with_context(|| part.to_owned())?;
        }
        let [said] = told(&to(fickle), [told_name]).await?;
        ensure!(said == told_value, "{change}: {told_name} is {said}");
        for _ in 0..3 {
            let found = Client::connect(&to(fickle)).await?.text(&format!("SHOW {shown}")).await?;
            ensure!(found == expected, "{change}: {shown} is {found}");
        }
        // Who was only told, hears it with the next statement.
        let found = before.text(&format!("SHOW {shown}")).await?;
        ensure!(found == expected, "{change}: {shown} is {found} to whom it was told otherwise");
        if change == RELOADED[0] {
            // So does who has changed only what others find.
            let found = admin.text("SHOW TimeZone").await?;
            ensure!(found == expected, "{change}: TimeZone is {found} to who has changed it");
        }
        let kept = chosen.text("SHOW DateStyle").await?;
        ensure!(kept == "ISO, MDY", "{change}: {kept}");
    }
    // Who is in stays in, whoever else may come.
    admin.batch_execute("ALTER ROLE fickle NOLOGIN").await?;
    refused(&to(fickle), "28000").await?;
    before.batch_execute("SELECT 1").await?;
    admin.batch_execute("ALTER ROLE fickle LOGIN").await?;
    Ok(())
}

/// Changes of the server's configuration, each with what puts it in force.
const RELOADED: [&str; 3] = [
    "ALTER SYSTEM SET TimeZone = 'Asia/Tokyo';SELECT pg_reload_conf()",
    "ALTER SYSTEM SET default_transaction_read_only = on;SELECT pg_reload_conf()",
    "SET default_transaction_read_only = off;ALTER SYSTEM RESET ALL;SELECT pg_reload_conf()",
];

/// Every login is refused with this SQLSTATE, at once.
async fn refused(config: &Config, state: &str) -> Result {
    for _ in 0..3 {
        let login = Client::try_connect(config, Duration::from_secs(5)).await;
        ensure!(login.as_ref().err().map(String::as_str) == Some(state), "{login:?} instead of {state}");
    }
    Ok(())
}

/// A database is dropped behind pgsteer's back: a session that was in it ends, and there is none to be had any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_database_is_gone_at_once() -> Result {
    let keys = "[auth]\nauth_type = \"trust\"";
    let stage = Single::start(Release::System, Door::Open, "", keys).await?;
    let direct = stage.server.superuser().await?;
    direct.batch_execute("CREATE DATABASE passing").await?;
    let config = connection_string(stage.proxy.write, Login::POSTGRES, "passing");
    let client = Client::connect(&config).await?;
    client.batch_execute("SELECT 1").await?;
    direct.batch_execute("DROP DATABASE passing WITH (FORCE)").await?;
    refused(&config, "3D000").await?;
    let Err(error) = client.batch_execute("SELECT 1").await else { anyhow::bail!("it was served") };
    ensure!(client.words(&error).0 == SqlState::INVALID_CATALOG_NAME.code(), "{error:?}");
    eventually("the session has ended", Duration::from_secs(5), async || client.is_closed().then_some(()))
        .await?;
    Ok(())
}
