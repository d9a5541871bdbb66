//! The configuration: from a file to values that have been checked.
//!
//! Every key is declared once, in `keys.rs`, with its documentation, type, default and reload rule; [`reference()`]
//! is made from that. A file is read strictly: an unknown key, a wrong unit or a name that does not exist is an error
//! that says where and what to do, and all of them are told at once.

mod address;
mod auth_checks;
mod auth_file;
mod auth_keys;
mod auth_options;
mod checks;
mod cluster_keys;
mod clusters;
mod commit_fate;
mod declare;
mod describe;
mod document;
mod error;
mod expectation;
mod function_name;
mod keys;
mod limits;
mod listen_address;
mod mask;
mod nearest;
mod network;
mod own_reads;
mod pgbouncer;
mod reference;
mod reload;
mod secret;
mod secret_file;
mod sense;
mod settings;
mod source;
mod store_checks;
mod store_source;
mod tag;
#[cfg(test)]
mod tests;
mod tls;
mod tls_keys;
pub mod units;
mod value;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use crate::tls::{Acceptor, ToServers};

pub use address::{Endpoint, ServerAddress};
pub use auth_file::{AuthFile, SecretKind};
pub use auth_keys::AuthKeys;
pub use auth_options::AuthOptions;
pub use cluster_keys::{ClusterKeys, Replicas};
pub use commit_fate::CommitFate;
pub use declare::Reload;
pub use document::Keys;
pub use error::{Finding, Invalid, Severity};
pub use expectation::Expectation;
pub use function_name::FunctionName;
pub use keys::{DatabaseKeys, Http, ListenKeys, Log, Pool, Runtime, UserKeys};
pub use limits::Limits;
pub use listen_address::{FileMode, ListenAddress};
pub use network::Network;
pub use own_reads::{WANTS_MAX, Wanted, WantedPlaces};
pub use reference::reference;
pub use reload::Change;
pub use secret::Secret;
pub use settings::{
    Auth, AuthQuery, Cluster, Credentials, Databases, Listener, PatroniApi, PoolSettings, Probe, Rotation,
    ServerLogin, Tcp, UnnamedStatements,
};
pub use source::{DEFAULT_PROBE_USER, Hosts, Source};
pub use store_source::{KubernetesKeys, RemoteKind, RemoteStore, StoreSource, StoreTls, StoreToken};
pub use tag::Tag;
pub use tls_keys::{ClientTls, ServerTls, Trusted};
pub use units::duration;
pub use value::{Delay, OrOff, Size};
pub use words::{
    AuthType, Balance, ClientNegotiation, ClientSslMode, Consistency, Fallback, LogFormat, LogLevel,
    MaxProtocol, OpaqueFunctions, PoolMode, ProxyHeader, ProxyProtocol, RetryReads, RouteKind, ServerBinding,
    ServerNegotiation, ServerSslMode, SplitRoute, StoreKind, SyncStandbys, TlsVersion,
};

/// A configuration that has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it came from: a file's name, or "the command line".
    pub name: String,
    /// The clusters by name; at least one.
    pub clusters: BTreeMap<String, Cluster>,
    /// The listeners; at least one.
    pub listeners: Vec<Listener>,
    /// How clients log in.
    pub auth: Auth,
    /// Every key as it was written, or its default. Where there is a lookup below, use that.
    pub keys: Keys,
    /// What databases have until a restart.
    kept: BTreeMap<String, own_reads::Kept>,
    /// Certificates and keys, ready for use.
    tls: tls::Tls,
    warnings: Vec<Finding>,
}

impl Config {
    /// What is allowed but probably not meant.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Limits of the whole process.
    pub fn limits(&self) -> Limits {
        Limits::of(&self.keys.pool)
    }

    /// TCP settings of client and server connections.
    pub fn tcp(&self) -> Tcp {
        Tcp::of(&self.keys.pool)
    }

    /// What holds for the pool of this user (as the client logged in) and database (as the client named it).
    pub fn pool_settings(&self, database: &str, user: &str) -> PoolSettings {
        PoolSettings::resolve(&self.keys, database, user)
    }

    /// The cluster that a client of this listener reaches with this database: the database's own, else the
    /// listener's. Always a name in `clusters`.
    pub fn cluster_of<'c>(&'c self, listener: &'c Listener, database: &str) -> &'c str {
        let own = self.kept.get(database).and_then(|kept| kept.cluster.as_deref());
        own.unwrap_or(&listener.cluster)
    }

    /// How TLS is spoken with clients of this listener; `None`: it is refused.
    pub fn client_tls(&self, listener: &Listener) -> Option<Arc<Acceptor>> {
        let place = self.listeners.iter().position(|known| known == listener)?;
        self.tls.listeners.get(place).cloned().flatten()
    }

    /// How servers of this cluster are reached, for this database (as the client named it) where there is one.
    pub fn server_tls(&self, cluster: &str, database: Option<&str>) -> &ToServers {
        self.tls.to_servers(cluster, database)
    }

    /// Whether a client may ask for this database here. Whether it exists, the servers say.
    pub fn may_ask_for(&self, database: &str) -> bool {
        match self.auth.databases {
            Databases::Any => true,
            Databases::Declared => self.keys.databases.contains_key(database),
        }
    }

    /// How the secrets of users who are not listed are looked up for clients of this database (as they name it);
    /// `None`: not at all.
    pub fn auth_query(&self, database: &str) -> Option<AuthQuery> {
        AuthQuery::resolve(&self.keys, &self.auth.users, self.keys.databases.get(database))
    }

    /// Whether users are looked up on the servers, for any database.
    pub fn looks_users_up(&self) -> bool {
        auth_checks::looks_up(&self.keys)
    }

    /// Whether anything is known here that may log in to a server, besides what clients bring: a password, an md5 hash,
    /// a certificate. Servers may let pgsteer in without.
    pub fn has_server_credential(&self) -> bool {
        auth_checks::has_server_credential(&self.keys, &self.auth.users)
    }

    /// How to log in to a server for this user (as the client logged in) and database (as the client named it).
    pub fn server_login(&self, database: &str, user: &str) -> ServerLogin {
        let declared = self.keys.databases.get(database);
        let user = declared.and_then(|declared| declared.user.as_deref()).unwrap_or(user);
        let forced = declared.and_then(|declared| declared.password.clone()).map(Credentials::Forced);
        let listed = || {
            self.auth.users.get(user).filter(|secret| !secret.is_empty()).cloned().map(Credentials::Listed)
        };
        ServerLogin {
            user: user.to_owned(),
            database: declared.and_then(|declared| declared.dbname.as_deref()).unwrap_or(database).to_owned(),
            credentials: forced.or_else(listed).unwrap_or(Credentials::Nothing),
        }
    }
}
