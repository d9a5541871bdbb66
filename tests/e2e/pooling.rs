//! Who gets a server, with the real thing behind: across workers, and beyond the pool's size.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Options, Result, Stage, now, scenario_with, sqlstate};

/// More clients than any worker has of its own.
const CLIENTS: usize = 8;
/// With one server for all, a client that was passed over until it gave up would tell.
const ONE_SERVER: &str = "[runtime]\nworkers = 4\n\
    [pool]\ndefault_pool_size = 1\nquery_wait_timeout = \"5s\"\n";

/// A server belongs to the worker that opened it; the clients of the others must get it as well, when it idles and
/// when it is in demand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_serves_the_clients_of_all_workers() -> Result {
    scenario_with(Options::default(), ONE_SERVER, async |stage| {
        let clients = connect(stage, CLIENTS).await?;
        let pid = clients[0].text("SELECT pg_backend_pid()").await?;
        for round in 0..50 {
            for (number, client) in clients.iter().enumerate() {
                let asked = now();
                let answered = client.text("SELECT pg_backend_pid()").await;
                let answered = answered.with_context(|| format!("client {number}, round {round}"))?;
                ensure!(answered == pid, "a second server was opened");
                let waited = asked.elapsed();
                ensure!(waited < Duration::from_secs(1), "{waited:?} for a server that idled");
            }
        }

        let shares = shares_within(clients, Duration::from_secs(3)).await?;
        println!("queries of each client in three seconds: {shares:?}");
        let fair = shares.iter().sum::<u32>() / u32::try_from(CLIENTS)?;
        ensure!(fair > 0, "nobody was served");
        let (least, most) = (shares.iter().min(), shares.iter().max());
        ensure!(least.is_some_and(|least| *least >= fair / 2), "a client had less than half its share");
        ensure!(most.is_some_and(|most| *most <= fair * 2), "a client had more than twice its share");
        Ok(())
    })
    .await
}

/// All clients ask as fast as they are answered; how often each was.
async fn shares_within(clients: Vec<Client>, time: Duration) -> Result<Vec<u32>> {
    let until = now() + time;
    let asking = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let mut answers = 0;
            while now() < until {
                client.text("SELECT 1").await?;
                answers += 1;
            }
            Result::Ok(answers)
        })
    });
    let mut shares = Vec::new();
    for asking in asking.collect::<Vec<_>>() {
        shares.push(asking.await??);
    }
    Ok(shares)
}

/// A client that has waited `reserve_pool_timeout` gets a server beyond the pool's size; the reserve has an end too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserve_is_opened_after_its_timeout() -> Result {
    let reserve = "[pool]\ndefault_pool_size = 1\nreserve_pool_size = 1\n\
        reserve_pool_timeout = \"500ms\"\nquery_wait_timeout = \"2s\"\n";
    scenario_with(Options::default(), reserve, async |stage| {
        let clients = connect(stage, 3).await?;
        let mut pids = Vec::new();
        for (client, least, most) in [(&clients[0], 0, 400), (&clients[1], 500, 1900)] {
            let asked = now();
            client.batch_execute("BEGIN").await?;
            let waited = asked.elapsed().as_millis();
            ensure!((least..most).contains(&waited), "waited {waited} ms instead of {least} to {most}");
            pids.push(client.text("SELECT pg_backend_pid()").await?);
        }
        ensure!(pids[0] != pids[1], "two open transactions on one server");
        let refused = clients[2].batch_execute("SELECT 1").await.err().context("a third server")?;
        ensure!(sqlstate(&refused) == "53300", "refused with {}", sqlstate(&refused));

        for client in &clients[..2] {
            client.batch_execute("COMMIT").await?;
        }
        clients[2].batch_execute("SELECT 1").await?;
        Ok(())
    })
    .await
}

async fn connect(stage: &Stage, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::connect(&stage.proxy.write_config()).await?);
    }
    Ok(clients)
}
