//! Checks between the keys that say who names the leader (a store, or the `hosts` themselves), and what comes of them.

use std::{collections::BTreeSet, fs::File, path::Path, time::Duration};

use super::{
    address::Endpoint,
    cluster_keys::ClusterKeys,
    declare::Reading,
    error::Finding,
    secret_file::plain,
    store_source::{KubernetesKeys, RemoteKind, RemoteStore, StoreSource, StoreTls, StoreToken},
    units::show_duration,
};

/// What an interval or timeout of watching may be: shorter would be a load, longer would be blindness.
const FEWEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);

/// A store that is asked over the network.
pub(super) fn remote(
    kind: RemoteKind,
    path: &str,
    keys: &ClusterKeys,
    reading: &mut Reading<'_>,
) -> Option<StoreSource> {
    let key = |name: &str| format!("{path}.{name}");
    let keys = &in_a_pod(kind, path, keys, reading);
    if reading.is_written(&key("hosts")) {
        let help = "the members come from the store; remove it, or write store = \"none\"";
        reading.error(&key("hosts"), "`hosts` is for store = \"none\" only", help);
    }
    if keys.scope.is_none() {
        reading.missing(
            &key("scope"),
            "`scope` is missing",
            match kind {
                RemoteKind::Stolon => "add Stolon's --cluster-name",
                _ => "add Patroni's scope: `patronictl list` shows it",
            },
        );
    }
    if keys.endpoints.is_empty() {
        let (name, port) = (kind.name(), kind.port());
        let help = format!("add the addresses of {name}: endpoints = [\"10.0.0.10:{port}\"]");
        reading.missing(&key("endpoints"), "`endpoints` is missing or empty", help);
    }
    if keys.store_password.is_some() && keys.store_user.is_none() {
        reading.missing(&key("store_user"), "`store_password` is set without `store_user`", "add store_user");
    }
    if keys.store_user.is_some() && keys.store_password.is_none() {
        let help = "add store_password or store_password_file";
        reading.missing(&key("store_password"), "`store_user` is set without `store_password`", help);
    }
    limits(&key("store_reread_interval"), keys.store_reread_interval, reading);
    no_meaning(kind, path, reading);
    let tls = tls(kind, path, keys, reading);
    let scope = keys.scope.clone()?;
    if scope.contains('/') {
        reading.error(&key("scope"), "`scope` contains a `/`", "the part before it belongs in `namespace`");
    }
    let namespace = match (kind, keys.namespace.trim_matches('/')) {
        (RemoteKind::Kubernetes, namespace) => namespace.to_owned(),
        (RemoteKind::Stolon, _) if !reading.is_written(&key("namespace")) => STOLON_PREFIX.to_owned(),
        (RemoteKind::Stolon, _) => format!("{}/", keys.namespace.trim_end_matches('/')),
        (_, "") => "/".to_owned(),
        (_, namespace) => format!("/{namespace}/"),
    };
    Some(StoreSource::Remote(Box::new(RemoteStore {
        kind,
        scope,
        namespace,
        group: keys.group,
        kubernetes: KubernetesKeys {
            use_endpoints: keys.kubernetes_use_endpoints,
            labels: keys.kubernetes_labels.clone(),
            scope_label: keys.kubernetes_scope_label.clone(),
        },
        endpoints: keys.endpoints.iter().map(|endpoint| endpoint.url(tls.is_some(), kind.port())).collect(),
        token: token(path, keys, reading),
        login: keys.store_user.clone().zip(keys.store_password.clone()),
        tls,
        reread_interval: keys.store_reread_interval,
    })))
}

/// Stolon's `--store-prefix` where it is told no other, with what follows it.
const STOLON_PREFIX: &str = "stolon/cluster/";

/// Where Kubernetes puts what a pod needs to talk to the API server of its own cluster.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The keys with what a pod knows of itself: where the API server is, if that is not written, and the namespace.
fn in_a_pod(kind: RemoteKind, path: &str, keys: &ClusterKeys, reading: &Reading<'_>) -> ClusterKeys {
    let mut keys = keys.clone();
    if kind != RemoteKind::Kubernetes {
        return keys;
    }
    let file = |name: &str| Path::new(SERVICE_ACCOUNT).join(name);
    if keys.endpoints.is_empty() {
        keys.endpoints.extend("https://kubernetes.default.svc:443".parse::<Endpoint>());
        keys.store_ca_file.get_or_insert_with(|| file("ca.crt"));
        if keys.store_token.is_none() {
            keys.store_token_file.get_or_insert_with(|| file("token"));
        }
    }
    if !reading.is_written(&format!("{path}.namespace")) {
        let own = std::fs::read_to_string(file("namespace")).unwrap_or_default();
        keys.namespace = if own.trim().is_empty() { "default".to_owned() } else { own.trim().to_owned() };
    }
    keys
}

fn token(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> StoreToken {
    let key = format!("{path}.store_token_file");
    match (&keys.store_token, &keys.store_token_file) {
        (Some(_), Some(_)) => {
            reading.error(&key, "both `store_token` and `store_token_file` are set", "keep one of them");
            StoreToken::None
        }
        (Some(token), None) => StoreToken::Given(token.clone()),
        (None, Some(file)) => {
            readable(&key, "store_token_file", file, reading);
            StoreToken::InFile(file.clone())
        }
        (None, None) => StoreToken::None,
    }
}

/// What Kubernetes alone has.
const KUBERNETES: [&str; 3] = ["kubernetes_use_endpoints", "kubernetes_labels", "kubernetes_scope_label"];
/// Who logs in to the store with a password.
const LOGIN: [&str; 3] = ["store_user", "store_password", "store_password_file"];
/// Who logs in to it with a token.
const TOKEN: [&str; 2] = ["store_token", "store_token_file"];
/// How TLS is spoken with it.
const TLS: [&str; 3] = ["store_ca_file", "store_cert_file", "store_key_file"];
/// How Patroni's own API is reached.
const PATRONI: [&str; 6] = [
    "patroni_user",
    "patroni_password",
    "patroni_password_file",
    "patroni_ca_file",
    "patroni_cert_file",
    "patroni_key_file",
];

/// Keys that mean something with other stores.
fn no_meaning(kind: RemoteKind, path: &str, reading: &mut Reading<'_>) {
    let names: &[&[&str]] = match kind {
        RemoteKind::Kubernetes => &[&LOGIN],
        RemoteKind::Etcd3 | RemoteKind::Etcd2 | RemoteKind::ZooKeeper => &[&TOKEN, &KUBERNETES],
        RemoteKind::Consul => &[&LOGIN, &KUBERNETES],
        // Each member knows its own group.
        RemoteKind::Patroni => &[&["namespace", "group"], &TOKEN, &KUBERNETES],
        // There is no Patroni, and the sentinel announces nothing.
        RemoteKind::Stolon => &[&["group", "switchover_hold_max"], &TOKEN, &PATRONI, &KUBERNETES],
    };
    for name in names.iter().copied().flatten() {
        let key = format!("{path}.{name}");
        if reading.is_written(&key) {
            let what = format!("`{name}` has no meaning with {}", kind.name());
            reading.error(&key, what, "remove it");
        }
    }
}

fn tls(kind: RemoteKind, path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<StoreTls> {
    let key = |name: &str| format!("{path}.{name}");
    let files = [
        ("store_ca_file", &keys.store_ca_file),
        ("store_cert_file", &keys.store_cert_file),
        ("store_key_file", &keys.store_key_file),
    ];
    for (name, file) in files.iter().filter_map(|(name, file)| file.as_ref().map(|file| (name, file))) {
        readable(&key(name), name, file, reading);
    }
    match (&keys.store_cert_file, &keys.store_key_file) {
        (Some(_), None) => reading.missing(
            &key("store_key_file"),
            "`store_cert_file` is set without `store_key_file`",
            "add the certificate's key",
        ),
        (None, Some(_)) => reading.missing(
            &key("store_cert_file"),
            "`store_key_file` is set without `store_cert_file`",
            "add the key's certificate",
        ),
        _ => {}
    }
    let wanted = files.iter().any(|(_, file)| file.is_some());
    let with: Vec<_> = keys.endpoints.iter().filter(|endpoint| endpoint.is_tls(wanted)).collect();
    if !with.is_empty() && with.len() < keys.endpoints.len() {
        let help = "write all endpoints with https:// or all with http://";
        reading.error(&key("endpoints"), "some endpoints use TLS and some do not", help);
    }
    if wanted && with.is_empty() && !keys.endpoints.is_empty() {
        let help = "write https:// or leave the scheme out, or remove the store_*_file keys";
        reading.error(&key("endpoints"), "certificates are configured, but every endpoint is http://", help);
    }
    let urls = keys.endpoints.iter().map(|endpoint| endpoint.url(wanted, kind.port()));
    no_duplicates(&key("endpoints"), urls, reading);
    let client = keys.store_cert_file.clone().zip(keys.store_key_file.clone());
    (!with.is_empty()).then(|| StoreTls { ca_file: keys.store_ca_file.clone(), client })
}

/// Whether a file can be read.
pub(super) fn readable(path: &str, name: &str, file: &Path, reading: &mut Reading<'_>) {
    if let Err(error) = File::open(file) {
        let what = format!("`{name}`: cannot read {}: {}", file.display(), plain(&error));
        if reading.is_written(path) {
            reading.error(path, what, "");
        } else {
            reading.missing(
                path,
                what,
                "outside a pod of the cluster write endpoints, and what they ask for",
            );
        }
    }
}

/// `store = "none"`.
pub(super) fn hosts(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<StoreSource> {
    let key = |name: &str| format!("{path}.{name}");
    let rest: &[&str] = &["endpoints", "store_reread_interval", "switchover_hold_max", "group"];
    let names = [rest, &LOGIN, &TLS, &PATRONI, &TOKEN, &KUBERNETES];
    for name in names.into_iter().flatten() {
        if reading.is_written(&key(name)) {
            let place = reading.key_place(&key(name));
            let what = format!("`{name}` has no meaning with store = \"none\"");
            reading.findings.push(Finding::error(place, what).help("remove it, or name the store"));
        }
    }
    if reading.is_written(&key("scope")) {
        reading.warning(&key("scope"), "`scope` has no meaning with store = \"none\"", "");
    }
    no_duplicates(&key("hosts"), keys.hosts.iter().map(ToString::to_string), reading);
    match keys.hosts.len() {
        0 => {
            let help = "add the servers to ask: hosts = [\"db1:5432\", \"db2:5432\", \"db3:5432\"]";
            reading.missing(&key("hosts"), "`hosts` is missing or empty", help);
            return None;
        }
        1 => reading.warning(&key("hosts"), "one host: there is nothing to fail over to", ""),
        2 => {
            let help = "name a third server: a majority of two is both, so there is no failover while either is down";
            reading.warning(&key("hosts"), "two hosts have no majority without each other", help);
        }
        _ => {}
    }
    Some(StoreSource::None { hosts: keys.hosts.clone() })
}

fn no_duplicates(path: &str, texts: impl Iterator<Item = String>, reading: &mut Reading<'_>) {
    let mut seen = BTreeSet::new();
    for text in texts {
        if let Some(text) = seen.replace(text) {
            reading.error(path, format!("`{text}` is listed twice"), "remove one");
            return;
        }
    }
}

/// Bounds an interval or timeout of watching.
pub(super) fn limits(path: &str, duration: Duration, reading: &mut Reading<'_>) {
    if !(FEWEST..=LONGEST).contains(&duration) {
        let (low, high) = (show_duration(FEWEST), show_duration(LONGEST));
        let shown = show_duration(duration);
        let key = path.rsplit('.').next().unwrap_or(path);
        let what = format!("`{key}`: {shown} is out of range: it must lie between {low} and {high}");
        reading.error(path, what, "");
    }
}
