//! Stores other than etcd's v3 API: a real one of one member.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::{Part, Result, Sandbox, eventually, http};

/// Which store Patroni uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// etcd, v3 API.
    #[default]
    Etcd3,
    /// etcd, v2 API.
    Etcd2,
    /// Consul.
    Consul,
    /// ZooKeeper.
    ZooKeeper,
}

/// How the Patronis reach it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WayToStore {
    /// Directly.
    #[default]
    Direct,
    /// Each through a link of its own (etcd's v3 API only).
    Links,
}

impl Store {
    /// As pgsteer's configuration calls it, which is as Patroni's does.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Etcd3 => "etcd3",
            Self::Etcd2 => "etcd",
            Self::Consul => "consul",
            Self::ZooKeeper => "zookeeper",
        }
    }

    /// Its section in Patroni's configuration.
    pub(crate) fn section(self, address: SocketAddr, way: WayToStore) -> Value {
        match self {
            // It must not look for other ways.
            Self::Etcd3 if way == WayToStore::Links => json!({ "proxy": format!("http://{address}") }),
            Self::Etcd3 | Self::Etcd2 => json!({ "hosts": address.to_string() }),
            Self::Consul => json!({ "host": address.to_string(), "register_service": false }),
            Self::ZooKeeper => json!({ "hosts": [address.to_string()] }),
        }
    }
}

/// Consul or ZooKeeper.
#[derive(Debug)]
pub struct Coordinator {
    kind: Store,
    part: Part,
    program: PathBuf,
    /// Where clients find it.
    pub address: SocketAddr,
    /// Among its own.
    peers: Vec<SocketAddr>,
    running: Option<Child>,
}

impl Coordinator {
    /// `None` where the store is an etcd.
    pub(crate) fn prepare(sandbox: &Sandbox, kind: Store) -> Result<Option<Self>> {
        let (program, port) = match kind {
            Store::Etcd3 | Store::Etcd2 => return Ok(None),
            Store::Consul => (sandbox.machine.tool("consul/consul", "deploy/install.sh stores")?, 8500),
            Store::ZooKeeper => (PathBuf::from("java"), 2181),
        };
        let peers = [8300, 8301, 8302].map(|port| sandbox.address(1, port));
        let peers = peers.into_iter().collect::<Result<_>>()?;
        let (part, address) = (sandbox.part(kind.word())?, sandbox.address(1, port)?);
        Ok(Some(Self { kind, part, program, address, peers, running: None }))
    }

    /// Starts it and waits until it takes writes.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn start(&mut self) -> Result {
        let folder = self.part.folder().display().to_string();
        let arguments = match self.kind {
            Store::Consul => self.consul(&folder)?,
            _ => self.zookeeper(&folder)?,
        };
        self.running = Some(self.part.start(Path::new(&self.program), &arguments)?);
        let (kind, address) = (self.kind, self.address);
        eventually("the store takes writes", Duration::from_secs(30), async || {
            if kind == Store::ZooKeeper {
                return TcpStream::connect(address).await.ok().map(drop);
            }
            let answer = http::call(address, "PUT", "/v1/kv/x", "", "x").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await
    }

    fn consul(&self, folder: &str) -> Result<Vec<String>> {
        let ip = self.address.ip().to_string();
        let port = |peer: usize| self.peers.get(peer).map(SocketAddr::port);
        let config = json!({
            "server": true, "bootstrap": true, "bind_addr": ip, "client_addr": ip, "node_name": "store",
            "data_dir": format!("{folder}/data"), "disable_update_check": true,
            "performance": { "raft_multiplier": 1 },
            "ports": {
                "http": self.address.port(), "dns": -1, "server": port(0), "serf_lan": port(1), "serf_wan": port(2),
            },
        });
        let file = self.part.write("agent.json", &config.to_string())?;
        Ok(["agent".to_owned(), "-config-file".to_owned(), file.display().to_string()].to_vec())
    }

    fn zookeeper(&self, folder: &str) -> Result<Vec<String>> {
        let config = format!(
            "dataDir={folder}/data\nclientPort={}\nclientPortAddress={}\ntickTime=500\nmaxSessionTimeout=60000\n\
             admin.enableServer=false\n",
            self.address.port(),
            self.address.ip()
        );
        let file = self.part.write("zoo.cfg", &config)?;
        // Where Debian puts it, and what it needs.
        let classes = "/etc/zookeeper/conf:/usr/share/java/*";
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        Ok(["-Xmx64m", "-cp", classes, main, &file.display().to_string()].map(str::to_owned).to_vec())
    }
}
