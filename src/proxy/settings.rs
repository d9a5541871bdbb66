//! From the configuration's words to the values that pools, probes and sessions go by.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    auth::secrets::{Credential, Password, UserSecret},
    config::{self, Config, Credentials, MaxProtocol, ProxyHeader},
    net::{
        KeepAlive,
        conveyed::{Preface, Version},
    },
    pool::{
        account::{CommitFate, Opaque, OpaquePolicy, PoolMode, PoolSettings, Rereading},
        pools::SharedLimits,
        slots::{Reuse, SlotLimits},
    },
    route::{
        consistency::{Consistency, Expectation},
        leaning::Leaning,
    },
    server::Approach,
    sql::touches::FunctionNames,
    wire::startup::Protocol,
};

/// How much longer a client of another worker may wait than one of a free server's own worker.
const HANDOVER_SLACK: Duration = Duration::from_millis(2);

/// How many of them may go first. Where every worker has servers a client is hardly ever overtaken more than once or twice;
/// where all servers are one worker's, the clients of the others would otherwise get a small part of their share.
const OVERTAKES_MAX: u64 = 4;

const fn count(number: u32) -> usize {
    number as usize
}

fn limit(number: Option<u32>) -> usize {
    number.map_or(0, count)
}

/// When a server goes back.
pub(super) const fn pool_mode(mode: config::PoolMode) -> PoolMode {
    match mode {
        config::PoolMode::Transaction => PoolMode::Transaction,
        config::PoolMode::Session => PoolMode::Session,
        config::PoolMode::Statement => PoolMode::Statement,
    }
}

/// What a read must see.
pub(super) const fn consistency(consistency: config::Consistency) -> Consistency {
    match consistency {
        config::Consistency::Eventual => Consistency::Eventual,
        config::Consistency::Session => Consistency::Session,
        config::Consistency::Global => Consistency::Global,
    }
}

/// What the pool of this user and database, as the client named them, goes by on this cluster.
pub(super) fn pool_settings(config: &Config, cluster: &str, database: &str, user: &str) -> PoolSettings {
    let pool = config.pool_settings(database, user);
    let approach = approach(config, cluster, Some(database));
    let cluster = config.clusters.get(cluster);
    let replicas = cluster.map_or(&config.keys.replicas, |cluster| &cluster.replicas);
    PoolSettings {
        mode: pool_mode(pool.pool_mode),
        own_mode: pool.own_pool_mode.map(pool_mode),
        limits: SlotLimits {
            size: count(pool.pool_size),
            min_size: count(pool.min_pool_size),
            reserve_size: if pool.reserve_pool_timeout.is_some() { count(pool.reserve_pool_size) } else { 0 },
            reserve_after: pool.reserve_pool_timeout.unwrap_or_default(),
            lifetime: pool.server_lifetime,
            idle_timeout: pool.server_idle_timeout,
            opening_max: count(pool.connect_burst_max),
            handover_slack: HANDOVER_SLACK,
            overtakes_max: OVERTAKES_MAX,
            reuse: match pool.rotation {
                config::Rotation::Off => Reuse::LastUsed,
                config::Rotation::On => Reuse::Rotate,
            },
        },
        fallback_size: count(replicas.fallback_connections_max.get()),
        protocol: cluster.map_or(Protocol::NEWEST, |cluster| protocol(cluster.protocol)),
        connect_timeout: pool.server_connect_timeout,
        login_retry: pool.server_login_retry,
        check_delay: pool.server_check_delay,
        query_wait_timeout: pool.query_wait_timeout,
        leader_wait_timeout: pool.leader_wait_timeout,
        replica_wait_timeout: Some(replicas.replica_wait_timeout),
        max_prepared_statements: limit(pool.max_prepared_statements),
        opaque: opaque_policy(&pool),
        sample: pool.hidden_state_sample.and_then(NonZeroU32::new),
        pin_max: pool.pin_max.map(count),
        pin_timeout: pool.pin_timeout,
        notify_bytes_max: usize::try_from(pool.notify_buffer_max).unwrap_or(usize::MAX),
        map_unnamed: pool.unnamed_statements == config::UnnamedStatements::Mapped,
        leaning: match pool.split_route {
            config::SplitRoute::Auto => Leaning::Auto,
            config::SplitRoute::Read => Leaning::Read,
            config::SplitRoute::Write => Leaning::Write,
        },
        rereading: match replicas.retry_reads {
            config::RetryReads::Off => Rereading::Off,
            config::RetryReads::Lost => Rereading::Lost,
            config::RetryReads::Conflicts => Rereading::AlsoConflicts,
        },
        consistency: Expectation {
            own: pool.consistency.own.map(consistency),
            otherwise: consistency(pool.consistency.otherwise),
            wait: pool.consistency.wait,
        },
        commit_fate: match pool.commit_fate {
            config::CommitFate::Unknown => CommitFate::Unknown,
            config::CommitFate::AskedFor { within } => CommitFate::AskedFor { within },
        },
        client_idle_timeout: pool.client_idle_timeout,
        idle_transaction_timeout: pool.idle_transaction_timeout,
        query_timeout: pool.query_timeout,
        transaction_timeout: pool.transaction_timeout,
        approach,
    }
}

/// What is thought of code whose effects no text shows; nothing where it is trusted.
fn opaque_policy(pool: &config::PoolSettings) -> Option<Arc<OpaquePolicy>> {
    let handling = match pool.opaque_functions {
        config::OpaqueFunctions::Trust => Opaque::Trust,
        config::OpaqueFunctions::Pin => Opaque::Pin,
    };
    // The configuration has seen to it that they are names.
    let names = FunctionNames::parse(pool.opaque_function_names.iter().map(config::FunctionName::as_str));
    let policy = OpaquePolicy { handling, names: names.unwrap_or_default() };
    (policy != OpaquePolicy::default()).then(|| Arc::new(policy))
}

/// The limits that the pools of this user and database share.
pub(super) fn shared_limits(config: &Config, database: &str, user: &str) -> SharedLimits {
    let pool = config.pool_settings(database, user);
    SharedLimits {
        member: limit(pool.max_member_connections),
        database: limit(pool.max_db_connections),
        user: limit(pool.max_user_connections),
        opening: count(pool.connect_burst_max),
    }
}

/// What logs in to servers according to the configuration; `None`: what the client showed at its own login.
pub(super) fn server_credential(login: &config::ServerLogin) -> Option<Credential> {
    match &login.credentials {
        Credentials::Forced(secret) => Some(Credential::Password(Password::new(secret.expose().as_bytes()))),
        Credentials::Listed(secret) => match UserSecret::parse(secret.expose()) {
            UserSecret::Password(password) => Some(Credential::Password(password)),
            UserSecret::Md5(hash) => Some(Credential::Md5Hash(hash)),
            // A verifier cannot log in; the client's keys can.
            UserSecret::Scram(_) | UserSecret::NoPassword => None,
        },
        Credentials::Nothing => None,
    }
}

/// The newest version of the protocol to ask servers for.
pub(super) const fn protocol(max: MaxProtocol) -> Protocol {
    match max {
        MaxProtocol::V3_0 => Protocol::V3_0,
        MaxProtocol::V3_2 => Protocol::V3_2,
    }
}

/// How the servers of a cluster are reached, for this database where there is one.
pub(super) fn approach(config: &Config, cluster: &str, database: Option<&str>) -> Approach {
    let header = config.clusters.get(cluster).map_or(ProxyHeader::Off, |cluster| cluster.proxy_header);
    Approach { preface: preface(header), tls: config.server_tls(cluster, database).clone() }
}

/// What servers are told before anything else.
const fn preface(header: ProxyHeader) -> Preface {
    match header {
        ProxyHeader::Off => Preface::None,
        ProxyHeader::V1 => Preface::Own(Version::V1),
        ProxyHeader::V2 => Preface::Own(Version::V2),
    }
}

/// How TCP sockets are set up.
pub(super) fn keepalive(config: &Config) -> KeepAlive {
    let tcp = config.tcp();
    KeepAlive {
        enabled: tcp.keepalive,
        idle: tcp.idle,
        interval: tcp.interval,
        count: tcp.count,
        user_timeout: tcp.user_timeout,
    }
}
