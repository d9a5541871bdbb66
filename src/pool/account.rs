//! Whom servers are opened for: a user and a database, their settings, and what can log in.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::{commits::Parted, slots::SlotLimits};
use crate::{
    auth::secrets::Credential,
    route::{consistency::Expectation, leaning::Leaning},
    server::Approach,
    sql::touches::FunctionNames,
    wire::startup::Protocol,
};

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

/// What is thought of code whose effects no text shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpaquePolicy {
    /// What becomes of a client that runs it.
    pub handling: Opaque,
    /// Functions that count as such code.
    pub names: FunctionNames,
}

/// What becomes of a client that runs code whose effects no text shows (`opaque_functions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opaque {
    /// The code is trusted to leave nothing behind that cannot be found by asking the server.
    #[default]
    Trust,
    /// It keeps its server.
    Pin,
}

impl OpaquePolicy {
    /// Whether such code keeps its client on its server.
    pub const fn pins(&self) -> bool {
        matches!(self.handling, Opaque::Pin)
    }
}

/// Which reads another replica runs again (`retry_reads`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rereading {
    /// None.
    #[default]
    Off,
    /// Those under which a replica was lost.
    Lost,
    /// And those that were in the way of what it replays.
    AlsoConflicts,
}

/// Everything a pool and the sessions on it go by, resolved for one user and database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// When a server goes back.
    pub mode: PoolMode,
    /// The same, if the user or the database say so: then it goes before the listener's.
    pub own_mode: Option<PoolMode>,
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
    /// What is thought of code whose effects no text shows; `None`: it is trusted.
    pub opaque: Option<Arc<OpaquePolicy>>,
    /// One of so many times that a server goes back it is asked what nobody knows of; `None`: never.
    pub sample: Option<NonZeroU32>,
    /// Servers of a pool that clients may keep because of their sessions' state.
    pub pin_max: Option<usize>,
    /// A client that keeps a server so may be silent for as long.
    pub pin_timeout: Option<Duration>,
    /// Bytes of notifications that wait for one client of its.
    pub notify_bytes_max: usize,
    /// Whether unnamed statements are mapped to statements that a server has prepared.
    pub map_unnamed: bool,
    /// What a listener that splits does with statements of this user and database.
    pub leaning: Leaning,
    /// Which of its reads another replica runs again, on a listener that reads.
    pub rereading: Rereading,
    /// What its reads must see.
    pub consistency: Expectation,
    /// What is done about a commit whose answer is lost.
    pub commit_fate: CommitFate,
    /// A client without a transaction may be silent for as long.
    pub client_idle_timeout: Option<Duration>,
    /// A client inside a transaction may be silent for as long.
    pub idle_transaction_timeout: Option<Duration>,
    /// A query may run for as long, then it is cancelled.
    pub query_timeout: Option<Duration>,
    /// A transaction may last as long.
    pub transaction_timeout: Option<Duration>,
}

/// What is done about a commit whose answer is lost with its server (`commit_fate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitFate {
    /// The client hears that it is not known.
    #[default]
    Unknown,
    /// The next leader is asked.
    AskedFor {
        /// That takes no longer.
        within: Duration,
    },
}

/// A user and a database on one cluster.
#[derive(Debug)]
pub struct Account {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The database as clients name it: `[databases.NAME]` may give one several names, each with limits of its own.
    pub alias: Arc<str>,
    /// The database, as the servers know it.
    pub database: Arc<str>,
    /// The user as clients log in: where `[databases.NAME]` forces another one on the servers, clients of several may share
    /// a pool, which has the account of the first of them.
    pub login: Arc<str>,
    /// The user, as the servers know it.
    pub user: Arc<str>,
    /// Its settings.
    pub settings: ArcSwap<PoolSettings>,
    /// What can log in to a server.
    pub credential: ArcSwapOption<Credential>,
    /// Whether a client has ever asked what its session last drew from a sequence (`currval`, `lastval`).
    pub reads_sequences: AtomicBool,
    /// Whether a client has ever set `temp_buffers`, which a server refuses that has had temporary tables.
    pub sets_temp_buffers: AtomicBool,
    /// Whether a client has ever been told something by a setting (`SHOW pgsteer.token`): its server keeps that for whoever asks next.
    pub tells: AtomicBool,
    /// Whether a server has refused to say what number a transaction has, for good.
    pub hides_xids: AtomicBool,
    /// The custom settings that its clients have used.
    pub custom_settings: CustomSettings,
    /// The last transactions of its clients that are gone.
    pub parted: Parted,
}

/// The names of an [`Account`].
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The cluster's.
    pub cluster: &'a str,
    /// The database's, for clients.
    pub alias: &'a str,
    /// The database's, on the servers.
    pub database: &'a str,
    /// The user's, for clients.
    pub login: &'a str,
    /// The user's, on the servers.
    pub user: &'a str,
}

impl Account {
    /// One of whose clients nothing is known yet.
    pub fn new(names: Names<'_>, settings: PoolSettings, credential: Option<Credential>) -> Self {
        Self {
            cluster: names.cluster.into(),
            alias: names.alias.into(),
            database: names.database.into(),
            login: names.login.into(),
            user: names.user.into(),
            settings: ArcSwap::from_pointee(settings),
            credential: ArcSwapOption::new(credential.map(Arc::new)),
            reads_sequences: false.into(),
            sets_temp_buffers: false.into(),
            tells: false.into(),
            hides_xids: false.into(),
            custom_settings: CustomSettings::default(),
            parted: Parted::default(),
        }
    }
}

/// Custom settings (names with a dot that no module has claimed) that clients have used: a server does not list them, so
/// that they must be asked for by name. Some only: it is a help to find what no text shows.
#[derive(Debug, Default)]
pub struct CustomSettings(Mutex<BTreeSet<Box<[u8]>>>);

impl CustomSettings {
    /// Names that are remembered.
    pub const NAMES_MAX: usize = 32;

    /// A client has used this one.
    pub fn note(&self, name: &[u8]) {
        let mut names = self.0.lock();
        if names.len() < Self::NAMES_MAX && !names.contains(name) {
            names.insert(name.into());
        }
    }

    /// All that are remembered.
    pub fn names(&self) -> Vec<Box<[u8]>> {
        self.0.lock().iter().cloned().collect()
    }
}
