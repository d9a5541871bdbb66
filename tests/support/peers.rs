//! What pgsteer takes the place of: PgBouncer, and behind it a HAProxy that asks Patroni's REST API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Child;

use crate::{Client, Cluster, Login, Part, Result, connection_string, eventually};

/// The host that both run on.
const HOST: u8 = 3;
const WRITE: u16 = 5000;
const READ: u16 = 5001;
/// The database by whose name `PgBouncer` leads to replicas.
const READ_DATABASE: &str = "trading_read";

/// So many answers of the leader in a row, 20 ms and more apart, are longer than the time between two checks.
const STEADY: u32 = 200;

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct PeerPrograms {
    /// `PgBouncer` 1.21 or newer.
    pub pgbouncer: PathBuf,
    /// `HAProxy`.
    pub haproxy: PathBuf,
}

impl PeerPrograms {
    /// Those that `PGBOUNCER` and `HAPROXY` name, or `None`.
    pub fn named() -> Option<Self> {
        let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
        Some(Self { pgbouncer: named("PGBOUNCER")?, haproxy: named("HAPROXY")? })
    }
}

/// Both of them, running.
#[derive(Debug)]
pub struct Peers {
    address: SocketAddr,
    programs: PeerPrograms,
    haproxy: Part,
    pgbouncer: Part,
    running: Vec<Child>,
}

impl Peers {
    /// Starts them and waits until they serve writes, and nobody but the leader does.
    ///
    /// # Errors
    /// They do not within 30 s.
    pub async fn start(cluster: &Cluster, programs: PeerPrograms) -> Result<Self> {
        let sandbox = &cluster.sandbox;
        let address = sandbox.address(HOST, 6432)?;
        let haproxy = sandbox.part_at(HOST, "haproxy")?;
        let pgbouncer = sandbox.part_at(HOST, "pgbouncer")?;
        haproxy.write("haproxy.cfg", &balancing(cluster))?;
        let Login { user, password } = Login::TRADER;
        pgbouncer.write("users.txt", &format!("\"{user}\" \"{password}\"\n"))?;
        pgbouncer.write("pgbouncer.ini", &pooling(address))?;
        let mut peers = Self { address, programs, haproxy, pgbouncer, running: Vec::new() };
        peers.run().await?;
        Ok(peers)
    }

    async fn run(&mut self) -> Result {
        let file = |part: &Part, name: &str| part.folder().join(name).display().to_string();
        let arguments = ["-db".to_owned(), "-f".to_owned(), file(&self.haproxy, "haproxy.cfg")];
        self.running = vec![
            self.haproxy.start(&self.programs.haproxy, &arguments)?,
            self.pgbouncer.start(&self.programs.pgbouncer, &[file(&self.pgbouncer, "pgbouncer.ini")])?,
        ];
        let (write, within) = (self.write_config(), Duration::from_secs(1));
        // HAProxy takes every server for good until it has checked it.
        let mut answers = 0;
        eventually("HAProxy and PgBouncer serve writes", Duration::from_secs(30), async || {
            let client = Client::try_connect(&write, within).await.ok()?;
            let asking = tokio::time::timeout(within, client.text("SELECT pg_is_in_recovery()"));
            let leads = matches!(asking.await, Ok(Ok(recovering)) if recovering == "f");
            answers = if leads { answers + 1 } else { 0 };
            (answers == STEADY).then_some(())
        })
        .await
        .with_context(|| std::fs::read_to_string(self.pgbouncer.log()).unwrap_or_default())
    }

    /// kill -9 of both, and a new start.
    ///
    /// # Errors
    /// They do not serve within 30 s.
    pub async fn restart(&mut self) -> Result {
        for part in [&self.haproxy, &self.pgbouncer] {
            part.signal("KILL").await?;
        }
        for child in &mut self.running {
            child.wait().await?;
        }
        self.run().await
    }

    /// How the application reaches the leader through them.
    pub fn write_config(&self) -> tokio_postgres::Config {
        connection_string(self.address, Login::TRADER, Cluster::DATABASE)
    }

    /// How the application reaches replicas through them.
    pub fn read_config(&self) -> tokio_postgres::Config {
        connection_string(self.address, Login::TRADER, READ_DATABASE)
    }

    /// What the two say that they are.
    ///
    /// # Errors
    /// One of them does not run.
    pub fn versions(programs: &PeerPrograms) -> Result<String> {
        let first = |program: &PathBuf, flag: &str| -> Result<String> {
            let said = std::process::Command::new(program).arg(flag).output()?;
            ensure!(said.status.success(), "{} does not run", program.display());
            let line = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned();
            Ok(line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
        };
        Ok(format!("{}, {}", first(&programs.haproxy, "-v")?, first(&programs.pgbouncer, "--version")?))
    }
}

/// With the checks that Patroni's own template has.
fn balancing(cluster: &Cluster) -> String {
    let listen = |name: &str, port: u16, path: &str| {
        let server = |node: &crate::Node| {
            format!("  server {} {} maxconn 100 check port {}\n", node.name, node.address, node.api.port())
        };
        let servers: String = cluster.nodes.iter().map(server).collect();
        format!(
            "listen {name}\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS {path}\n  http-check expect status 200\n  \
             default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions\n{servers}"
        )
    };
    format!(
        "global\n  maxconn 1000\ndefaults\n  mode tcp\n  retries 2\n  timeout client 30m\n  timeout connect 4s\n  \
         timeout server 30m\n  timeout check 5s\n{}{}",
        listen("write", WRITE, "/primary"),
        listen("read", READ, "/replica")
    )
}

/// With `PgBouncer`'s defaults, except that it waits 1 s instead of 15 s after a refused connection.
fn pooling(address: SocketAddr) -> String {
    let database = Cluster::DATABASE;
    format!(
        "[databases]\n{database} = host=127.0.0.1 port={WRITE}\n\
         {READ_DATABASE} = host=127.0.0.1 port={READ} dbname={database}\n\
         [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
         auth_file = users.txt\npool_mode = transaction\nserver_login_retry = 1\nmax_client_conn = 1000\n",
        address.ip(),
        address.port()
    )
}
