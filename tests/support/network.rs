//! A network of the sandbox's own: a bridge, a namespace for each host, and rules for what gets lost between any two.
//!
//! All of it lives in the network namespace of this process and below its own `/run`, both private since
//! [`enter_private`]: nothing outside can see it, and the kernel takes it away with the last process in it, however
//! that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Result;

/// The last number of the address of this process: the clients and the witnesses.
pub const CLIENTS: u8 = 254;

const INSIDE: &str = "PGSTEER_PRIVATE_NETWORK";
const BRIDGE: &str = "bridge";

/// Goes on as the same program in network and mount namespaces of its own; returns once it is there. To be called first
/// of all.
///
/// # Errors
/// Not root, or something that `deploy/install.sh network` installs is missing.
pub fn enter_private() -> Result {
    if std::env::var_os(INSIDE).is_none() {
        ensure!(rustix::process::getuid().is_root(), "network namespaces can only be made by root");
        let mut again = Command::new("unshare");
        again
            .args(["--net", "--mount", "--"])
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1));
        return Err(again.env(INSIDE, "1").exec()).context("unshare");
    }
    run("mount", &["-t", "tmpfs", "none", "/run"])?; // `ip netns` keeps the names there
    run("ip", &["link", "set", "lo", "up"])
}

/// The hosts and the links between them. A link that is not named is whole.
#[derive(Debug)]
pub struct Network {
    hosts: Mutex<BTreeSet<u8>>,
    /// From whom and to whom, and how much of it is lost, in percent.
    losses: Mutex<BTreeMap<(u8, u8), u8>>,
}

impl Network {
    /// What a rule in `pg_hba.conf` says.
    pub(crate) const ALL: &'static str = "10.77.0.0/24";

    /// A bridge with nobody on it but ourselves.
    pub(crate) fn new() -> Result<Arc<Self>> {
        ensure!(std::env::var_os(INSIDE).is_some(), "not in a network of our own");
        run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
        let network = Self { hosts: Mutex::default(), losses: Mutex::default() };
        run("ip", &["address", "add", &format!("{}/24", Self::address(CLIENTS)), "dev", BRIDGE])?;
        run("ip", &["link", "set", BRIDGE, "up"])?;
        Ok(Arc::new(network))
    }

    pub(crate) const fn address(host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77, 0, host))
    }

    /// A namespace with one cable to the bridge; there is one for each number.
    pub(crate) fn host(&self, host: u8) -> Result<Namespace> {
        let (name, cable) = (format!("host{host}"), format!("cable{host}"));
        if self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(host) {
            run("ip", &["netns", "add", &name])?;
            run("ip", &["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            run("ip", &["link", "set", &cable, "master", BRIDGE, "up"])?;
            let address = format!("{}/24", Self::address(host));
            for inside in [["address", "add", &address, "dev", "eth0"], ["link", "set", "dev", "eth0", "up"]]
            {
                run("ip", &[&["-n", &*name], &inside[..]].concat())?;
            }
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(Namespace(PathBuf::from("/run/netns").join(name)))
    }

    /// From now on so many percent of what `from` sends to `to` does not arrive there; 0 mends it.
    ///
    /// # Errors
    /// nftables refused, or there is no such host.
    pub fn lose(&self, from: u8, to: u8, percent: u8) -> Result {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        match percent {
            0 => losses.remove(&(from, to)),
            _ => losses.insert((from, to), percent),
        };
        self.enforce(to, &losses)
    }

    /// Nothing arrives any more, either way, between any of these and any of those.
    ///
    /// # Errors
    /// As [`Network::lose`].
    pub fn cut(&self, these: &[u8], those: &[u8]) -> Result {
        for (one, other) in these.iter().flat_map(|one| those.iter().map(move |other| (*one, *other))) {
            self.lose(one, other, 100)?;
            self.lose(other, one, 100)?;
        }
        Ok(())
    }

    /// Everything arrives again.
    ///
    /// # Errors
    /// As [`Network::lose`].
    pub fn mend(&self) -> Result {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let receivers: BTreeSet<_> = losses.keys().map(|(_, to)| *to).collect();
        losses.clear();
        receivers.into_iter().try_for_each(|to| self.enforce(to, &losses))
    }

    /// What a host loses of what reaches it is lost by its own rules, all put in force at once.
    fn enforce(&self, to: u8, losses: &BTreeMap<(u8, u8), u8>) -> Result {
        let mut rules = String::new();
        for ((from, _), percent) in losses.iter().filter(|((_, receiver), _)| *receiver == to) {
            let some =
                if *percent < 100 { format!("numgen random mod 100 < {percent} ") } else { String::new() };
            writeln!(rules, "ip saddr {} {some}drop", Self::address(*from))?;
        }
        let script = format!(
            "add table inet losses\ndelete table inet losses\n\
             table inet losses {{ chain arriving {{ type filter hook input priority 0\n{rules}}}\n}}\n"
        );
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let known = to == CLIENTS || self.hosts.lock().unwrap_or_else(PoisonError::into_inner).contains(&to);
        ensure!(known, "there is no host {to}");
        let mut nft = match to {
            CLIENTS => command.spawn()?,
            host => self.host(host)?.inside(|| command.spawn())?,
        };
        nft.stdin.take().context("no input")?.write_all(script.as_bytes())?;
        let end = nft.wait_with_output()?;
        ensure!(end.status.success(), "nft: {}\n{script}", String::from_utf8_lossy(&end.stderr));
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = run("ip", &["link", "delete", &format!("cable{host}")]);
            let _ = run("ip", &["netns", "delete", &format!("host{host}")]);
        }
        let _ = run("ip", &["link", "delete", BRIDGE]);
    }
}

/// The network that a host sees.
#[derive(Clone, Debug)]
pub(crate) struct Namespace(PathBuf);

impl Namespace {
    /// Does something there, on a thread of its own, which is gone afterwards; what it starts stays there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> std::io::Result<T> + Send) -> Result<T> {
        let namespace = std::fs::File::open(&self.0).with_context(|| format!("{}", self.0.display()))?;
        let there = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        let done = std::thread::scope(|threads| threads.spawn(there).join());
        let Ok(done) = done else { bail!("what was done in {} panicked", self.0.display()) };
        Ok(done?)
    }
}

fn run(program: &str, arguments: &[&str]) -> Result {
    let end = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let end = end.with_context(|| format!("{program}; run: deploy/install.sh network"))?;
    ensure!(
        end.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&end.stderr)
    );
    Ok(())
}
