//! What pgsteer understood of a configuration, for people.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    AuthType, Cluster, Config, RemoteKind, RouteKind, SecretKind, StoreSource,
    declare::{DefaultOr, Entry},
    units::show_duration,
    value::UNSET,
};

/// The column in which remarks begin.
const REMARK_AT: usize = 44;

impl Config {
    /// The clusters, listeners, users and every key in effect; no secret. `pgsteer check` prints it.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        text.push_str("Clusters\n");
        for cluster in self.clusters.values() {
            text.push_str(&cluster_lines(cluster));
        }
        text.push_str("\nListeners\n");
        for listener in &self.listeners {
            let to = match listener.route {
                RouteKind::Write => "write: the leader of",
                RouteKind::Read => "read: the replicas of",
                RouteKind::Split => "split: reads to the replicas, the rest to the leader of",
            };
            line(&mut text, &format!("{:<21} {to} {}", listener.address.to_string(), listener.cluster));
        }
        match self.keys.http.address.0 {
            Some(address) => {
                line(&mut text, &format!("{:<21} http: /metrics /health /ready /leader", address.to_string()))
            }
            None => line(&mut text, "no http"),
        }
        text.push_str("\nUsers\n");
        line(&mut text, &self.users_line());
        text.push_str("\nSettings (each with its default unless marked *)\n");
        text.push_str(&settings(&self.keys.entries()));
        text
    }

    fn users_line(&self) -> String {
        let mut kinds: BTreeMap<SecretKind, usize> = BTreeMap::new();
        for (_, secret) in self.auth.users.iter() {
            *kinds.entry(SecretKind::of(secret)).or_default() += 1;
        }
        let counted: Vec<_> = kinds.iter().map(|(kind, n)| format!("{n} {}", kind.words())).collect();
        let listed = match (&self.keys.auth.auth_file, self.auth.kind) {
            (Some(file), kind) => {
                let counted = if counted.is_empty() { "nobody".to_owned() } else { counted.join(", ") };
                format!(
                    "{} in {} ({counted}), who log in by {}",
                    self.auth.users.len(),
                    file.display(),
                    kind.word()
                )
            }
            (None, AuthType::Hba) => "those whom the rules let in".to_owned(),
            (None, AuthType::Ldap) => "those whose password a directory takes (ldap)".to_owned(),
            (None, AuthType::Pam) => "those whose password the operating system takes (pam)".to_owned(),
            (None, AuthType::Oauth) => "those whom a token names (oauth)".to_owned(),
            (None, AuthType::Reject) => "nobody is let in".to_owned(),
            (None, AuthType::Peer) => {
                "everybody the operating system knows by the same name (peer)".to_owned()
            }
            (None, AuthType::Cert) => "everybody with a certificate, by its common name (cert)".to_owned(),
            (None, AuthType::Trust) => "anybody, without proof (trust)".to_owned(),
            (None, kind) => format!("nobody is known, who could log in by {}", kind.word()),
        };
        match &self.keys.auth.auth_user {
            Some(asker) => format!("{listed}; others are looked up on the servers by {asker}"),
            None => listed,
        }
    }
}

impl SecretKind {
    /// What users with such a secret have.
    const fn words(self) -> &'static str {
        match self {
            Self::Scram => "with a SCRAM verifier",
            Self::Md5 => "with an md5 hash",
            Self::Plain => "with a password",
            Self::Empty => "without a secret",
        }
    }
}

fn cluster_lines(cluster: &Cluster) -> String {
    let mut text = format!("  {}\n", cluster.name);
    let source = match &cluster.source {
        StoreSource::Remote(store) => {
            let login = store.login.as_ref().map(|(user, _)| format!(" as {user}")).unwrap_or_default();
            let (name, endpoints) = (store.kind.name(), store.endpoints.join(", "));
            match store.kind {
                RemoteKind::Patroni => {
                    format!("{name} at {endpoints}{login}, the cluster {}", store.scope)
                }
                RemoteKind::Kubernetes => {
                    format!(
                        "{name} at {endpoints}, the cluster {} in the namespace {}",
                        store.scope, store.namespace
                    )
                }
                RemoteKind::ZooKeeper
                | RemoteKind::Etcd3
                | RemoteKind::Etcd2
                | RemoteKind::Consul
                | RemoteKind::Stolon => {
                    format!("{name} at {endpoints}{login}, keys under {}", store.prefix())
                }
            }
        }
        StoreSource::None { hosts } => {
            let hosts: Vec<_> = hosts.iter().map(|host| host.as_str()).collect();
            format!("no store, so no fencing; asks {}", hosts.join(", "))
        }
    };
    let probe = &cluster.probe;
    let password = if probe.password.is_some() {
        "with a password"
    } else {
        "without a password (none is set or listed)"
    };
    let (interval, timeout) = (show_duration(probe.interval), show_duration(probe.timeout));
    line(&mut text, &format!("  {source}"));
    line(
        &mut text,
        &format!(
            "  probes as {} on {} {password}, every {interval}, at most {timeout}",
            probe.user, probe.database
        ),
    );
    text
}

/// Keys grouped under their tables, as one would write them; unset ones are left out.
fn settings(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut current = "";
    for entry in entries.iter().filter(|entry| entry.shown != UNSET) {
        if entry.table != current {
            current = &entry.table;
            line(&mut text, &format!("[{current}]"));
        }
        let setting = format!("{} = {}", entry.name, entry.shown);
        let mark = if entry.is_default == DefaultOr::Chosen { "*" } else { "" };
        line(&mut text, &format!("{setting:<REMARK_AT$}{mark}"));
    }
    text
}

fn line(text: &mut String, content: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}", content.trim_end());
}
