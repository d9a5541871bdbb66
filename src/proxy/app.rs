//! What every part of the running program can reach.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;

use super::{
    clusters::RunningCluster,
    lookups::Lookups,
    settings::{pool_settings, server_credential},
    welcome::Welcomes,
};
use crate::{
    auth::{
        self,
        mock::Mock,
        secrets::{Credential, Users},
    },
    client::{Authenticator, registry::Registry},
    clock::Clock,
    config::{AuthType, Config},
    metrics::Events,
    pool::{account::Account, pools::Pools, quota::Quota},
    session::{context::Worker, routes::Tenant},
    wire::statements::Catalog,
};

/// Users and databases that are remembered at most; beyond it a client with yet another pair is refused.
const TENANTS_MAX: usize = 100_000;

/// The running program.
pub(super) struct App {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) clock: Clock,
    pub(super) clusters: Arc<BTreeMap<String, RunningCluster>>,
    pub(super) pools: Pools,
    pub(super) registry: Arc<Registry>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) workers: Vec<(Arc<Worker>, tokio::runtime::Handle)>,
    pub(super) welcomes: Arc<Welcomes>,
    pub(super) authenticator: ArcSwap<Authenticator>,
    pub(super) users: ArcSwap<Users>,
    pub(super) mock: Mock,
    /// Secrets of users who are not listed.
    pub(super) lookups: Lookups,
    /// Client connections (`max_client_conn`).
    pub(super) connections: Arc<Quota>,
    /// Connections that have not logged in yet.
    pub(super) arrivals: Arc<Quota>,
    pub(super) tenants: DashMap<TenantKey, Arc<Tenant>>,
    /// Whether it is about to end.
    pub(super) stopping: tokio::sync::watch::Sender<bool>,
    /// What is counted for the whole process.
    pub(super) events: Arc<Events>,
}

/// A user and database as clients name them, on one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TenantKey {
    pub(super) cluster: String,
    pub(super) database: String,
    pub(super) user: String,
}

/// There are too many different users and databases.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyTenants;

impl App {
    /// The user and database of a client that has proved who it is; what it showed then logs in to servers, unless
    /// the configuration says otherwise.
    pub(super) fn tenant(&self, key: TenantKey, shown: Credential) -> Result<Arc<Tenant>, TooManyTenants> {
        let config = self.config.load();
        let login = config.server_login(&key.database, &key.user);
        let credential = server_credential(&login).or_else(|| {
            // A client's own secret logs in as that client, and as nobody else.
            (login.user == key.user && shown != Credential::None).then_some(shown)
        });
        if let Some(tenant) = self.tenants.get(&key) {
            if let Some(credential) = credential {
                self.pools.set_credential(&tenant.account, credential);
            }
            return Ok(tenant.clone());
        }
        if self.tenants.len() >= TENANTS_MAX {
            // Those without a client give way.
            self.tenants.retain(|_, tenant| Arc::strong_count(tenant) > 1);
            if self.tenants.len() >= TENANTS_MAX {
                return Err(TooManyTenants);
            }
        }
        let settings = pool_settings(&config, &key.cluster, &key.database, &key.user);
        let account = Account {
            cluster: key.cluster.as_str().into(),
            database: login.database.into(),
            user: login.user.into(),
            settings: ArcSwap::from_pointee(settings),
            credential: ArcSwapOption::new(credential.map(Arc::new)),
        };
        let tenant = Arc::new(Tenant::new(Arc::new(account)));
        Ok(self.tenants.entry(key).or_insert(tenant).clone())
    }
}

/// How clients are asked who they are, as the configuration says.
pub(super) fn authenticator(config: &Config, users: &Arc<Users>, mock: &Mock) -> Authenticator {
    let auth_type = match config.auth.kind {
        AuthType::ScramSha256 => auth::AuthType::ScramSha256,
        AuthType::Md5 => auth::AuthType::Md5,
        AuthType::Plain => auth::AuthType::Plain,
        AuthType::Peer => auth::AuthType::Peer,
        AuthType::Trust => auth::AuthType::Trust,
        AuthType::Cert => auth::AuthType::Cert,
    };
    Authenticator { auth_type, secrets: users.clone(), lookup: None, mock: mock.clone() }
}

/// The users that the configuration lists. Passwords in the clear are stretched here, so never on a worker.
pub(super) fn users(config: &Config, before: Option<&Users>, mock: &Mock) -> Arc<Users> {
    let mut users = Users::new(config.auth.users.iter().map(|(user, secret)| (user, secret.expose())));
    if let Some(before) = before {
        users.inherit(before);
    }
    users.derive_all(mock);
    Arc::new(users)
}
