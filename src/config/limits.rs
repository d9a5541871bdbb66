//! Limits of the whole process.

use std::time::Duration;

use super::keys::Pool;

/// Limits of the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections.
    pub max_client_conn: u32,
    /// Replication connections; 0: none.
    pub max_replication_connections: u32,
    /// How long a client may take to log in.
    pub client_login_timeout: Duration,
    /// How long transactions may take to end when the process is stopped; zero: they are not waited for.
    pub drain_timeout: Duration,
    /// Members on which connections are opened ahead; 0: none.
    pub warm_candidates: u32,
    /// Connections opened ahead for each user and database on each of them.
    pub warm_connections_max: u32,
}

impl Limits {
    pub(super) const fn of(pool: &Pool) -> Self {
        Self {
            max_client_conn: pool.max_client_conn.get(),
            max_replication_connections: pool.max_replication_connections,
            client_login_timeout: pool.client_login_timeout,
            drain_timeout: pool.drain_timeout.0,
            warm_candidates: pool.warm_candidates,
            warm_connections_max: pool.warm_connections_max.get(),
        }
    }
}
