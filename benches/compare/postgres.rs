//! The one server everything runs against: a temporary PostgreSQL on loopback; and a replica of it where one is needed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::Result;
use crate::child::{Child, RunAs};
use crate::client::Client;
use crate::scram::Account;

/// pgbench's scale: 1,000,000 accounts, 150 MB, all of it in shared buffers.
const SCALE: &str = "10";

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 200
password_encryption = 'scram-sha-256'
shared_buffers = '256MB'
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
jit = off
max_wal_size = '4GB'
";

/// A running replica. Dropping it ends it.
#[derive(Debug)]
struct Replica {
    address: SocketAddr,
    _process: Child,
}

/// A running PostgreSQL, the folder everything lives in, and who may log in. Dropping it removes them all.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Child,
    replica: OnceCell<Replica>,
    folder: TempDir,
    /// Whom servers run as.
    pub(crate) user: RunAs,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The user the load runs as, of a database of the same name.
    pub(crate) account: Account,
    /// The superuser, of a database of the same name.
    pub(crate) superuser: Account,
    /// What the server knows of the user's password (`SCRAM-SHA-256$…`).
    pub(crate) verifier: String,
}

impl Postgres {
    /// Creates, starts and fills one.
    pub(crate) async fn start() -> Result<Self> {
        let bin = bin_folder()?;
        let user = RunAs::find()?;
        let folder = tempfile::Builder::new().prefix("pgsteer-compare-").tempdir()?;
        user.give(folder.path(), 0o700)?;
        let address = free_address()?;
        let superuser = Account::new("postgres", "superuser's password");
        let account = Account::new("bench", "bench's password");

        let (data, secret) = (folder.path().join("data"), folder.path().join("superuser"));
        user.write(&secret, &superuser.password)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.args([
            "--no-sync",
            "--auth=scram-sha-256",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&secret).current_dir(folder.path());
        user.apply(&mut initdb);
        output_of(initdb)?;
        // Clients come from all over 127/8, see Client::connect.
        let rules =
            ["all", "replication"].map(|which| format!("host {which} all 127.0.0.0/8 scram-sha-256\n"));
        user.write(&data.join("pg_hba.conf"), &rules.concat())?;
        let sockets = format!("unix_socket_directories = '{}'\n", folder.path().display());
        user.write(
            &data.join("postgresql.auto.conf"),
            &format!("{SETTINGS}port = {}\n{sockets}", address.port()),
        )?;

        let server = serve(&data, user, &folder.path().join("postgres.log"))?;
        let (replica, verifier) = (OnceCell::new(), String::new());
        let mut made = Self { server, replica, folder, user, address, account, superuser, verifier };
        made.fill().await?;
        Ok(made)
    }

    /// Where a replica listens. The first call makes it.
    pub(crate) async fn replica(&self) -> Result<SocketAddr> {
        Ok(self.replica.get_or_try_init(|| self.copy()).await?.address)
    }

    async fn copy(&self) -> Result<Replica> {
        let data = self.folder().join("replica");
        let mut copy = self.tool("pg_basebackup", &self.superuser, self.address);
        copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]).arg("--pgdata").arg(&data);
        self.user.apply(&mut copy);
        output_of(copy)?;
        let address = free_address()?;
        let file = data.join("postgresql.auto.conf");
        let settings = std::fs::read_to_string(&file)?;
        self.user.write(&file, &format!("{settings}port = {}\n", address.port()))?;
        let mut process = serve(&data, self.user, &self.folder().join("replica.log"))?;
        wait_until_ready(&mut process, address, &self.account).await?;
        Ok(Replica { address, _process: process })
    }

    async fn fill(&mut self) -> Result<()> {
        wait_until_ready(&mut self.server, self.address, &self.superuser).await?;
        let role =
            format!("CREATE ROLE bench LOGIN PASSWORD '{}'", self.account.password.replace('\'', "''"));
        self.sql(&self.superuser, &role)?;
        self.sql(&self.superuser, "CREATE DATABASE bench OWNER bench")?;
        self.verifier = self
            .sql(&self.superuser, "SELECT rolpassword FROM pg_authid WHERE rolname = 'bench'")?
            .trim()
            .to_owned();
        let mut load = self.tool("pgbench", &self.account, self.address);
        load.args(["--initialize", "--quiet", "--scale", SCALE]);
        output_of(load)?;
        self.sql(&self.account, "CREATE UNLOGGED TABLE sink (line text)")?;
        self.sql(&self.account, "VACUUM ANALYZE")?;
        Ok(())
    }

    /// The folder of this benchmark, for configurations and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of PostgreSQL's own programs, set up to connect to that address as that account.
    pub(crate) fn tool(&self, name: &str, account: &Account, to: SocketAddr) -> Command {
        let mut command = Command::new(name);
        command.env("PGHOST", to.ip().to_string()).env("PGPORT", to.port().to_string());
        command
            .env("PGUSER", &account.user)
            .env("PGDATABASE", &account.user)
            .env("PGPASSWORD", &account.password);
        command.env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable").current_dir(self.folder());
        command
    }

    /// Runs one statement directly on the server and returns what psql prints of it, unadorned.
    pub(crate) fn sql(&self, account: &Account, statement: &str) -> Result<String> {
        self.sql_at(self.address, account, statement)
    }

    /// The same on whoever listens there.
    fn sql_at(&self, to: SocketAddr, account: &Account, statement: &str) -> Result<String> {
        let mut psql = self.tool("psql", account, to);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        output_of(psql)
    }
}

/// Waits until a proxy sends what only reads to a replica, which it does once it knows the database; an error if that takes
/// ten seconds.
pub(crate) async fn wait_until_split(postgres: &Postgres, proxy: SocketAddr) -> Result<()> {
    for _ in 0..100 {
        let told = postgres.sql_at(proxy, &postgres.account, "SELECT current_setting('in_hot_standby')")?;
        if told.trim() == "on" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("it sends no reads to the replica".into())
}

/// Starts a server on that data.
fn serve(data: &Path, user: RunAs, log: &Path) -> Result<Child> {
    let mut postgres = Command::new(bin_folder()?.join("postgres"));
    postgres.arg("-D").arg(data).current_dir(data);
    // SIGQUIT is PostgreSQL's immediate shutdown: the data goes away anyway.
    Child::start(postgres, user, log, Signal::QUIT)
}

/// Waits until one can log in and run a query there; an error if the program ends first or takes ten seconds.
pub(crate) async fn wait_until_ready(
    child: &mut Child,
    address: SocketAddr,
    account: &Account,
) -> Result<()> {
    let mut last = String::new();
    let knocking = async {
        loop {
            if let Some(end) = child.ended()? {
                return Err(end.into());
            }
            match knock(address, account).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(10), knocking).await {
        Ok(end) => end,
        Err(_) => Err(format!("it does not serve within ten seconds ({last}){}", child.last_words()).into()),
    }
}

async fn knock(address: SocketAddr, account: &Account) -> Result<()> {
    let mut client = Client::connect(address, Ipv4Addr::LOCALHOST, account).await?;
    client.query("SELECT 1").await?;
    client.close().await
}

/// An address on loopback that nobody listens on just now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output_of(mut command: Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where `initdb` and `postgres` are: `PG_BIN`, else the newest of Debian's, else the path.
fn bin_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("PG_BIN") {
        return Ok(folder.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    });
    match newest.map(|folder| folder.join("bin")) {
        Some(bin) if bin.join("initdb").exists() => Ok(bin),
        _ => Ok(PathBuf::new()),
    }
}
