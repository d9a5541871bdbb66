//! Every key of the configuration file. The reference, the defaults and the reload rules all come from here.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use super::{
    auth_keys::AuthKeys,
    cluster_keys::{ClusterKeys, Replicas},
    declare::{Entry, Fields, Key, Reload, Section, section},
    function_name::FunctionName,
    listen_address::{FileMode, ListenAddress},
    network::Network,
    secret::Secret,
    tag::Tag,
    tls_keys::{ClientTls, ServerTls},
    value::{Delay, OrOff, Size, Value},
    words::{
        Consistency, LogFormat, LogLevel, OpaqueFunctions, PoolMode, ProxyProtocol, RouteKind, SplitRoute,
        SyncStandbys,
    },
};

section! {
    /// An address to listen on, and where its connections go. May be written several times.
    ListenKeys "[[listen]]" {
        /// IP address and port: `127.0.0.1:6432`, `0.0.0.0:6432` for every IPv4 address, `[::]:6432` for all. Port 0
        /// takes any free port and says in the log which. Or the folder of a Unix socket: `/run/pgsteer:6432` is
        /// `.s.PGSQL.6432` in that folder (5432 where no port is given), `@pgsteer:6432` the same in the abstract
        /// namespace. The file of a process that is gone is replaced.
        Restart address: ListenAddress;
        /// Permissions of a Unix socket's file.
        Restart unix_socket_mode: FileMode = "0777";
        /// Whether the proxies of `proxy_protocol_from` (HAProxy's `send-proxy` and the like) say first, by the PROXY
        /// protocol, version 1 or 2, which client they forward: `required` or `optional`. Its address is then the
        /// client's everywhere. From nobody else is that believed: others are served as ever, without a header.
        Restart proxy_protocol: ProxyProtocol = "off";
        /// Whose headers of the PROXY protocol are believed: addresses and networks, `["10.0.0.0/8"]`. On a Unix socket
        /// everybody's is who can connect.
        Restart proxy_protocol_from: Vec<Network> = [];
        /// `write`: to the leader; `read`: to the replicas that qualify; `split`: statements that only read and
        /// read-only transactions to the replicas that qualify, or to the leader where none does, everything else to the
        /// leader. Whether a replica must show what has just been written, `consistency` says.
        Restart route: RouteKind;
        /// The cluster; may be left out where there is one.
        Restart cluster: Option<String>;
        /// Instead of `lag_bytes_max` in `[replicas]`, for reads of this listener.
        Restart lag_bytes_max: Option<OrOff<Size>>;
        /// Instead of `lag_time_max` in `[replicas]`, for reads of this listener.
        Restart lag_time_max: Option<OrOff<Duration>>;
        /// Instead of `sync_standbys` in `[replicas]`, for reads of this listener.
        Restart sync_standbys: Option<SyncStandbys>;
        /// Tags that a replica must have for reads of this listener, beside `required_tags` in `[replicas]`.
        Restart required_tags: Option<Vec<Tag>>;
        /// As `pool_mode` in `[pool]`, for clients of this listener; that of the user or the database goes before it.
        Restart pool_mode: Option<PoolMode>;
        /// As `consistency` in `[pool]`, for clients of this listener; that of the user or the database goes before it.
        Restart consistency: Option<Consistency>;
        /// How many connections may wait to be accepted (the kernel's own limit, `net.core.somaxconn`, applies too).
        Restart backlog: NonZeroU32 = 1024;
    }
}

section! {
    /// Pooling: limits and timeouts. Names and meanings are PgBouncer's where it has them. A pool is the server
    /// connections of one user to one database on one member; a database that clients know by several names
    /// (`dbname` of `[databases.NAME]`) has a pool, and limits, for each of them.
    Pool "[pool]" {
        /// When a server goes back to its pool: after each transaction, when the client leaves, or after each statement.
        NewConnections pool_mode: PoolMode = "transaction";
        /// Server connections of a pool, for each user, database and member, per pgsteer.
        AtOnce default_pool_size: NonZeroU32 = 25;
        /// Server connections that a pool in use keeps open even when idle.
        AtOnce min_pool_size: u32 = 0;
        /// Further server connections that a pool may open when a client has waited for `reserve_pool_timeout`.
        AtOnce reserve_pool_size: u32 = 0;
        /// How long a client waits before the reserve is used; 0: the reserve is not used.
        AtOnce reserve_pool_timeout: OrOff<Duration> = "5s";
        /// Client connections of this pgsteer. One more gets an error (53300).
        AtOnce max_client_conn: NonZeroU32 = 1000;
        /// Replication connections (`replication=…`: backups, standbys, subscriptions), each with a server connection of
        /// its own beside the pools. They count as clients as well. 0: none. Keep it below the members'
        /// `max_wal_senders`.
        AtOnce max_replication_connections: u32 = 10;
        /// Server connections to one database, as clients name it, on one member, all users together.
        AtOnce max_db_connections: OrOff<NonZeroU32> = 0;
        /// Server connections of one user on one member, all databases together.
        AtOnce max_user_connections: OrOff<NonZeroU32> = 0;
        /// Server connections to one member. Keep it below the member's `max_connections`.
        AtOnce max_member_connections: OrOff<NonZeroU32> = 0;
        /// Connections being opened to one member at the same time: the rest waits its turn, so that a new leader is
        /// not flooded.
        AtOnce connect_burst_max: NonZeroU32 = 8;
        /// On how many members that may lead next connections are opened ahead, so that a promotion is no storm of logins:
        /// synchronous standbys first, never those tagged `nofailover`. There each pool has as many as the leader's has, within
        /// every limit; after the promotion they are the leader's. Until then they serve reads, where there are any. 0: none.
        AtOnce warm_candidates: u32 = 0;
        /// Connections opened ahead for each user and database on each of these members, at most.
        AtOnce warm_connections_max: NonZeroU32 = 10;
        /// How long a request waits for a server of its pool. 0: for ever.
        AtOnce query_wait_timeout: OrOff<Duration> = "30s";
        /// How long a request waits for a leader to exist. 0: for ever.
        AtOnce leader_wait_timeout: OrOff<Duration> = "60s";
        /// Age at which an idle server connection is closed. 0: never (PgBouncer's 0, "use once", does not exist here).
        AtOnce server_lifetime: OrOff<Duration> = "1h";
        /// How long a server connection may be idle before it is closed.
        AtOnce server_idle_timeout: OrOff<Duration> = "10m";
        /// How long connecting and logging in to a server may take.
        AtOnce server_connect_timeout: Duration = "3s";
        /// Pause after a server refused a login for its user or database; reset by any change of the topology. Other
        /// failures are retried much faster.
        AtOnce server_login_retry: Delay = "1s";
        /// A server connection that was idle for longer is checked before it is used. 0: always.
        AtOnce server_check_delay: Delay = "30s";
        /// What a read that goes to a replica must see. `eventual`: what any replica that qualifies has; `session`: whatever
        /// its own client has committed; `global`: whatever any client with `global` was told by this pgsteer to be committed before.
        /// Where no replica has replayed it within `consistency_wait` the leader serves the read, or, with `route = "read"`, what
        /// `fallback` says. A client can take its position along: `SHOW pgsteer.token`, and `SET pgsteer.wait_for` on
        /// another connection, or another pgsteer.
        NewConnections consistency: Consistency = "eventual";
        /// How long a read waits for a replica to replay what it must see.
        AtOnce consistency_wait: Delay = "200ms";
        /// Whether a client whose server is lost in a COMMIT hears what became of it instead of 08007. Ahead of the COMMIT of a
        /// transaction block, and of an INSERT, UPDATE, DELETE or MERGE without one by the extended protocol, its number is asked
        /// for, in the same write (some 30 µs of the server's time, and often a record of some 60 bytes in its log, a logical
        /// message `pgsteer`); the leader that goes on is then asked about that number. `SHOW pgsteer.last_commit` tells of the last
        /// one, on another connection too.
        NewConnections commit_fate: bool = false;
        /// How long that may take, waiting for a leader included.
        NewConnections commit_fate_wait: Duration = "60s";
        /// How long a client may be idle outside a transaction.
        AtOnce client_idle_timeout: OrOff<Duration> = "0";
        /// How long a client may take to log in.
        NewConnections client_login_timeout: Duration = "60s";
        /// How long a client may be idle inside a transaction.
        AtOnce idle_transaction_timeout: OrOff<Duration> = "0";
        /// How long a query may run. It is cancelled, and the connection closed only if that fails.
        AtOnce query_timeout: OrOff<Duration> = "0";
        /// How long a transaction may last.
        AtOnce transaction_timeout: OrOff<Duration> = "0";
        /// How long running transactions may take to end when pgsteer is stopped.
        AtOnce drain_timeout: Delay = "60s";
        /// Named prepared statements kept on a server connection in transaction and statement mode. Where there is no room,
        /// the longest unused of the client that has most there gives way. 0: named statements are not followed from server to
        /// server; outside session mode they are refused (0A000), because there the name is another client's or nobody's.
        NewConnections max_prepared_statements: OrOff<NonZeroU32> = 200;
        /// What is thought of `DO`, `CALL`, texts that are not understood and the functions of `opaque_function_names`.
        /// What other functions and triggers do to a session no text shows either. `trust`: code leaves nothing behind
        /// that asking the server would not find; `pin`: a client that runs such code keeps its server until it
        /// discards all or leaves.
        NewConnections opaque_functions: OpaqueFunctions = "trust";
        /// Functions that do more to a session than their names show (set a setting, take a lock for the session), as
        /// SQL writes them, without arguments. When one was called the server is asked what it left, which follows the client or
        /// keeps it on its server; with `opaque_functions = "pin"` it keeps it there in any case.
        NewConnections opaque_function_names: Vec<FunctionName> = [];
        /// Functions and triggers may leave behind what no text shows. One of so many times that a server goes back it is
        /// asked whether something was left that nobody knew of: that is logged, counted and taken away.
        NewConnections hidden_state_sample: OrOff<NonZeroU32> = 10000;
        /// Servers of a pool that clients may keep because of what their sessions hold: temporary tables, cursors
        /// `WITH HOLD`, session-level advisory locks, `LISTEN` and the like. One more gets an error that says so. 0: all
        /// of the pool's.
        AtOnce pin_max: OrOff<NonZeroU32> = 0;
        /// How long a client that keeps a server so may be idle.
        AtOnce pin_timeout: OrOff<Duration> = "0";
        /// Bytes of notifications that wait for one client while it is in a transaction or does not read; of what comes beyond
        /// that it misses some, and is told so. All clients together have 256 MB, beside 256 kB that each has in any case.
        /// PostgreSQL keeps up to 8 GB for all, and refuses NOTIFY then.
        NewConnections notify_buffer_max: Size = "8MB";
        /// A statement that a client sends without a name, as most drivers do with every query, is not parsed again
        /// where the server has the same text prepared: from the second time it is seen, within
        /// `max_prepared_statements`, for one second at a time, and only while nothing that passes through here changes
        /// the schema. As with any prepared statement PostgreSQL may choose a generic plan from the sixth use on;
        /// `ALTER ROLE … SET plan_cache_mode = force_custom_plan` prevents that.
        NewConnections map_unnamed_statements: bool = true;
        /// For tests: gives a client another server after every transaction, wherever another can be had, instead of
        /// the one used last. What a session could lose between two transactions it loses then.
        AtOnce rotate_servers: bool = false;
        /// TCP keep-alive on client and server connections.
        NewConnections tcp_keepalive: bool = true;
        /// Idle time before the first keep-alive probe, in whole seconds, at most 32767. 0: the system's own.
        NewConnections tcp_keepidle: OrOff<Duration> = "30s";
        /// Time between keep-alive probes, in whole seconds, at most 32767. 0: the system's own.
        NewConnections tcp_keepintvl: OrOff<Duration> = "10s";
        /// Unanswered keep-alive probes after which the connection is dead, at most 127. 0: the system's own.
        NewConnections tcp_keepcnt: OrOff<NonZeroU32> = 3;
        /// How long sent data may stay unacknowledged, in whole milliseconds, at most 24 days. 0: the system's own.
        NewConnections tcp_user_timeout: OrOff<Duration> = "0";
    }
}

section! {
    /// Overrides for one database, named as clients ask for it. Every other database name passes through unless
    /// `databases_only = true` in `[auth]`. What is left out follows `[pool]`.
    DatabaseKeys "[databases.NAME]" {
        /// The cluster that has this database; without it, the listener's.
        Restart cluster: Option<String>;
        /// The database's name on the servers; without it, the same.
        NewConnections dbname: Option<String>;
        /// Every client of this database becomes this user on the servers.
        NewConnections user: Option<String>;
        /// The password of `user` on the servers. Without one, its entry in `auth_file` serves.
        NewConnections password: Option<Secret>;
        /// File that holds the password of `user`.
        NewConnections password_file: Option<PathBuf>;
        /// As `auth_user` in `[auth]`, for clients of this database.
        NewConnections auth_user: Option<String>;
        /// The password of this database's `auth_user`.
        NewConnections auth_password: Option<Secret>;
        /// File that holds the password of this database's `auth_user`.
        NewConnections auth_password_file: Option<PathBuf>;
        /// As `auth_query` in `[auth]`.
        NewConnections auth_query: Option<String>;
        /// As `auth_dbname` in `[auth]`.
        NewConnections auth_dbname: Option<String>;
        /// As `pool_mode` in `[pool]`.
        NewConnections pool_mode: Option<PoolMode>;
        /// As `opaque_functions` in `[pool]`.
        NewConnections opaque_functions: Option<OpaqueFunctions>;
        /// Instead of `opaque_function_names` in `[pool]`.
        NewConnections opaque_function_names: Option<Vec<FunctionName>>;
        /// As `pin_max` in `[pool]`.
        AtOnce pin_max: Option<OrOff<NonZeroU32>>;
        /// Instead of `default_pool_size`.
        AtOnce pool_size: Option<NonZeroU32>;
        /// As `min_pool_size` in `[pool]`.
        AtOnce min_pool_size: Option<u32>;
        /// As `reserve_pool_size` in `[pool]`.
        AtOnce reserve_pool_size: Option<u32>;
        /// As `max_db_connections` in `[pool]`.
        AtOnce max_db_connections: Option<OrOff<NonZeroU32>>;
        /// As `server_lifetime` in `[pool]`.
        AtOnce server_lifetime: Option<OrOff<Duration>>;
        /// As `query_timeout` in `[pool]`.
        AtOnce query_timeout: Option<OrOff<Duration>>;
        /// As `max_prepared_statements` in `[pool]`.
        NewConnections max_prepared_statements: Option<OrOff<NonZeroU32>>;
        /// As `map_unnamed_statements` in `[pool]`.
        NewConnections map_unnamed_statements: Option<bool>;
        /// Where listeners with `route = "split"` send the statements of this database: `auto`, as each statement says;
        /// `read`, to replicas unless it says that it writes, whatever functions it calls; `write`, to the leader. A client
        /// chooses for itself by `SET pgsteer.route`, the same as a start-up option, or a comment at the front of a
        /// statement: `/* pgsteer: read */`.
        NewConnections split_route: Option<SplitRoute>;
        /// Instead of `lag_bytes_max` in `[replicas]` and of the listener, for reads of this database.
        Restart lag_bytes_max: Option<OrOff<Size>>;
        /// Instead of `lag_time_max` in `[replicas]` and of the listener, for reads of this database.
        Restart lag_time_max: Option<OrOff<Duration>>;
        /// Instead of `sync_standbys` in `[replicas]` and of the listener, for reads of this database.
        Restart sync_standbys: Option<SyncStandbys>;
        /// Tags that a replica must have for reads of this database, beside those of `[replicas]` and of the listener.
        Restart required_tags: Option<Vec<Tag>>;
        /// As `consistency` in `[pool]`.
        NewConnections consistency: Option<Consistency>;
        /// As `consistency_wait` in `[pool]`.
        AtOnce consistency_wait: Option<Delay>;
        /// As `commit_fate` in `[pool]`.
        NewConnections commit_fate: Option<bool>;
    }
}

section! {
    /// Overrides for one user, named as clients log in. They go before those of the database, as with PgBouncer. Where
    /// a database forces a `user`, the pool follows that user's `pool_mode`, `pool_size`, `reserve_pool_size` and
    /// `max_user_connections`.
    UserKeys "[users.NAME]" {
        /// As `pool_mode` in `[pool]`.
        NewConnections pool_mode: Option<PoolMode>;
        /// As `split_route` of a database.
        NewConnections split_route: Option<SplitRoute>;
        /// As `consistency` in `[pool]`.
        NewConnections consistency: Option<Consistency>;
        /// As `commit_fate` in `[pool]`.
        NewConnections commit_fate: Option<bool>;
        /// Instead of `default_pool_size`.
        AtOnce pool_size: Option<NonZeroU32>;
        /// As `reserve_pool_size` in `[pool]`.
        AtOnce reserve_pool_size: Option<u32>;
        /// As `max_user_connections` in `[pool]`.
        AtOnce max_user_connections: Option<OrOff<NonZeroU32>>;
        /// As `client_idle_timeout` in `[pool]`.
        AtOnce client_idle_timeout: Option<OrOff<Duration>>;
        /// As `idle_transaction_timeout` in `[pool]`.
        AtOnce idle_transaction_timeout: Option<OrOff<Duration>>;
        /// As `query_timeout` in `[pool]`.
        AtOnce query_timeout: Option<OrOff<Duration>>;
        /// As `transaction_timeout` in `[pool]`.
        AtOnce transaction_timeout: Option<OrOff<Duration>>;
    }
}

section! {
    /// Metrics, health and status over HTTP: `/metrics`, `/health`, `/ready`, `/leader`.
    Http "[http]" {
        /// IP address and port; 0: not served.
        Restart address: OrOff<SocketAddr> = "127.0.0.1:9930";
        /// Whoever shows this token (`Authorization: Bearer …`, at least 16 characters) may give orders: switch over, pin a
        /// leader, mark a member drain, down or up. Without it nobody may. It is sent in the clear: keep `address` on
        /// loopback or behind TLS.
        Restart token: Option<Secret>;
        /// File that holds the token.
        Restart token_file: Option<PathBuf>;
    }
}

section! {
    /// The log, on standard error. It holds no statement text and no secret.
    Log "[log]" {
        /// How much is said; of the libraries underneath only what is wrong.
        AtOnce level: LogLevel = "info";
        /// `text` for people, `json` for machines.
        Restart format: LogFormat = "text";
        /// Whether each client's coming and going is logged, with address, user and database.
        AtOnce connections: bool = true;
    }
}

section! {
    /// The process.
    Runtime "[runtime]" {
        /// Threads that serve clients, at most 1024; 0: one for each core.
        Restart workers: u32 = 0;
    }
}

/// Every table with its keys, in the order of the reference.
pub(super) fn sections() -> Vec<(&'static str, &'static str, Vec<Key>)> {
    fn of<S: Section>() -> (&'static str, &'static str, Vec<Key>) {
        (S::HEADER, S::ABOUT, S::keys())
    }
    vec![
        of::<ClusterKeys>(),
        of::<Replicas>(),
        of::<ListenKeys>(),
        of::<ClientTls>(),
        of::<ServerTls>(),
        of::<Pool>(),
        of::<DatabaseKeys>(),
        of::<UserKeys>(),
        of::<AuthKeys>(),
        of::<Http>(),
        of::<Log>(),
        of::<Runtime>(),
    ]
}

/// The table that has a key of this name.
pub(super) fn section_with(name: &str) -> Option<&'static str> {
    sections()
        .into_iter()
        .find(|(_, _, keys)| keys.iter().any(|key| key.name == name))
        .map(|(header, _, _)| header)
}
