//! What clients are told at their login, in which no other client's choices may show.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string, eventually};
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
