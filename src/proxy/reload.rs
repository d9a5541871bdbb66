//! SIGHUP: the configuration is read again. A file with an error changes nothing.

use std::sync::Arc;

use super::{
    app::App,
    assembly::SPARE_ARRIVALS,
    reception::{authenticator, users},
    settings::{approach, keepalive, pool_settings, server_credential},
};
use crate::{
    config::{Config, Reload, Source},
    pool::account::Account,
};

/// Reads the configuration again and applies what can be applied.
pub(super) fn reload(app: &App, source: &Source) {
    app.events.reloads.count([if reload_from(app, source) { "ok" } else { "failed" }]);
}

/// Whether the configuration could be used.
fn reload_from(app: &App, source: &Source) -> bool {
    let new = match source.load() {
        Ok(new) => new,
        Err(invalid) => {
            for finding in invalid.findings() {
                tracing::error!("configuration not reloaded, nothing has changed: {finding}");
            }
            return false;
        }
    };
    let old = app.config.load_full();
    let changes = old.reload_report(&new);
    let new = match old.reloaded(new) {
        Ok(new) => new,
        Err(error) => {
            tracing::error!("configuration not reloaded, nothing has changed: {error}");
            return false;
        }
    };
    let users = users(&new, Some(&app.users.load()), &app.mock);
    let authenticator = match authenticator(&new, &users, &app.mock, &app.patience, &app.outside) {
        Ok(authenticator) => authenticator,
        Err(wrong) => {
            for error in wrong.0 {
                tracing::error!("configuration not reloaded, nothing has changed: {error}");
            }
            return false;
        }
    };
    for warning in new.warnings() {
        tracing::warn!("configuration: {warning}");
    }
    for change in &changes {
        if change.applied == Reload::Restart {
            tracing::warn!("configuration: {change}");
        } else {
            tracing::info!("configuration: {change}");
        }
    }
    app.authenticator.store(Arc::new(authenticator));
    app.users.store(users);
    apply(app, Arc::new(new));
    tracing::info!(changes = changes.len(), "configuration reloaded");
    true
}

fn apply(app: &App, new: Arc<Config>) {
    app.lookups.reconfigure(&new);
    let max_client_conn = new.limits().max_client_conn as usize;
    app.connections.set_max(max_client_conn);
    app.arrivals.set_max(max_client_conn + SPARE_ARRIVALS);
    app.replications.set_max(new.limits().max_replication_connections as usize);
    app.pools.dial().set_keepalive(keepalive(&new));
    app.config.store(new.clone());
    // A pool may outlive what is remembered of its user and database.
    let remembered = app.tenants.iter().map(|tenant| tenant.account.clone());
    for account in remembered.chain(app.pools.accounts()) {
        update(app, &new, &account);
    }
    app.pools.settings_changed();
    for (name, running) in &*app.clusters {
        if let Some(cluster) = new.clusters.get(name) {
            running.reconfigure(&new, cluster, &approach(&new, name, None));
        }
    }
}

/// Whoever is somebody else on the servers from now on, or has another database there, keeps what logs in as the old one.
fn update(app: &App, new: &Config, account: &Arc<Account>) {
    let Account { cluster, alias, login, .. } = &**account;
    account.settings.store(Arc::new(pool_settings(new, cluster, alias, login)));
    let on_server = new.server_login(alias, login);
    if *on_server.user == *account.user
        && *on_server.database == *account.database
        && let Some(credential) = server_credential(&on_server)
    {
        app.pools.set_credential(account, credential);
    }
}
