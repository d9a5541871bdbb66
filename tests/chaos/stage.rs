//! The cluster and what stands in front of it.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Cluster, Login, PeerPrograms, Peers, Proxy, Result};

use crate::scenario::Replication;

/// Also `pgsteer switchover` needs it.
const TOKEN: &str = "[http]\ntoken = 'an operator and nobody else'";

/// A healthy cluster with pgsteer, and perhaps what it takes the place of, in front of it. The cluster is last, because
/// the others live in it.
pub(crate) struct Stage {
    pub(crate) replication: Replication,
    pub(crate) proxy: Proxy,
    pub(crate) peers: Option<Peers>,
    pub(crate) cluster: Cluster,
}

impl Stage {
    pub(crate) async fn set(replication: Replication, peers: Option<&PeerPrograms>) -> Result<Self> {
        let cluster = Cluster::start(replication.options()).await?;
        let granting = cluster.leader().await?.superuser().await?;
        granting.batch_execute(&format!("GRANT pg_checkpoint TO {}", Login::MONITORING.user)).await?;
        // What is acknowledged otherwise may be lost, and the ledger would have to say so.
        let trader =
            Client::connect(&cluster.leader().await?.config(Login::TRADER, Cluster::DATABASE)).await?;
        ensure!(trader.text("SHOW synchronous_commit").await? == "on", "synchronous_commit is not on");
        let proxy = Proxy::start_with(&cluster, TOKEN).await?;
        let peers = match peers {
            Some(programs) => Some(Peers::start(&cluster, programs.clone()).await?),
            None => None,
        };
        Ok(Self { replication, proxy, peers, cluster })
    }

    /// The stage that there is, where another scenario may begin there, or a new one.
    pub(crate) async fn fit_for<'a>(
        stage: &'a mut Option<Self>,
        replication: Replication,
        peers: Option<&PeerPrograms>,
    ) -> Result<&'a mut Self> {
        let is_fit = match stage {
            Some(old) => old.replication == replication && old.is_fit().await,
            None => false,
        };
        if !is_fit {
            *stage = None; // first of all: the new one will have its addresses
            *stage = Some(Self::set(replication, peers).await?);
        }
        stage.as_mut().context("there is no stage")
    }

    async fn is_fit(&mut self) -> bool {
        self.proxy.runs() && self.cluster.healthy(Duration::from_secs(5)).await.is_ok()
    }

    /// An empty ledger, so that reading it costs the same each time.
    pub(crate) async fn clear(&self) -> Result {
        let leader = self.cluster.leader().await?;
        let owner = leader.config(Login::TRADER, Cluster::DATABASE);
        let owner = Client::connect(&owner).await?;
        owner.batch_execute("TRUNCATE ledger").await.context("TRUNCATE")?;
        self.cluster.caught_up(Duration::from_secs(20)).await
    }
}
