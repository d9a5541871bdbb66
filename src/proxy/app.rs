//! What every part of the running program can reach.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::{
    clusters::RunningCluster,
    lookups::Lookups,
    settings::{pool_settings, server_credential},
    welcome::Welcomes,
};
use crate::{
    auth::{
        mock::Mock,
        secrets::{Credential, Users},
    },
    client::{Authenticator, Outside, Patience, registry::Registry},
    clock::Clock,
    config::Config,
    metrics::Events,
    notify::switchboard::Switchboard,
    pool::{
        account::{Account, Names},
        pools::Pools,
        quota::Quota,
    },
    session::{context::Worker, routes::Tenant, split::atlas::Atlas},
    wire::statements::Catalog,
};

/// Users and databases that are remembered at most; beyond it a client with yet another pair is refused.
pub(super) const TENANTS_MAX: usize = 100_000;

/// The running program.
pub(super) struct App {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) clock: Clock,
    pub(super) clusters: Arc<BTreeMap<String, RunningCluster>>,
    pub(super) pools: Pools,
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) registry: Arc<Registry>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) atlas: Arc<Atlas>,
    pub(super) workers: Vec<(Arc<Worker>, tokio::runtime::Handle)>,
    pub(super) welcomes: Arc<Welcomes>,
    pub(super) authenticator: ArcSwap<Authenticator>,
    pub(super) users: ArcSwap<Users>,
    pub(super) mock: Mock,
    /// Who has failed to log in too often.
    pub(super) patience: Arc<Patience>,
    /// Those who judge passwords elsewhere.
    pub(super) outside: Arc<Outside>,
    /// Secrets of users who are not listed.
    pub(super) lookups: Lookups,
    /// Client connections (`max_client_conn`).
    pub(super) connections: Arc<Quota>,
    /// Replication connections (`max_replication_connections`).
    pub(super) replications: Arc<Quota>,
    /// Connections that have not logged in yet.
    pub(super) arrivals: Arc<Quota>,
    /// Connections beyond those, which are told that there are too many.
    pub(super) turned_away: Arc<Quota>,
    pub(super) tenants: DashMap<TenantKey, Arc<Tenant>>,
    /// Whether it is about to end.
    pub(super) stopping: tokio::sync::watch::Sender<bool>,
    /// What is counted for the whole process.
    pub(super) events: Arc<Events>,
}

/// A user and database as clients name them, on one cluster, and whom they are on its servers. A reload may change that:
/// then clients that come afterwards are another tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TenantKey {
    pub(super) cluster: String,
    pub(super) database: String,
    pub(super) user: String,
    on_server: OnServer,
}

/// Whom and what they are on the servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OnServer {
    database: String,
    user: String,
}

impl TenantKey {
    /// Who they are by this configuration.
    pub(super) fn of(config: &Config, cluster: &str, database: &str, user: &str) -> Self {
        let login = config.server_login(database, user);
        Self {
            cluster: cluster.to_owned(),
            database: database.to_owned(),
            user: user.to_owned(),
            on_server: OnServer { database: login.database, user: login.user },
        }
    }
}

/// There are too many different users and databases.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyTenants;

impl App {
    /// The user and database of a client that has proved who it is; what it showed then logs in to servers, unless
    /// the configuration says otherwise.
    pub(super) fn tenant(
        &self,
        config: &Config,
        key: TenantKey,
        shown: Credential,
    ) -> Result<Arc<Tenant>, TooManyTenants> {
        let login = config.server_login(&key.database, &key.user);
        let credential = server_credential(&login).or_else(|| {
            // A client's own secret logs in as that client, and as nobody else.
            (key.on_server.user == key.user && shown != Credential::None).then_some(shown)
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
        let account = self.account(config, &key, credential);
        let tenant = Arc::new(Tenant::new(account));
        Ok(self.tenants.entry(key).or_insert(tenant).clone())
    }

    /// A new account for them; or the one that a pool still has, brought up to date.
    fn account(&self, config: &Config, key: &TenantKey, credential: Option<Credential>) -> Arc<Account> {
        let settings = pool_settings(config, &key.cluster, &key.database, &key.user);
        let names = Names {
            cluster: &key.cluster,
            alias: &key.database,
            database: &key.on_server.database,
            login: &key.user,
            user: &key.on_server.user,
        };
        let account = Account::new(names, settings, credential);
        let table = self.clusters.get(&key.cluster).map(|cluster| cluster.router.load());
        let members = table.iter().flat_map(|table| table.members.keys());
        let Some(known) = self.pools.account_like(&account, members) else { return Arc::new(account) };
        known.settings.store(account.settings.load_full());
        if let Some(credential) = account.credential.load_full() {
            self.pools.set_credential(&known, (*credential).clone());
        }
        known
    }

    /// A client with this user and database could not be served. Unless others are, nothing is remembered of them: a
    /// database that does not exist costs no lasting memory, however many names are tried.
    pub(super) fn forget(&self, key: &TenantKey) {
        let is_nothing =
            |tenant: &Arc<Tenant>| tenant.account.parted.is_empty() && Arc::strong_count(tenant) == 1;
        self.tenants.remove_if(key, |_, tenant| is_nothing(tenant));
    }
}
