//! One node: Patroni and its PostgreSQL.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::{Answer, Archive, Client, Moment, Options, Part, Result, Sandbox, connection_string, http, now};

/// A user of the cluster and its password.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// The role's name.
    pub user: &'static str,
    /// Its password.
    pub password: &'static str,
}

impl Login {
    /// The superuser.
    pub const POSTGRES: Self = Self { user: "postgres", password: "postgres-secret" };
    /// What standbys connect as.
    pub const REPLICATOR: Self = Self { user: "replicator", password: "replicator-secret" };
    /// What pgsteer probes as; has `pg_monitor` and nothing more.
    pub const MONITORING: Self = Self { user: "monitoring", password: "monitoring-secret" };
    /// The application.
    pub const TRADER: Self = Self { user: "trader", password: "trader-secret" };
}

/// A member of the cluster. Everything it runs is in its own part of the sandbox.
#[derive(Debug)]
pub struct Node {
    /// Its name, as the store knows it.
    pub name: String,
    /// PostgreSQL's address.
    pub address: SocketAddr,
    /// The address of Patroni's REST API.
    pub api: SocketAddr,
    part: Part,
    patroni: std::path::PathBuf,
    running: Option<Child>,
}

impl Node {
    pub(crate) fn prepare(
        sandbox: &Sandbox,
        number: u8,
        store: SocketAddr,
        options: &Options,
    ) -> Result<Self> {
        let name = format!("node{number}");
        let part = sandbox.part_at(10 + number, &name)?;
        let address = sandbox.address(10 + number, 5432)?;
        let api = sandbox.address(10 + number, 8008)?;
        let patroni = options.patroni.daemon(&sandbox.machine)?;
        let node = Self { name, address, api, part, patroni, running: None };
        let bin = sandbox.machine.pg_bin.display().to_string();
        let mut configuration = node.configuration(store, &bin, sandbox.addresses(), options);
        if options.archived {
            Archive::of(sandbox)?.add_to(&mut configuration);
        }
        node.part.write("patroni.yml", &configuration.to_string())?;
        Ok(node)
    }

    /// JSON is YAML.
    fn configuration(&self, store: SocketAddr, pg_bin: &str, all: &str, options: &Options) -> Value {
        let folder = self.part.folder().display().to_string();
        let hba = [
            "local all all trust".to_owned(),
            "local replication replicator trust".to_owned(), // for use_unix_socket_repl
            format!("host replication replicator {all} scram-sha-256"),
            format!("host all all {all} scram-sha-256"),
        ];
        json!({
            "scope": options.scope,
            "namespace": "/service/",
            "name": self.name,
            "restapi": { "listen": self.api.to_string(), "connect_address": self.api.to_string() },
            options.store.word(): options.store.section(store, options.way_to_store),
            "bootstrap": {
                "dcs": options.dynamic(),
                "initdb": [{ "encoding": "UTF8" }, { "locale": "C.UTF-8" }, "data-checksums"],
            },
            "postgresql": {
                "listen": self.address.to_string(),
                "connect_address": self.address.to_string(),
                "data_dir": format!("{folder}/data"),
                "bin_dir": pg_bin,
                "pgpass": format!("{folder}/pgpass"),
                "use_unix_socket": true,
                "use_unix_socket_repl": true,
                "authentication": {
                    "superuser": { "username": Login::POSTGRES.user, "password": Login::POSTGRES.password },
                    "replication": { "username": Login::REPLICATOR.user, "password": Login::REPLICATOR.password },
                },
                "parameters": { "unix_socket_directories": folder },
                "pg_hba": hba,
                "basebackup": [{ "checkpoint": "fast" }], // a spread one keeps the second standby waiting for 100 s
            },
            "watchdog": { "mode": "off" },
        })
    }

    /// Its number in a network of the sandbox's own: the last of its address.
    pub fn host(&self) -> u8 {
        match self.address.ip() {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        }
    }

    /// Gives it these tags instead of those it has, and tells Patroni, which takes them up in its next loop.
    ///
    /// # Errors
    /// Patroni does not answer.
    pub async fn tag(&self, tags: &Value) -> Result {
        let name = "patroni.yml";
        let text = std::fs::read_to_string(self.part.folder().join(name))?;
        let mut configuration: Value = serde_json::from_str(&text)?;
        configuration["tags"] = tags.clone();
        self.part.write(name, &configuration.to_string())?;
        let answer = self.rest("POST", "/reload", &Value::Null).await?;
        ensure!(answer.status == 202, "POST /reload: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// Starts Patroni, which starts PostgreSQL; returns at once.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Result {
        let config = self.part.folder().join("patroni.yml").display().to_string();
        self.running = Some(self.part.start(&self.patroni, &[config])?);
        Ok(())
    }

    /// kill -9 of Patroni and of every PostgreSQL process, as if the machine had lost power (its disk survives).
    /// The answer is when.
    ///
    /// # Errors
    /// A process escaped.
    pub async fn kill9(&mut self) -> Result<Moment> {
        let at = self.part.signal("KILL").await?;
        if let Some(mut child) = self.running.take() {
            child.wait().await?;
        }
        Ok(at)
    }

    /// kill -9 of Patroni alone: PostgreSQL goes on.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill_patroni(&mut self) -> Result {
        let mut child = self.running.take().context("Patroni does not run")?;
        child.kill().await?;
        Ok(())
    }

    /// Stops Patroni where it stands: PostgreSQL goes on.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze_patroni(&self) -> Result<Moment> {
        let pid = self.running.as_ref().and_then(Child::id).context("Patroni does not run")?;
        signal_one(pid.try_into()?, rustix::process::Signal::STOP)?;
        Ok(now())
    }

    /// kill -9 of the process that is PostgreSQL's parent: it ends with all its children, and Patroni starts it again.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash_postgresql(&self) -> Result<Moment> {
        let file = std::fs::read_to_string(self.part.folder().join("data/postmaster.pid"))?;
        let pid = file.lines().next().context("postmaster.pid is empty")?.parse()?;
        signal_one(pid, rustix::process::Signal::KILL)?;
        Ok(now())
    }

    /// Stops all of it where it stands: connections stay open, nothing answers. The answer is when.
    ///
    /// # Errors
    /// A process escaped.
    pub async fn freeze(&self) -> Result<Moment> {
        self.part.signal("STOP").await
    }

    /// Lets it go on. The answer is when.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn thaw(&self) -> Result<Moment> {
        self.part.signal("CONT").await
    }

    /// kill -9 of one PostgreSQL process of this node.
    ///
    /// # Errors
    /// There is no such process.
    pub fn kill_backend(&self, pid: i32) -> Result {
        signal_one(pid, rustix::process::Signal::KILL)
    }

    /// Stops replay on a standby: the WAL goes on arriving, nothing of it is applied. (Patroni undoes
    /// `pg_wal_replay_pause()` at its next loop; of a stopped start-up process it notices nothing.)
    ///
    /// # Errors
    /// The node is no standby.
    pub async fn freeze_replay(&self) -> Result {
        self.freeze_process("startup").await
    }

    /// Lets replay go on.
    ///
    /// # Errors
    /// The node is no standby.
    pub async fn thaw_replay(&self) -> Result {
        self.thaw_process("startup").await
    }

    /// Stops one process of PostgreSQL where it stands, by what it is (`walreceiver`, `archiver`).
    ///
    /// # Errors
    /// There is none.
    pub async fn freeze_process(&self, what: &str) -> Result {
        signal_one(self.process(what).await?, rustix::process::Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// There is none.
    pub async fn thaw_process(&self, what: &str) -> Result {
        signal_one(self.process(what).await?, rustix::process::Signal::CONT)
    }

    async fn process(&self, what: &str) -> Result<i32> {
        let client = self.superuser().await?;
        let row =
            client.query_opt("SELECT pid FROM pg_stat_activity WHERE backend_type = $1", &[&what]).await?;
        row.with_context(|| format!("{} has no {what}", self.name))?.try_get(0).map_err(Into::into)
    }

    /// How to reach this node's PostgreSQL directly.
    pub fn config(&self, login: Login, database: &str) -> tokio_postgres::Config {
        connection_string(self.address, login, database)
    }

    /// A connection of the superuser, directly.
    ///
    /// # Errors
    /// Not reachable.
    pub async fn superuser(&self) -> Result<Client> {
        Client::connect(&self.config(Login::POSTGRES, "postgres")).await
    }

    /// One request to Patroni's REST API.
    ///
    /// # Errors
    /// Not reachable within 60 s (a switchover answers when it is done).
    pub async fn rest(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(self.api, method, path, &body, Duration::from_secs(60)).await
    }
}

pub(crate) fn signal_one(pid: i32, signal: rustix::process::Signal) -> Result {
    let process = rustix::process::Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 1);
    ensure!(process.is_some(), "{pid} is no process of ours");
    if let Some(process) = process {
        rustix::process::kill_process(process, signal)?;
    }
    Ok(())
}
