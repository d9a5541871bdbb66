//! A cluster that follows a server which is not its own (Patroni's `standby_cluster`).

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{Archive, Cluster, Login, Node, Options, Result, Server, eventually};

impl Cluster {
    /// A standby cluster, which follows a server that is not its own and has its users and databases.
    ///
    /// # Errors
    /// That of the server; not all of it streams within two minutes.
    pub async fn following(upstream: &Server, mut options: Options) -> Result<Self> {
        let Login { user, password } = Login::REPLICATOR;
        let role = format!("CREATE ROLE {user} LOGIN REPLICATION PASSWORD '{password}'");
        upstream.superuser().await?.batch_execute(&role).await?;
        let (host, port) = (upstream.address.ip().to_string(), upstream.address.port());
        options.overrides = json!({ "standby_cluster": { "host": host, "port": port } });
        let mut cluster = Self::prepare(options)?;
        let started = async {
            cluster.launch_processes().await?;
            eventually(
                "a standby leader and two standbys of its own stream",
                Duration::from_secs(120),
                async || {
                    let streaming = async |role| cluster.streaming(role).await;
                    (streaming("standby_leader").await? == 1 && streaming("replica").await? == 2)
                        .then_some(())
                },
            )
            .await
        };
        started.await.with_context(|| cluster.sandbox.logs(15))?;
        Ok(cluster)
    }

    /// From now on a standby cluster gets what it replays from an archive alone: returns when Patroni has taken that in.
    ///
    /// # Errors
    /// Patroni refused.
    pub async fn restore_from(&self, archive: &Archive) -> Result {
        let restore_command = archive.restore_command();
        let feed = json!({ "host": null, "port": null, "restore_command": restore_command });
        self.configure_standby(&json!({ "standby_cluster": feed })).await
    }

    async fn configure_standby(&self, change: &Value) -> Result {
        let answer = self.standby_leader().await?.rest("PATCH", "/config", change).await?;
        ensure!(answer.status == 200, "PATCH /config: {} {}", answer.status, answer.body);
        Ok(())
    }

    async fn streaming(&self, role: &str) -> Option<usize> {
        let fits = |member: &&Value| member["role"] == role && member["state"] == "streaming";
        Some(self.members().await?.iter().filter(fits).count())
    }

    /// The node that leads while the cluster follows another one.
    ///
    /// # Errors
    /// None does for a minute.
    pub async fn standby_leader(&self) -> Result<&Node> {
        self.the("standby_leader").await
    }

    /// Lets a standby cluster follow nobody any more: returns when Patroni has taken that in.
    ///
    /// # Errors
    /// Patroni refused.
    pub async fn promote(&self) -> Result {
        self.configure_standby(&json!({ "standby_cluster": null })).await
    }
}
