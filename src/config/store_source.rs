//! Who says which member leads, as the rest of the program reads it.

use std::{path::PathBuf, time::Duration};

use super::{address::ServerAddress, secret::Secret};

/// Who says which member leads.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSource {
    /// etcd, v3 API.
    Etcd3(Etcd3),
    /// No store: these servers are asked.
    None {
        /// At least one, all different.
        hosts: Vec<ServerAddress>,
    },
}

/// etcd, v3 API.
#[derive(Clone, Debug, PartialEq)]
pub struct Etcd3 {
    /// Patroni's scope.
    pub scope: String,
    /// Patroni's namespace, with one `/` at either end (`/` alone where it is empty).
    pub namespace: String,
    /// URLs with scheme and port; at least one, all different, all with the same scheme.
    pub endpoints: Vec<String>,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Certificates; `None` with `http`.
    pub tls: Option<StoreTls>,
    /// How often to read again although the watch is silent.
    pub reread_interval: Duration,
}

impl Etcd3 {
    /// The prefix of every key of this cluster: `/service/scope/`.
    pub fn prefix(&self) -> String {
        format!("{}{}/", self.namespace, self.scope)
    }
}

/// Certificates for a store. Files in PEM; they were readable when the configuration was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreTls {
    /// Authorities to check the store against; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}
