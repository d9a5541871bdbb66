//! Whom servers are opened for: a user and a database, their settings, and what can log in.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::slots::SlotLimits;
use crate::{auth::secrets::Credential, server::Approach, wire::startup::Protocol};

/// When a server goes back to its pool (`pool_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// After each transaction.
    #[default]
    Transaction,
    /// When the client leaves.
    Session,
    /// After each statement; transaction blocks are refused.
    Statement,
}

/// Everything a pool and the sessions on it go by, resolved for one user and database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// When a server goes back.
    pub mode: PoolMode,
    /// How many servers, and for how long.
    pub limits: SlotLimits,
    /// Servers at most when a read falls back on the leader.
    pub fallback_size: usize,
    /// The newest version of the protocol to ask servers for.
    pub protocol: Protocol,
    /// How servers are reached.
    pub approach: Approach,
    /// Opening a server takes no longer.
    pub connect_timeout: Duration,
    /// After a refused login no other is tried for as long.
    pub login_retry: Duration,
    /// A server idle for longer is asked before it is used.
    pub check_delay: Duration,
    /// Waiting for a server takes no longer.
    pub query_wait_timeout: Option<Duration>,
    /// Waiting for a leader takes no longer.
    pub leader_wait_timeout: Option<Duration>,
    /// Waiting for a replica takes no longer.
    pub replica_wait_timeout: Option<Duration>,
    /// Prepared statements that one server holds; 0: statements are not mapped.
    pub max_prepared_statements: usize,
    /// Whether unnamed statements are mapped to statements that a server has prepared.
    pub map_unnamed: bool,
    /// A client without a transaction may be silent for as long.
    pub client_idle_timeout: Option<Duration>,
    /// A client inside a transaction may be silent for as long.
    pub idle_transaction_timeout: Option<Duration>,
    /// A query may run for as long, then it is cancelled.
    pub query_timeout: Option<Duration>,
    /// A transaction may last as long.
    pub transaction_timeout: Option<Duration>,
}

/// A user and a database on one cluster.
#[derive(Debug)]
pub struct Account {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The database, as the servers know it.
    pub database: Arc<str>,
    /// The user, as the servers know it.
    pub user: Arc<str>,
    /// Its settings.
    pub settings: ArcSwap<PoolSettings>,
    /// What can log in to a server.
    pub credential: ArcSwapOption<Credential>,
}
