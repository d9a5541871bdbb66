//! The validated configuration as the rest of the program reads it.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use super::{
    Keys,
    auth_file::{AuthFile, SecretKind},
    cluster_keys::Replicas,
    commit_fate::CommitFate,
    expectation::Expectation,
    function_name::FunctionName,
    keys::{DatabaseKeys, Pool, UserKeys},
    listen_address::{FileMode, ListenAddress},
    network::Network,
    own_reads::OwnReads,
    secret::Secret,
    store_source::StoreSource,
    value::OrOff,
    words::{
        AuthType, Consistency, MaxProtocol, OpaqueFunctions, PoolMode, ProxyHeader, ProxyProtocol, RouteKind,
        SplitRoute,
    },
};

/// A cluster and how to learn about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name in the configuration.
    pub name: String,
    /// Who says which member leads.
    pub source: StoreSource,
    /// How members are asked.
    pub probe: Probe,
    /// Which replicas serve reads.
    pub replicas: Replicas,
    /// How Patroni's REST API is reached; `None` where there is no Patroni.
    pub patroni: Option<PatroniApi>,
    /// How often the names of members are resolved again.
    pub names_interval: Option<Duration>,
    /// How long new writes wait for a leader that is about to step down; may be zero.
    pub switchover_hold_max: Duration,
    /// The newest version of the protocol that its servers are asked for.
    pub protocol: MaxProtocol,
    /// The header of the PROXY protocol that its servers are sent.
    pub proxy_header: ProxyHeader,
}

/// How Patroni's REST API is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatroniApi {
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// What its certificates are checked against; `None`: it is not spoken to over TLS.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How members are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Role to log in as.
    pub user: String,
    /// Its password; `None`: the servers must let it in without.
    pub password: Option<Secret>,
    /// Database to connect to.
    pub database: String,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// Permissions of a Unix socket's file.
    pub socket_mode: FileMode,
    /// Whether those who are believed say which client they forward.
    pub proxy_protocol: ProxyProtocol,
    /// Who is believed; everybody on a Unix socket.
    pub proxy_protocol_from: Vec<Network>,
    /// Where its connections go.
    pub route: RouteKind,
    /// The cluster, a name in `Config::clusters`.
    pub cluster: String,
    /// When a server goes back to its pool, unless user or database say otherwise.
    pub pool_mode: Option<PoolMode>,
    /// What reads must see, unless user or database say otherwise.
    pub consistency: Option<Consistency>,
    /// How many connections may wait to be accepted.
    pub backlog: u32,
    /// What its reads want of replicas.
    pub reads: OwnReads,
}

/// How clients log in.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The method.
    pub kind: AuthType,
    /// The users; empty only with `trust`.
    pub users: Arc<AuthFile>,
    /// Which databases may be asked for.
    pub databases: Databases,
}

/// How secrets are looked up on the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthQuery {
    /// The role that asks.
    pub user: String,
    /// What it logs in with: a password or `md5…`; `None`: the servers must let it in without.
    pub secret: Option<Secret>,
    /// The database it asks in, as the servers know it.
    pub database: String,
    /// The query.
    pub query: String,
}

impl AuthQuery {
    /// The database's own, else the one for all. A password belongs to the `auth_user` beside it.
    pub(super) fn resolve(keys: &Keys, users: &AuthFile, database: Option<&DatabaseKeys>) -> Option<Self> {
        let auth = &keys.auth;
        let own = database.and_then(|own| own.auth_user.as_ref());
        let user = own.or(auth.auth_user.as_ref())?.clone();
        let written = match (own, database) {
            (Some(_), Some(database)) => database.auth_password.clone(),
            _ => auth.auth_password.clone(),
        };
        let listed = || {
            let usable =
                |secret: &&Secret| matches!(SecretKind::of(secret), SecretKind::Plain | SecretKind::Md5);
            users.get(&user).filter(usable).cloned()
        };
        Some(Self {
            secret: written.or_else(listed),
            database: database
                .and_then(|own| own.auth_dbname.clone())
                .unwrap_or_else(|| auth.auth_dbname.clone()),
            query: database.and_then(|own| own.auth_query.clone()).unwrap_or_else(|| auth.auth_query.clone()),
            user,
        })
    }
}

/// Which databases may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Databases {
    /// Any: the servers say whether it exists.
    Any,
    /// Those under `[databases.NAME]`.
    Declared,
}

/// What holds for a pool and the sessions that use it, each override applied. `None` in a limit or timeout: off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// When a server goes back to the pool.
    pub pool_mode: PoolMode,
    /// The same, if user or database say so.
    pub own_pool_mode: Option<PoolMode>,
    /// Server connections of the pool.
    pub pool_size: u32,
    /// Those kept open when idle.
    pub min_pool_size: u32,
    /// Further ones after `reserve_pool_timeout`.
    pub reserve_pool_size: u32,
    /// How long a client waits before the reserve is used.
    pub reserve_pool_timeout: Option<Duration>,
    /// Limit for the database on one member, all users together.
    pub max_db_connections: Option<u32>,
    /// Limit for the user on one member, all databases together.
    pub max_user_connections: Option<u32>,
    /// Limit for one member.
    pub max_member_connections: Option<u32>,
    /// Connections being opened to one member at the same time.
    pub connect_burst_max: u32,
    /// Waiting for a server of the pool.
    pub query_wait_timeout: Option<Duration>,
    /// Waiting for a leader to exist.
    pub leader_wait_timeout: Option<Duration>,
    /// Age at which an idle server connection is closed.
    pub server_lifetime: Option<Duration>,
    /// Idle time after which a server connection is closed.
    pub server_idle_timeout: Option<Duration>,
    /// Connecting and logging in to a server.
    pub server_connect_timeout: Duration,
    /// Pause after a refused login; may be zero.
    pub server_login_retry: Duration,
    /// Idle time after which a server connection is checked before use; zero: always.
    pub server_check_delay: Duration,
    /// A client idle outside a transaction.
    pub client_idle_timeout: Option<Duration>,
    /// A client idle inside a transaction.
    pub idle_transaction_timeout: Option<Duration>,
    /// A running query.
    pub query_timeout: Option<Duration>,
    /// A transaction.
    pub transaction_timeout: Option<Duration>,
    /// Prepared statements kept on a server connection; `None`: not followed.
    pub max_prepared_statements: Option<u32>,
    /// What is thought of code whose effects no text shows.
    pub opaque_functions: OpaqueFunctions,
    /// Functions that count as such code.
    pub opaque_function_names: Vec<FunctionName>,
    /// One of so many returns of a server is a sample.
    pub hidden_state_sample: Option<u32>,
    /// Servers that clients may keep because of their sessions' state.
    pub pin_max: Option<u32>,
    /// A client idle while it keeps a server so.
    pub pin_timeout: Option<Duration>,
    /// Bytes of notifications that wait for one client.
    pub notify_buffer_max: u64,
    /// Whether unnamed statements are mapped to prepared ones.
    pub unnamed_statements: UnnamedStatements,
    /// Which of several idle servers a client gets.
    pub rotation: Rotation,
    /// What a listener that splits does with its statements.
    pub split_route: SplitRoute,
    /// What its reads must see.
    pub consistency: Expectation,
    /// What is done about a commit whose answer is lost with its server.
    pub commit_fate: CommitFate,
}

/// Which of several idle servers a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The one used last.
    Off,
    /// Another one each time.
    On,
}

/// What is done with unnamed statements (`map_unnamed_statements`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnnamedStatements {
    /// Where it can be, one that a server has prepared is used instead.
    Mapped,
    /// They are passed on as they are.
    PassedOn,
}

impl PoolSettings {
    /// The settings for a user and a database: the user's override, else the database's, else `[pool]`. A pool belongs
    /// to the user on the servers, so where the database forces one, that user's overrides hold for the pool, and the
    /// client's own only for its timeouts (as with PgBouncer).
    pub(super) fn resolve(keys: &Keys, database: &str, user: &str) -> Self {
        let pool = &keys.pool;
        let database = keys.databases.get(database);
        let forced = database.and_then(|d| d.user.as_deref());
        let owner = forced.map_or_else(|| keys.users.get(user), |forced| keys.users.get(forced));
        let user = keys.users.get(user);
        let number = |n: OrOff<NonZeroU32>| n.0.map(NonZeroU32::get);
        let size = owner.and_then(|u| u.pool_size).or_else(|| database.and_then(|d| d.pool_size));
        let reserve =
            owner.and_then(|u| u.reserve_pool_size).or_else(|| database.and_then(|d| d.reserve_pool_size));
        let mode = owner.and_then(|u| u.pool_mode).or_else(|| database.and_then(|d| d.pool_mode));
        let query = user.and_then(|u| u.query_timeout).or_else(|| database.and_then(|d| d.query_timeout));
        let mapped = database.and_then(|d| d.map_unnamed_statements).unwrap_or(pool.map_unnamed_statements);
        let pool_size = size.unwrap_or(pool.default_pool_size).get();
        Self {
            pool_mode: mode.unwrap_or(pool.pool_mode),
            own_pool_mode: mode,
            pool_size,
            min_pool_size: database
                .and_then(|d| d.min_pool_size)
                .unwrap_or(pool.min_pool_size)
                .min(pool_size),
            reserve_pool_size: reserve.unwrap_or(pool.reserve_pool_size),
            reserve_pool_timeout: pool.reserve_pool_timeout.0,
            max_db_connections: number(
                database.and_then(|d| d.max_db_connections).unwrap_or(pool.max_db_connections),
            ),
            max_user_connections: number(
                owner.and_then(|u| u.max_user_connections).unwrap_or(pool.max_user_connections),
            ),
            max_member_connections: number(pool.max_member_connections),
            connect_burst_max: pool.connect_burst_max.get(),
            query_wait_timeout: pool.query_wait_timeout.0,
            leader_wait_timeout: pool.leader_wait_timeout.0,
            server_lifetime: database.and_then(|d| d.server_lifetime).unwrap_or(pool.server_lifetime).0,
            server_idle_timeout: pool.server_idle_timeout.0,
            server_connect_timeout: pool.server_connect_timeout,
            server_login_retry: pool.server_login_retry.0,
            server_check_delay: pool.server_check_delay.0,
            client_idle_timeout: user
                .and_then(|u| u.client_idle_timeout)
                .unwrap_or(pool.client_idle_timeout)
                .0,
            idle_transaction_timeout: user
                .and_then(|u| u.idle_transaction_timeout)
                .unwrap_or(pool.idle_transaction_timeout)
                .0,
            query_timeout: query.unwrap_or(pool.query_timeout).0,
            transaction_timeout: user
                .and_then(|u| u.transaction_timeout)
                .unwrap_or(pool.transaction_timeout)
                .0,
            max_prepared_statements: number(
                database.and_then(|d| d.max_prepared_statements).unwrap_or(pool.max_prepared_statements),
            ),
            opaque_functions: database.and_then(|d| d.opaque_functions).unwrap_or(pool.opaque_functions),
            opaque_function_names: database
                .and_then(|d| d.opaque_function_names.as_ref())
                .unwrap_or(&pool.opaque_function_names)
                .clone(),
            hidden_state_sample: number(pool.hidden_state_sample),
            pin_max: number(database.and_then(|d| d.pin_max).unwrap_or(pool.pin_max)),
            pin_timeout: pool.pin_timeout.0,
            notify_buffer_max: pool.notify_buffer_max.0,
            unnamed_statements: if mapped { UnnamedStatements::Mapped } else { UnnamedStatements::PassedOn },
            split_route: split_route(database, user),
            consistency: Expectation::resolve(pool, database, user),
            commit_fate: CommitFate::resolve(pool, database, user),
            rotation: if pool.rotate_servers { Rotation::On } else { Rotation::Off },
        }
    }
}

fn split_route(database: Option<&DatabaseKeys>, user: Option<&UserKeys>) -> SplitRoute {
    let own = user.and_then(|user| user.split_route);
    own.or(database.and_then(|database| database.split_route)).unwrap_or(SplitRoute::Auto)
}

/// TCP settings of client and server connections; `None`: the system's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Whether keep-alive probes are sent.
    pub keepalive: bool,
    /// Idle time before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Unanswered probes until the connection is dead.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Tcp {
    pub(super) fn of(pool: &Pool) -> Self {
        Self {
            keepalive: pool.tcp_keepalive,
            idle: pool.tcp_keepidle.0,
            interval: pool.tcp_keepintvl.0,
            count: pool.tcp_keepcnt.0.map(NonZeroU32::get),
            user_timeout: pool.tcp_user_timeout.0,
        }
    }
}

/// How pgsteer logs in to a server for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLogin {
    /// The role.
    pub user: String,
    /// The database's name on the server.
    pub database: String,
    /// Whose secret it is and what it is.
    pub credentials: Credentials,
}

/// What there is to show a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A password from the configuration, forced for the database.
    Forced(Secret),
    /// The user's entry of the auth_file: a password, `md5…`, or a SCRAM verifier (then the client's own keys serve,
    /// if the client is this user).
    Listed(Secret),
    /// Nothing: the server must let the user in without, or the client's own password serves.
    Nothing,
}
