//! The cluster: etcd and three Patroni nodes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    Client, Coordinator, Etcd, Ground, LeaderChange, LeaderKey, Link, Login, Machine, Moment, Node, Result,
    Sandbox, Store, WayToStore, eventually,
};

/// Which Patroni runs a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub enum Patroni {
    /// The current one.
    #[default]
    Current,
    /// A Patroni 3, which calls the leader `master` in the store and in its REST API.
    Three,
}

impl Patroni {
    pub(crate) fn daemon(self, machine: &Machine) -> Result<PathBuf> {
        match self {
            Self::Current => Ok(machine.patroni()),
            Self::Three => machine.tool("patroni-3/bin/patroni", "deploy/install.sh patroni3"),
        }
    }
}

/// What the cluster is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Patroni's scope.
    pub scope: String,
    /// Seconds: ttl, loop_wait and retry_timeout. The fastest that Patroni accepts unless changed.
    pub timers: [u32; 3],
    /// Changes to the dynamic configuration, merged over ours at its first level.
    pub overrides: Value,
    /// Where Patroni keeps what it knows.
    pub store: Store,
    /// How it gets there.
    pub way_to_store: WayToStore,
    /// Which Patroni runs it.
    pub patroni: Patroni,
    /// Whether WAL is archived, and restored from there.
    pub archived: bool,
    /// Where it lives.
    pub ground: Ground,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scope: "hft_trading".to_owned(),
            timers: [20, 1, 3],
            overrides: Value::Null,
            store: Store::Etcd3,
            way_to_store: WayToStore::Direct,
            patroni: Patroni::default(),
            archived: false,
            ground: Ground::default(),
        }
    }
}

impl Options {
    /// With Patroni's failsafe mode, in which a leader survives the loss of the store as long as it reaches all members.
    pub fn with_failsafe(mut self) -> Self {
        self.overrides = json!({ "failsafe_mode": true });
        self
    }

    /// With asynchronous replication: a failover may lose what was acknowledged.
    pub fn asynchronous(mut self) -> Self {
        self.overrides = json!({ "synchronous_mode": false });
        self
    }

    /// Whether a commit waits for a standby.
    pub fn is_synchronous(&self) -> bool {
        self.overrides["synchronous_mode"] != false
    }

    /// With a network of its own.
    pub const fn in_namespaces(mut self) -> Self {
        self.ground = Ground::Namespaces;
        self
    }

    /// With a link for each Patroni's way to the store, which can be cut: [`Cluster::links`].
    pub const fn with_links(mut self) -> Self {
        self.way_to_store = WayToStore::Links;
        self
    }

    /// With another store than etcd's v3 API.
    pub fn with_store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Patroni's dynamic configuration: one synchronous standby, one asynchronous.
    pub(crate) fn dynamic(&self) -> Value {
        let [ttl, loop_wait, retry_timeout] = self.timers;
        let mut dynamic = json!({
            "ttl": ttl,
            "loop_wait": loop_wait,
            "retry_timeout": retry_timeout,
            "maximum_lag_on_failover": 1_048_576,
            "synchronous_mode": true,
            "postgresql": {
                "use_pg_rewind": true,
                "use_slots": true,
                "parameters": {
                    "max_connections": 200,
                    "shared_buffers": "32MB",
                    "max_wal_size": "256MB",
                    "jit": "off",
                    // Files in the data directory, which goes when the sandbox goes, and not in /dev/shm.
                    "dynamic_shared_memory_type": "mmap",
                },
            },
        });
        for (key, value) in self.overrides.as_object().into_iter().flatten() {
            dynamic[key] = value.clone();
        }
        dynamic
    }
}

/// Each row says where and when in the cluster's life it was written.
const LEDGER: &str = "
    CREATE TABLE ledger (
        id bigint NOT NULL,
        writer int NOT NULL,
        server inet NOT NULL DEFAULT inet_server_addr(),
        timeline text NOT NULL DEFAULT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
    );
    CREATE INDEX ON ledger (id)";

/// A real Patroni cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The store.
    pub etcd: Etcd,
    /// The store instead, where it is no etcd.
    pub coordinator: Option<Coordinator>,
    /// The members, node1 to node3.
    pub nodes: Vec<Node>,
    /// The ways of their Patronis to the store, in the same order, where there are links.
    pub links: Vec<Link>,
    /// What it is like.
    pub options: Options,
    /// Where it lives; last, because the others live in it.
    pub sandbox: Sandbox,
}

impl Cluster {
    /// The database of the application.
    pub const DATABASE: &'static str = "trading";

    /// Chooses addresses and writes configurations; nothing runs yet.
    ///
    /// # Errors
    /// A program is missing, or no port is free.
    pub fn prepare(options: Options) -> Result<Self> {
        let sandbox = Sandbox::on(options.ground)?;
        let etcd = Etcd::prepare(&sandbox, options.store)?;
        let coordinator = Coordinator::prepare(&sandbox, options.store)?;
        let store = coordinator.as_ref().map_or(etcd.address, |coordinator| coordinator.address);
        let links = match options.way_to_store {
            WayToStore::Direct => Vec::new(),
            WayToStore::Links => {
                let links = (31..=33).map(|host| Link::to(&sandbox, host, store));
                links.collect::<Result<_>>()?
            }
        };
        let node = |number: u8| {
            let link = links.get(usize::from(number) - 1);
            Node::prepare(&sandbox, number, link.map_or(store, |link| link.address), &options)
        };
        let nodes = (1..=3).map(node).collect::<Result<_>>()?;
        Ok(Self { nodes, etcd, coordinator, links, options, sandbox })
    }

    /// Starts etcd and the nodes, waits until all are healthy, and makes users and database.
    ///
    /// # Errors
    /// It did not become healthy within two minutes.
    pub async fn launch(&mut self) -> Result {
        self.launch_processes().await?;
        self.healthy(Duration::from_secs(120)).await?;
        self.populate().await
    }

    pub(crate) async fn launch_processes(&mut self) -> Result {
        match &mut self.coordinator {
            Some(coordinator) => coordinator.start().await?,
            None => self.etcd.start().await?,
        }
        self.nodes.iter_mut().try_for_each(Node::start)
    }

    /// [`Cluster::prepare`] and [`Cluster::launch`].
    ///
    /// # Errors
    /// Theirs.
    pub async fn start(options: Options) -> Result<Self> {
        let mut cluster = Self::prepare(options)?;
        cluster.launch().await.with_context(|| cluster.sandbox.logs(15))?;
        Ok(cluster)
    }

    async fn populate(&self) -> Result {
        let [monitoring, trader] = [Login::MONITORING, Login::TRADER];
        let leader = self.leader().await?;
        let postgres = leader.superuser().await?;
        for statement in [
            format!(
                "CREATE ROLE {} LOGIN PASSWORD '{}' IN ROLE pg_monitor",
                monitoring.user, monitoring.password
            ),
            format!("CREATE ROLE {} LOGIN PASSWORD '{}'", trader.user, trader.password),
            format!("CREATE DATABASE {} OWNER {}", Self::DATABASE, trader.user),
        ] {
            postgres.batch_execute(&statement).await?;
        }
        let owner = Client::connect(&leader.config(trader, Self::DATABASE)).await?;
        owner.batch_execute(LEDGER).await?;
        self.caught_up(Duration::from_secs(20)).await
    }

    /// Waits until every running replica has replayed what the leader has written.
    ///
    /// # Errors
    /// One does not catch up in time.
    pub async fn caught_up(&self, within: Duration) -> Result {
        let leader = self.leader().await?.superuser().await?;
        let target: String = leader.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.try_get(0)?;
        eventually(&format!("replicas replayed {target}"), within, async || {
            for replica in self.replicas().await.ok()? {
                let client = replica.superuser().await.ok()?;
                let query = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
                let there: bool = client.query_one(query, &[&target]).await.ok()?.try_get(0).ok()?;
                there.then_some(())?;
            }
            Some(())
        })
        .await
    }

    /// The members as Patroni's REST API shows them, from whichever node answers first.
    pub(crate) async fn members(&self) -> Option<Vec<Value>> {
        for node in &self.nodes {
            let asked = crate::http::request(node.api, "GET", "/cluster", "", Duration::from_secs(1)).await;
            if let Some(members) = asked.ok().and_then(|answer| answer.json()["members"].as_array().cloned())
            {
                return Some(members);
            }
        }
        None
    }

    async fn named(&self, role: &[&str]) -> Option<Vec<&Node>> {
        let members = self.members().await?;
        let names = members.iter().filter(|member| role.iter().any(|role| member["role"] == *role));
        let names: Vec<_> = names.filter_map(|member| member["name"].as_str()).collect();
        Some(self.nodes.iter().filter(|node| names.contains(&node.name.as_str())).collect())
    }

    pub(crate) async fn the(&self, role: &str) -> Result<&Node> {
        let within = Duration::from_secs(60);
        eventually(&format!("there is a {role}"), within, async || {
            self.named(&[role]).await?.first().copied()
        })
        .await
    }

    /// The node that holds the leader lock.
    ///
    /// # Errors
    /// Nobody does for a minute.
    pub async fn leader(&self) -> Result<&Node> {
        self.the("leader").await
    }

    /// The standby that must confirm each commit.
    ///
    /// # Errors
    /// There is none for a minute.
    pub async fn sync_standby(&self) -> Result<&Node> {
        self.the("sync_standby").await
    }

    /// The standby that need not.
    ///
    /// # Errors
    /// There is none for a minute.
    pub async fn async_standby(&self) -> Result<&Node> {
        self.the("replica").await
    }

    /// Both.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn replicas(&self) -> Result<Vec<&Node>> {
        self.named(&["sync_standby", "replica"]).await.context("no node answers")
    }

    /// Whom the witness of the leader key saw named, and when, by address.
    pub fn leaders(&self, changes: &[LeaderChange]) -> Vec<(Moment, IpAddr)> {
        let address = |name: &str| self.nodes.iter().find(|node| node.name == name);
        let named =
            changes.iter().filter_map(|(at, name)| Some((*at, address(name.as_deref()?)?.address.ip())));
        named.collect()
    }

    /// A member by name, to do something to it.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn node(&mut self, name: &str) -> Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.name == name).with_context(|| format!("no node {name}"))
    }

    /// Waits until there is a leader and two streaming replicas, one of them synchronous where replication is.
    ///
    /// # Errors
    /// Not within that time; the message says what there was.
    pub async fn healthy(&self, within: Duration) -> Result {
        let mut last = None;
        let (synchronous, others) = if self.options.is_synchronous() { (1, 1) } else { (0, 2) };
        let waited = eventually("a leader and two standbys that stream", within, async || {
            last = self.members().await;
            let count = |role: &str, state: &str| {
                let fits = |member: &&Value| member["role"] == role && member["state"] == state;
                last.iter().flatten().filter(fits).count()
            };
            let all = count("leader", "running") == 1
                && count("sync_standby", "streaming") == synchronous
                && count("replica", "streaming") == others;
            all.then_some(())
        });
        waited.await.with_context(|| format!("members: {last:?}"))
    }

    /// A planned switchover to a standby, the synchronous one where there is one; returns when Patroni says it is done, with the new leader's name.
    ///
    /// # Errors
    /// Patroni refused.
    pub async fn switchover(&self) -> Result<String> {
        let from = self.leader().await?;
        let to = if self.options.is_synchronous() {
            self.sync_standby().await?
        } else {
            self.async_standby().await?
        };
        let request = json!({ "leader": from.name, "candidate": to.name });
        let answer = from.rest("POST", "/switchover", &request).await?;
        ensure!(answer.status == 200, "switchover: {} {}", answer.status, answer.body);
        Ok(to.name.clone())
    }

    /// Changes Patroni's dynamic configuration.
    ///
    /// # Errors
    /// Patroni refused.
    pub async fn configure(&self, change: &Value) -> Result {
        let answer = self.leader().await?.rest("PATCH", "/config", change).await?;
        ensure!(answer.status == 200, "PATCH /config: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// Where the store is.
    pub fn store_address(&self) -> std::net::SocketAddr {
        self.coordinator.as_ref().map_or(self.etcd.address, |coordinator| coordinator.address)
    }

    /// A witness of the leader key; blind to other stores than etcd's v3 API.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn watch_leader_key(&self) -> Result<LeaderKey> {
        if self.options.store != Store::Etcd3 {
            return Ok(LeaderKey::blind());
        }
        LeaderKey::watch(self.etcd.address, format!("/service/{}/leader", self.options.scope)).await
    }
}
