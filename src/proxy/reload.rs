//! SIGHUP: the configuration is read again. A file with an error changes nothing.

use std::sync::Arc;

use super::{
    app::App,
    assembly::SPARE_ARRIVALS,
    reception::{authenticator, users},
    settings::{approach, keepalive, pool_settings, server_credential},
};
use crate::config::{Config, Reload, Source};

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
                tracing::error!("configuration not reloaded, nothing has changed: {}", finding.what());
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
    for entry in &app.tenants {
        let (key, account) = (entry.key(), &entry.value().account);
        account.settings.store(Arc::new(pool_settings(&new, &key.cluster, &key.database, &key.user)));
        if let Some(credential) = server_credential(&new.server_login(&key.database, &key.user)) {
            app.pools.set_credential(account, credential);
        }
    }
    app.pools.settings_changed();
    for (name, running) in &*app.clusters {
        if let Some(cluster) = new.clusters.get(name) {
            running.reconfigure(&new, cluster, &approach(&new, name, None));
        }
    }
}
