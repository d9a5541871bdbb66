//! pgsteer itself ends.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Door, Options, Release, Result, Single, eventually, scenario, sqlstate};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::NoTls;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_transactions_finish() -> Result {
    scenario(Options::default(), async |stage| {
        let config = stage.proxy.write_config();
        let client = Client::connect(&config).await?;
        client.batch_execute("BEGIN; INSERT INTO ledger (id, writer) VALUES (1, 1)").await?;
        let elsewhere = stage.proxy.write_config();

        let finishing = async {
            eventually("new clients are refused", Duration::from_secs(20), async || {
                let refused = Client::try_connect(&elsewhere, Duration::from_secs(5)).await.err();
                refused.filter(|state| state == "57P03")
            })
            .await?;
            client.batch_execute("COMMIT").await?;
            anyhow::Ok(())
        };
        let (code, finished) = tokio::join!(stage.proxy.stop(Duration::from_secs(40)), finishing);
        finished?;
        ensure!(code? == Some(0), "it ended with another code than 0");
        let leader = stage.cluster.leader().await?;
        let leader = leader.config(pgsteer_testkit::Login::TRADER, pgsteer_testkit::Cluster::DATABASE);
        let there = Client::connect(&leader).await?.text("SELECT count(*) FROM ledger").await?;
        ensure!(there == "1", "the transaction was not committed");
        Ok(())
    })
    .await
}

/// Nobody knows what to tell the first client of all while there is no server, so it waits: not for longer than it stays, nor
/// than pgsteer does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_waits_holds_nothing_up() -> Result {
    let overrides = r#"
        [auth]
        auth_type = "trust"
        [pool]
        max_client_conn = 1
        leader_wait_timeout = "5min"
    "#;
    let mut single = Single::start(Release::System, Door::Open, "", overrides).await?;
    single.server.kill9().await?;

    let left = waiting(&single).await?;
    drop(left);
    eventually("its place is free", Duration::from_secs(20), async || {
        single.proxy.log().contains("it has left").then_some(())
    })
    .await?;

    let mut stays = waiting(&single).await?;
    let mut told = Vec::new();
    let (code, read) = tokio::join!(single.proxy.stop(Duration::from_secs(20)), stays.read_to_end(&mut told));
    read?;
    ensure!(told.windows(6).any(|field| field == b"C57P03"), "it heard {}", told.escape_ascii());
    ensure!(code? == Some(0), "it ended with another code than 0");
    Ok(())
}

/// A client that waits to be let in, and has the only place meanwhile.
async fn waiting(single: &Single) -> Result<TcpStream> {
    let mut client = TcpStream::connect(single.proxy.write).await?;
    client.write_all(b"\0\0\0\x15\0\x03\0\0user\0trader\0\0").await?;
    eventually("it waits", Duration::from_secs(20), async || {
        let config = single.proxy.write_config();
        Client::try_connect(&config, Duration::from_secs(1)).await.err().filter(|state| state == "53300")
    })
    .await?;
    Ok(client)
}

/// Whoever stops pgsteer waits for what runs: it can be cancelled all the same, and pgsteer ends when it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_waits_for_can_be_cancelled() -> Result {
    let mut single = Single::start(Release::System, Door::Open, "", "").await?;
    let config = single.proxy.write_config();
    let client = Client::connect(&config).await?;
    let token = client.cancel_token();
    let cancelling = async {
        eventually("new clients are refused", Duration::from_secs(20), async || {
            Client::try_connect(&config, Duration::from_secs(5)).await.err().filter(|state| state == "57P03")
        })
        .await?;
        token.cancel_query(NoTls).await?;
        anyhow::Ok(())
    };
    let sleeping = client.batch_execute("SELECT pg_sleep(300)");
    let (code, cancelled, slept) =
        tokio::join!(single.proxy.stop(Duration::from_secs(40)), cancelling, sleeping);
    cancelled?;
    let heard = slept.as_ref().map_err(sqlstate);
    ensure!(heard == Err("57014".to_owned()), "the client heard {heard:?}");
    ensure!(code? == Some(0), "it ended with another code than 0");
    Ok(())
}
