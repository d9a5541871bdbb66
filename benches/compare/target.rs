//! What is compared: each target, how it is configured and started.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use rustix::process::Signal;

use crate::Result;
use crate::accounting::Watch;
use crate::child::Child;
use crate::forwarder;
use crate::postgres::{Postgres, free_address, output_of, wait_until_ready, wait_until_split};

/// Server connections a pooler may hold: the common ground of every comparison.
const POOL_SIZE: u32 = 16;
/// More clients than the idle scenario has.
const CLIENTS_MAX: u32 = 12_000;
/// More than any other scenario has: a forwarder needs two descriptors for each.
const FORWARDED_MAX: u32 = 1_000;

/// Something that answers PostgreSQL clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// No proxy at all.
    Direct,
    /// Our own bare byte pump.
    Forwarder,
    /// HAProxy in tcp mode.
    Haproxy,
    /// `PgBouncer` in transaction mode.
    Pgbouncer,
    /// pgsteer in transaction mode with that many workers.
    Pgsteer(u8),
    /// The same where reads go to a replica of the server's (`route = "split"`).
    Split(u8),
}

impl Target {
    /// Every target, in the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Forwarder,
        Self::Haproxy,
        Self::Pgbouncer,
        Self::Pgsteer(1),
        Self::Pgsteer(2),
        Self::Split(1),
        Self::Split(2),
    ];

    /// What it is compared with: splitting with not splitting, everything else with `PgBouncer`.
    pub(crate) fn base(self) -> Self {
        match self {
            Self::Split(workers) => Self::Pgsteer(workers),
            _ => Self::Pgbouncer,
        }
    }

    /// Whether clients share server connections; the others open one for each client.
    pub(crate) fn pools(self) -> bool {
        matches!(self, Self::Pgbouncer | Self::Pgsteer(_) | Self::Split(_))
    }

    /// The program to run: from the environment, else the usual one.
    fn program(self) -> Result<String> {
        let from = |variable, usual: &str| std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        Ok(match self {
            Self::Direct => "postgres".to_owned(),
            Self::Forwarder => std::env::current_exe()?.display().to_string(),
            Self::Haproxy => from("HAPROXY", "haproxy"),
            Self::Pgbouncer => from("PGBOUNCER", "pgbouncer"),
            Self::Pgsteer(_) | Self::Split(_) => from("PGSTEER", env!("CARGO_BIN_EXE_pgsteer")),
        })
    }

    /// What the program says it is.
    fn version(self, postgres: &Postgres) -> Result<String> {
        let flag = match self {
            Self::Direct => {
                return postgres
                    .sql(&postgres.superuser, "SHOW server_version")
                    .map(|v| format!("PostgreSQL {}", v.trim()));
            }
            Self::Forwarder => return Ok("a bare forwarder, one thread".to_owned()),
            Self::Haproxy => "-v",
            Self::Pgbouncer | Self::Pgsteer(_) | Self::Split(_) => "--version",
        };
        let mut command = Command::new(self.program()?);
        command.arg(flag);
        let text = output_of(command)?;
        text.lines().next().map(str::to_owned).ok_or_else(|| "it tells no version".into())
    }

    /// Starts it in front of the server and waits until it serves. `place` is a name for its folder.
    pub(crate) async fn start(self, postgres: &Postgres, place: &str) -> Result<Running> {
        let version = self.version(postgres)?;
        if self == Self::Direct {
            return Ok(Running {
                target: self,
                version,
                address: postgres.address,
                watch: Watch::Nothing,
                process: None,
            });
        }
        let address = free_address()?;
        let folder = postgres.folder().join(place);
        std::fs::create_dir(&folder)?;
        postgres.user.give(&folder, 0o700)?;
        let mut command = Command::new(self.program()?);
        command.current_dir(&folder);
        match self {
            Self::Direct => {}
            Self::Forwarder => {
                command.args([forwarder::FLAG, &address.to_string(), &postgres.address.to_string()]);
            }
            Self::Haproxy => haproxy(&mut command, postgres, &folder, address)?,
            Self::Pgbouncer => pgbouncer(&mut command, postgres, &folder, address, prepares(&version))?,
            Self::Pgsteer(workers) => {
                pgsteer(&mut command, postgres, &folder, address, workers, Route::Write)?;
            }
            Self::Split(workers) => {
                let route = Route::Split { replica: postgres.replica().await? };
                pgsteer(&mut command, postgres, &folder, address, workers, route)?;
            }
        }
        let mut process = Child::start(command, postgres.user, &folder.join("log"), Signal::KILL)?;
        wait_until_ready(&mut process, address, &postgres.account).await?;
        if matches!(self, Self::Split(_)) {
            wait_until_split(postgres, address).await?;
        }
        Ok(Running {
            target: self,
            version,
            address,
            watch: Watch::Cpu(process.id()),
            process: Some(process),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.pad("direct"),
            Self::Forwarder => f.pad("forwarder"),
            Self::Haproxy => f.pad("haproxy"),
            Self::Pgbouncer => f.pad("pgbouncer"),
            Self::Pgsteer(workers) => f.pad(&format!("pgsteer/{workers}")),
            Self::Split(workers) => f.pad(&format!("split/{workers}")),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.into_iter().find(|target| target.to_string() == text);
        known.ok_or_else(|| format!("one of {}", Self::ALL.map(|target| target.to_string()).join(", ")))
    }
}

/// A target that serves; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    /// Which one.
    pub(crate) target: Target,
    /// What it says it is.
    pub(crate) version: String,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// What is asked about it while it works.
    pub(crate) watch: Watch,
    process: Option<Child>,
}

impl Running {
    /// The process whose tree is accounted for; none for the server itself.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Counts its system calls from now on, instead of its CPU time.
    pub(crate) fn count_calls(&mut self) {
        if let Some(pid) = self.pid() {
            self.watch = Watch::Calls(pid);
        }
    }

    /// Why it cannot run prepared statements in transaction mode, if it cannot.
    pub(crate) fn cannot_prepare(&self) -> Option<String> {
        let able = self.target != Target::Pgbouncer || prepares(&self.version);
        (!able)
            .then(|| format!("{} cannot do prepared statements in transaction mode (1.21 can)", self.version))
    }

    /// Its last words, should it have ended.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        self.process.as_mut().map_or(Ok(None), Child::ended)
    }
}

/// Whether this `PgBouncer` has prepared statements in transaction mode: since 1.21.
fn prepares(version: &str) -> bool {
    let number = version.split_whitespace().find_map(|word| word.strip_prefix("1.")).unwrap_or("");
    number.split('.').next().and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 21)
}

fn haproxy(command: &mut Command, postgres: &Postgres, folder: &Path, address: SocketAddr) -> Result<()> {
    let text = format!(
        "global\n  maxconn {FORWARDED_MAX}\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
         timeout server 1h\nlisten postgres\n  bind {address}\n  server one {}\n",
        postgres.address
    );
    let file = folder.join("haproxy.cfg");
    postgres.user.write(&file, &text)?;
    command.arg("-db").arg("-f").arg(file);
    Ok(())
}

fn pgbouncer(
    command: &mut Command,
    postgres: &Postgres,
    folder: &Path,
    address: SocketAddr,
    prepares: bool,
) -> Result<()> {
    let prepared = if prepares { "max_prepared_statements = 200\n" } else { "" };
    let text = format!(
        "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\n\
         max_client_conn = {CLIENTS_MAX}\n{prepared}",
        postgres.address.ip(),
        postgres.address.port(),
        address.ip(),
        address.port(),
        user_list(postgres, folder)?,
    );
    let file = folder.join("pgbouncer.ini");
    postgres.user.write(&file, &text)?;
    command.arg(file);
    Ok(())
}

/// Where pgsteer sends requests.
#[derive(Clone, Copy, Debug)]
enum Route {
    /// To the server.
    Write,
    /// Those that only read to this replica of it.
    Split { replica: SocketAddr },
}

fn pgsteer(
    command: &mut Command,
    postgres: &Postgres,
    folder: &Path,
    address: SocketAddr,
    workers: u8,
    route: Route,
) -> Result<()> {
    let (route, others) = match route {
        Route::Write => ("write", String::new()),
        Route::Split { replica } => ("split", format!(", \"{replica}\"")),
    };
    let text = format!(
        "[clusters.bench]\nstore = \"none\"\nhosts = [\"{}\"{others}]\nprobe_user = \"{}\"\nprobe_password = \"{}\"\n\
         [[listen]]\naddress = \"{address}\"\nroute = \"{route}\"\n\
         [pool]\npool_mode = \"transaction\"\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = {CLIENTS_MAX}\n\
         [auth]\nauth_type = \"scram-sha-256\"\nauth_file = \"{}\"\n[http]\naddress = \"{}\"\n[runtime]\nworkers = {workers}\n",
        postgres.address,
        postgres.superuser.user,
        postgres.superuser.password,
        user_list(postgres, folder)?,
        // Several run side by side.
        free_address()?,
    );
    let file = folder.join("pgsteer.toml");
    postgres.user.write(&file, &text)?;
    command.arg("run").arg("--config").arg(file);
    Ok(())
}

/// Writes the file of users, with what the server itself knows of the password, and returns its path.
fn user_list(postgres: &Postgres, folder: &Path) -> Result<String> {
    let file = folder.join("users.txt");
    postgres.user.write(&file, &format!("\"{}\" \"{}\"\n", postgres.account.user, postgres.verifier))?;
    Ok(file.display().to_string())
}
