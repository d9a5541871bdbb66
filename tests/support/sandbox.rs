//! A temporary folder, addresses of its own, and everything that runs in them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::network::Namespace;
use crate::{Machine, Moment, Network, Result, now};

/// Where the processes of a sandbox meet.
#[derive(Clone, Copy, Debug, Default)]
pub enum Ground {
    /// On loopback addresses.
    #[default]
    Loopback,
    /// On a network of their own, each host in a namespace. The process must have called [`crate::enter_private`].
    Namespaces,
}

const PROCESSES: &str = include_str!("processes.sh");

/// The folder, the addresses and the sweeper, which clears both away when the sandbox is dropped or this process
/// dies in whatever way.
#[derive(Debug)]
pub struct Sandbox {
    /// What the machine has.
    pub machine: Machine,
    folder: TempDir,
    sweeper: Child,
    network: Option<Arc<Network>>,
}

impl Sandbox {
    /// An empty one on loopback addresses, with its sweeper waiting.
    ///
    /// # Errors
    /// No temporary folder, or a program is missing.
    pub fn new() -> Result<Self> {
        Self::on(Ground::Loopback)
    }

    /// An empty one, with its sweeper waiting.
    ///
    /// # Errors
    /// No temporary folder, or a program is missing; no network can be made.
    pub fn on(ground: Ground) -> Result<Self> {
        let machine = Machine::look()?;
        let folder = tempfile::Builder::new().prefix("pgsteer-").tempdir()?;
        give(&machine, folder.path())?;
        let mut sweep = shell(&machine, &["sweep", path_text(folder.path())?]);
        // Its own process group: Ctrl-C in a terminal is sent to all of ours, and the sweeper must outlive us.
        sweep.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let sweeper = sweep.spawn().context("the sweeper")?;
        let network = match ground {
            Ground::Loopback => None,
            Ground::Namespaces => Some(Network::new()?),
        };
        Ok(Self { machine, folder, sweeper, network })
    }

    /// The folder that holds all others.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A part with a folder of its own, in which its processes work.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn part(&self, name: &str) -> Result<Part> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        give(&self.machine, &folder)?;
        Ok(Part { machine: self.machine.clone(), folder, namespace: None })
    }

    /// A part whose processes use the addresses of a host.
    ///
    /// # Errors
    /// The folder or the host cannot be made.
    pub fn part_at(&self, host: u8, name: &str) -> Result<Part> {
        let namespace = self.network.as_ref().map(|network| network.host(host)).transpose()?;
        Ok(Part { namespace, ..self.part(name)? })
    }

    /// The network, where the sandbox has one of its own.
    ///
    /// # Errors
    /// It is on loopback addresses.
    pub fn network(&self) -> Result<&Network> {
        self.network.as_deref().context("there is no network between loopback addresses")
    }

    /// All addresses in it, as `pg_hba.conf` wants them.
    pub fn addresses(&self) -> &'static str {
        if self.network.is_some() { Network::ALL } else { "127.0.0.0/8" }
    }

    /// A free address whose last number is `host`, on the port wanted where that is free. Each process has its own
    /// slice of 127/8, so several clusters do not meet, and a port stays free while its node is down.
    ///
    /// # Errors
    /// No port is free there.
    pub fn address(&self, host: u8, port: u16) -> Result<SocketAddr> {
        if self.network.is_some() {
            return Ok(SocketAddr::new(Network::address(host), port));
        }
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let host = IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 0x7f), low, host));
        let free = TcpListener::bind((host, port)).or_else(|_| TcpListener::bind((host, 0)));
        Ok(free.with_context(|| format!("no free port on {host}"))?.local_addr()?)
    }

    /// The ends of the logs of all parts, for a test that failed; ten times as much of pgsteer's.
    pub fn logs(&self, lines: usize) -> String {
        let parts = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let mut logs: Vec<_> = parts.map(|part| part.path().join("log")).filter(|log| log.exists()).collect();
        logs.sort();
        let tail = |log: &PathBuf| {
            let text = std::fs::read(log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let all: Vec<_> = text.lines().collect();
            let lines =
                if log.parent().is_some_and(|part| part.ends_with("pgsteer")) { 10 * lines } else { lines };
            let last = all[all.len().saturating_sub(lines)..].join("\n");
            format!("--- {}, last {lines} of {} lines\n{last}\n", log.display(), all.len())
        };
        logs.iter().map(tail).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// One named folder of the sandbox and the processes that work in it.
#[derive(Clone, Debug)]
pub struct Part {
    machine: Machine,
    folder: PathBuf,
    namespace: Option<Namespace>,
}

impl Part {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file that only the owner of the processes may read.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        give(&self.machine, &file)?;
        Ok(file)
    }

    /// Where what its processes say is kept.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts a program in the folder, as the owner, in a process group of its own, its output appended to the log.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, program: &Path, arguments: &[String]) -> Result<tokio::process::Child> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut command = tokio::process::Command::from(command);
        let runtime = tokio::runtime::Handle::current();
        let started = match &self.namespace {
            None => command.spawn().map_err(Into::into),
            Some(namespace) => namespace.inside(|| {
                let _runtime = runtime.enter();
                command.spawn()
            }),
        };
        started.with_context(|| format!("{}", program.display()))
    }

    /// A program that is to run in the folder, as the owner, in a process group of its own.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        become_owner(&self.machine, &mut command);
        command.current_dir(&self.folder).env("HOME", &self.folder).process_group(0);
        command
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`, `TERM` …) to every process of this part; returns when `KILL` or `STOP`
    /// has taken hold of each. The answer is when it was sent.
    ///
    /// # Errors
    /// They escaped it.
    pub async fn signal(&self, signal: &str) -> Result<Moment> {
        let folder = path_text(&self.folder)?;
        let mut command = tokio::process::Command::from(shell(&self.machine, &["signal", folder, signal]));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut now_text = String::new();
        let said = child.stdout.take().context("no output")?;
        BufReader::new(said).read_line(&mut now_text).await?;
        let at = now();
        let end = child.wait_with_output().await?;
        ensure!(end.status.success(), "{}", String::from_utf8_lossy(&end.stderr));
        Ok(at)
    }
}

fn shell(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    become_owner(machine, &mut command);
    command.args(["-c", PROCESSES, "processes.sh"]).args(arguments).current_dir("/");
    command
}

fn become_owner(machine: &Machine, command: &mut Command) {
    if let Some(owner) = &machine.owner {
        command.uid(owner.uid).gid(owner.gid);
    }
}

fn give(machine: &Machine, path: &Path) -> Result {
    if let Some(owner) = &machine.owner {
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's name is not UTF-8")
}
