//! Who says which member leads, as the rest of the program reads it.

use std::{path::PathBuf, time::Duration};

use super::{address::ServerAddress, secret::Secret};

/// Who says which member leads.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSource {
    /// Somebody who is asked over the network.
    Remote(Box<RemoteStore>),
    /// No store: these servers are asked.
    None {
        /// At least one, all different.
        hosts: Vec<ServerAddress>,
    },
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    /// etcd, v3 API.
    Etcd3,
    /// etcd, v2 API.
    Etcd2,
    /// Consul.
    Consul,
    /// ZooKeeper.
    ZooKeeper,
    /// Kubernetes.
    Kubernetes,
    /// Patroni's REST API.
    Patroni,
    /// Stolon's record in etcd (v3 API).
    Stolon,
}

/// A store, where it is and what to read there.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteStore {
    /// Which.
    pub kind: RemoteKind,
    /// Patroni's scope, or Stolon's cluster name.
    pub scope: String,
    /// Patroni's namespace, with one `/` at either end (`/` alone where it is empty); Stolon's prefix as it is written,
    /// with one `/` at its end.
    pub namespace: String,
    /// The group within a Citus cluster.
    pub group: Option<u32>,
    /// Which objects are Patroni's; only for [`RemoteKind::Kubernetes`].
    pub kubernetes: KubernetesKeys,
    /// URLs with scheme and port; at least one, all different, all with the same scheme.
    pub endpoints: Vec<String>,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Token.
    pub token: StoreToken,
    /// Certificates; `None` with `http`.
    pub tls: Option<StoreTls>,
    /// How often to read again although the watch is silent.
    pub reread_interval: Duration,
}

impl RemoteStore {
    /// The prefix of every key of this cluster: `/service/scope/`.
    pub fn prefix(&self) -> String {
        match self.group {
            None => format!("{}{}/", self.namespace, self.scope),
            Some(group) => format!("{}{}/{group}/", self.namespace, self.scope),
        }
    }
}

impl RemoteKind {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd3 => "etcd (v3)",
            Self::Etcd2 => "etcd (v2)",
            Self::Consul => "Consul",
            Self::ZooKeeper => "ZooKeeper",
            Self::Kubernetes => "Kubernetes",
            Self::Patroni => "Patroni's REST API",
            Self::Stolon => "Stolon's etcd (v3)",
        }
    }

    /// The port where it listens unless told otherwise.
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Etcd3 | Self::Etcd2 | Self::Stolon => 2379,
            Self::Consul => 8500,
            Self::ZooKeeper => 2181,
            Self::Kubernetes => 443,
            Self::Patroni => 8008,
        }
    }
}

/// Which objects in Kubernetes are Patroni's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesKeys {
    /// Endpoints, not ConfigMaps.
    pub use_endpoints: bool,
    /// Labels that all of them have, but for the scope.
    pub labels: String,
    /// The label that carries the scope.
    pub scope_label: String,
}

/// What shows a store who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreToken {
    /// Nothing.
    #[default]
    None,
    /// This.
    Given(Secret),
    /// What this file holds whenever it is needed.
    InFile(PathBuf),
}

/// Certificates for a store. Files in PEM; they were readable when the configuration was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreTls {
    /// Authorities to check the store against; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}
