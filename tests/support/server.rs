//! One PostgreSQL without Patroni, of a chosen release.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Child;

use crate::node::signal_one;
use crate::{Client, Cluster, Login, Part, Result, Sandbox, connection_string, eventually};

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The one that the system has installed.
    System,
    /// 18, which `deploy/install.sh pg18` unpacks.
    Eighteen,
    /// 19, which `deploy/install.sh pg19` unpacks.
    Nineteen,
}

impl Release {
    /// The folder of its programs.
    ///
    /// # Errors
    /// It is not installed; the message says what installs it.
    pub fn programs(self, sandbox: &Sandbox) -> Result<PathBuf> {
        match self {
            Self::System => Ok(sandbox.machine.pg_bin.clone()),
            Self::Eighteen => sandbox.machine.tool("postgresql-18/bin", "deploy/install.sh pg18"),
            Self::Nineteen => {
                sandbox.machine.tool("postgresql-19/usr/lib/postgresql/19/bin", "deploy/install.sh pg19")
            }
        }
    }
}

/// Who is let in, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// With a password, by SCRAM.
    Scram,
    /// Everybody.
    Open,
}

/// A running server, with the roles and the database of the cluster's.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder of its programs.
    pub programs: PathBuf,
    part: Part,
    running: Child,
}

const SETTINGS: &str = "
shared_buffers = 64MB
max_connections = 200
max_prepared_transactions = 10
dynamic_shared_memory_type = mmap
fsync = off
jit = off
max_wal_senders = 10
wal_keep_size = 128MB
wal_level = logical
";

impl Server {
    /// Makes and starts one; `settings` is added to its `postgresql.conf`.
    ///
    /// # Errors
    /// It is not installed, or does not answer within a minute.
    pub async fn start(sandbox: &Sandbox, release: Release, door: Door, settings: &str) -> Result<Self> {
        let part = sandbox.part("server")?;
        let address = sandbox.address(20, 5432)?;
        let programs = release.programs(sandbox)?;
        let superuser = Login::POSTGRES;
        let password = part.write("password", superuser.password)?;
        let data = part.folder().join("data");
        let words = ["-N", "--no-locale", "-E", "UTF8", "-U", superuser.user, "-A", "scram-sha-256"];
        let mut arguments: Vec<_> = words.map(str::to_owned).to_vec();
        arguments.push(format!("--pwfile={}", password.display()));
        arguments.push(data.display().to_string());
        let made = part.start(&programs.join("initdb"), &arguments)?.wait().await?;
        ensure!(made.success(), "initdb: {}", std::fs::read_to_string(part.log())?);

        let own = format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = '{}'\n",
            address.ip(),
            address.port(),
            part.folder().display()
        );
        append(&data.join("postgresql.conf"), &format!("{SETTINGS}{own}{settings}"))?;
        let method = if door == Door::Open { "trust" } else { "scram-sha-256" };
        let hba = ["local all all", "host all all 127.0.0.0/8", "host replication all 127.0.0.0/8"];
        let hba = hba.map(|who| format!("{who} {method}\n")).concat();
        part.write("data/pg_hba.conf", &hba)?;
        let arguments = ["-D".to_owned(), data.display().to_string()];
        let running = part.start(&programs.join("postgres"), &arguments)?;
        let server = Self { address, programs, part, running };
        server.answers().await?;
        server.populate().await?;
        Ok(server)
    }

    /// Kills one of its processes.
    ///
    /// # Errors
    /// There is none.
    pub fn kill_backend(&self, pid: i32) -> Result {
        signal_one(pid, rustix::process::Signal::KILL)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.part.log()).unwrap_or_default()
    }

    /// Makes and starts a standby of this one, which streams from it. `host` is the last number of its address; `settings`
    /// is added to its `postgresql.conf`.
    ///
    /// # Errors
    /// The backup fails, or it does not answer within a minute.
    pub async fn standby(&self, sandbox: &Sandbox, name: &str, host: u8, settings: &str) -> Result<Self> {
        let part = sandbox.part(name)?;
        let address = sandbox.address(host, 5432)?;
        let data = part.folder().join("data");
        let Login { user, password, .. } = Login::TRADER;
        let (ip, port) = (self.address.ip(), self.address.port());
        let from = format!("host={ip} port={port} user={user} password={password} application_name={name}");
        let arguments = ["-R", "-X", "stream", "-c", "fast", "-d", &from, "-D"].map(str::to_owned);
        let arguments = [&arguments[..], &[data.display().to_string()]].concat();
        let made = part.start(&self.programs.join("pg_basebackup"), &arguments)?.wait().await?;
        ensure!(made.success(), "pg_basebackup: {}", std::fs::read_to_string(part.log())?);
        let own = format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = '{}'\n",
            address.ip(),
            address.port(),
            part.folder().display()
        );
        append(&data.join("postgresql.conf"), &format!("{own}{settings}"))?;
        let arguments = ["-D".to_owned(), data.display().to_string()];
        let running = part.start(&self.programs.join("postgres"), &arguments)?;
        let standby = Self { address, programs: self.programs.clone(), part, running };
        standby.answers().await?;
        Ok(standby)
    }

    /// Kills its postmaster without a word; the backends end by themselves.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn kill9(&mut self) -> Result {
        Ok(self.running.kill().await?)
    }

    async fn answers(&self) -> Result {
        eventually("PostgreSQL answers", Duration::from_secs(60), async || self.superuser().await.ok())
            .await
            .map(drop)
            .with_context(|| std::fs::read_to_string(self.part.log()).unwrap_or_default())
    }

    async fn populate(&self) -> Result {
        let [monitoring, trader] = [Login::MONITORING, Login::TRADER];
        let superuser = self.superuser().await?;
        for statement in [
            format!(
                "CREATE ROLE {} LOGIN PASSWORD '{}' IN ROLE pg_monitor",
                monitoring.user, monitoring.password
            ),
            format!("CREATE ROLE {} LOGIN REPLICATION PASSWORD '{}'", trader.user, trader.password),
            format!("CREATE DATABASE {} OWNER {}", Cluster::DATABASE, trader.user),
        ] {
            superuser.batch_execute(&statement).await?;
        }
        Ok(())
    }

    /// A connection of the superuser, directly.
    ///
    /// # Errors
    /// Not reachable.
    pub async fn superuser(&self) -> Result<Client> {
        let config = connection_string(self.address, Login::POSTGRES, "postgres");
        Client::try_connect(&config, Duration::from_secs(10))
            .await
            .map_err(|state| anyhow::anyhow!("connecting: {state}"))
    }
}

fn append(file: &Path, text: &str) -> Result {
    let mut file = std::fs::File::options().append(true).open(file)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).context("postgresql.conf")
}
