//! pgsteer itself ends.

use std::time::Duration;

use anyhow::ensure;
use pgsteer_testkit::{Client, Options, Result, eventually, scenario};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_transactions_finish() -> Result {
    scenario(Options::default(), async |stage| {
        let config = stage.proxy.write_config();
        let client = Client::connect(&config).await?;
        client.batch_execute("BEGIN; INSERT INTO ledger (id, writer) VALUES (1, 1)").await?;
        let mut elsewhere = stage.proxy.write_config();
        elsewhere.connect_timeout(Duration::from_secs(1));

        let finishing = async {
            eventually("new clients are refused", Duration::from_secs(5), async || {
                Client::try_connect(&elsewhere, Duration::from_secs(1)).await.err()
            })
            .await?;
            client.batch_execute("COMMIT").await?;
            anyhow::Ok(())
        };
        let (code, finished) = tokio::join!(stage.proxy.stop(Duration::from_secs(10)), finishing);
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
