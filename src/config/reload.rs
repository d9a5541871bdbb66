//! What a reload changes, and when.

use std::{collections::BTreeMap, fmt};

use super::{Config, Reload, declare::Entry, declare::shown_name, own_reads::Kept, value::UNSET};

/// A key whose value is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key: `pool.default_pool_size`, `clusters.trading.scope`, `auth_file` for the users in it.
    pub path: String,
    /// What it was and what it is; a secret shows neither.
    pub what: String,
    /// When that takes effect.
    pub applied: Reload,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, applied {}", self.path, self.what, self.applied)
    }
}

impl Config {
    /// What is different in `new`, in the order of the keys' names. Secrets are never shown.
    pub fn reload_report(&self, new: &Self) -> Vec<Change> {
        let (before, after) = (by_path(self), by_path(new));
        let mut changes = Vec::new();
        for (path, entry) in &before {
            let what = match after.get(path) {
                None => "removed".to_owned(),
                Some(now) if entry.secret != now.secret => "changed".to_owned(),
                Some(now) if entry.shown != now.shown => format!("{} -> {}", entry.shown, now.shown),
                Some(_) => continue,
            };
            changes.push(Change { path: path.clone(), what, applied: entry.reload });
        }
        for (path, entry) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
            let what = format!("{}, new", entry.shown);
            changes.push(Change { path: path.clone(), what, applied: entry.reload });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes.extend(self.users_changed(new));
        changes.extend(self.certificates_changed(new));
        changes
    }

    /// What holds after a reload: `new`, but with the running parts (clusters, listeners, HTTP, threads) as they were,
    /// since those change only at a restart.
    ///
    /// # Errors
    /// A database leads to a cluster that does not run yet: then nothing of the reload may be applied.
    pub fn reloaded(&self, mut new: Self) -> Result<Self, String> {
        let mut kept = self.kept.clone();
        for (name, database) in &mut new.keys.databases {
            if let Some(kept) = self.kept.get(name) {
                kept.put_into(database);
                continue;
            }
            if let Some(cluster) = database.cluster.as_ref().filter(|c| !self.clusters.contains_key(*c)) {
                let (name, cluster) = (shown_name(name), shown_name(cluster));
                return Err(format!(
                    "the database {name} leads to the cluster {cluster}, which needs a restart"
                ));
            }
            let fresh = Kept::new_in(database.cluster.clone());
            fresh.put_into(database);
            kept.insert(name.clone(), fresh);
        }
        new.kept = kept;
        let running = self.keys.clone();
        self.keep_listeners(&mut new);
        for (name, cluster) in &self.clusters {
            let replicas = match new.keys.cluster_replicas.get(name) {
                Some(replicas) => replicas.clone(),
                None => new.keys.replicas.clone(),
            };
            new.clusters.insert(name.clone(), super::Cluster { replicas, ..cluster.clone() });
        }
        new.clusters.retain(|name, _| self.clusters.contains_key(name));
        new.keys.cluster_replicas =
            new.clusters.iter().map(|(name, cluster)| (name.clone(), cluster.replicas.clone())).collect();
        new.keys.clusters = running.clusters;
        new.keys.http = running.http;
        new.keys.runtime = running.runtime;
        new.keys.log.format = running.log.format;
        Ok(new)
    }

    /// The running listeners stay; how TLS is spoken on them follows the new file, where it still has them.
    fn keep_listeners(&self, new: &mut Self) {
        let running = &self.keys.listen;
        let place = |index: usize| {
            let address = running.get(index).map(|listen| &listen.address);
            let same = |at: &usize| new.keys.listen.get(*at).map(|listen| &listen.address) == address;
            Some(index).filter(same).or_else(|| (0..new.keys.listen.len()).find(same))
        };
        let places: Vec<_> = (0..running.len()).map(place).collect();
        let choose = |index: usize, place: Option<usize>| match place {
            Some(place) => (new.keys.listen_tls.get(place).cloned(), new.tls.listeners.get(place).cloned()),
            None => (self.keys.listen_tls.get(index).cloned(), self.tls.listeners.get(index).cloned()),
        };
        let kept = places.into_iter().enumerate().map(|(index, place)| choose(index, place));
        let (keys, ready): (Vec<_>, Vec<_>) = kept.unzip();
        new.keys.listen_tls = keys.into_iter().flatten().collect();
        new.tls.listeners = ready.into_iter().flatten().collect();
        new.keys.listen.clone_from(running);
        new.listeners.clone_from(&self.listeners);
    }

    /// The files have the same names and another content.
    fn certificates_changed(&self, new: &Self) -> Option<Change> {
        let pairs = self.tls.listeners.iter().zip(&new.tls.listeners);
        let mut both = pairs.filter_map(|(before, after)| before.as_ref().zip(after.as_ref()));
        both.any(|(before, after)| !before.same_certificate(after)).then(|| Change {
            path: "client_tls.cert_file".to_owned(),
            what: "another certificate".to_owned(),
            applied: Reload::NewConnections,
        })
    }

    fn users_changed(&self, new: &Self) -> Option<Change> {
        let (before, after) = (&self.auth.users, &new.auth.users);
        let added = after.iter().filter(|(user, _)| before.get(user).is_none()).count();
        let removed = before.iter().filter(|(user, _)| after.get(user).is_none()).count();
        let changed =
            before.iter().filter(|(user, secret)| after.get(user).is_some_and(|now| now != *secret)).count();
        (added + removed + changed > 0).then(|| Change {
            path: "auth_file".to_owned(),
            what: format!("{added} users added, {removed} removed, {changed} with another secret"),
            applied: Reload::NewConnections,
        })
    }
}

/// The keys that have a value.
fn by_path(config: &Config) -> BTreeMap<String, Entry> {
    let set = config.keys.entries().into_iter().filter(|entry| entry.shown != UNSET);
    set.map(|entry| (entry.path(), entry)).collect()
}
