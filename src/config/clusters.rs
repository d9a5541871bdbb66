//! What the keys of a cluster say together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    time::Duration,
};

use super::{
    auth_file::{AuthFile, SecretKind},
    declare::{Reading, key_part},
    document::Keys,
    error::Finding,
    keys::{ClusterKeys, Replicas},
    secret_file::plain,
    settings::{Cluster, PatroniApi, Probe},
    store_source::{Etcd3, StoreSource, StoreTls},
    units::show_duration,
    words::StoreKind,
};

/// What an interval or timeout of watching may be: shorter would be a load, longer would be blindness.
const FEWEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);

/// The clusters, checked.
pub(super) fn clusters(
    keys: &Keys,
    users: &AuthFile,
    reading: &mut Reading<'_>,
) -> BTreeMap<String, Cluster> {
    if keys.clusters.is_empty() {
        let help = "add [clusters.NAME] with store, endpoints, scope and probe_user";
        reading.missing("clusters", "no cluster is configured", help);
    }
    let mut clusters = BTreeMap::new();
    for (name, cluster) in &keys.clusters {
        let path = format!("clusters.{}", key_part(name));
        let source = match cluster.store {
            StoreKind::Etcd3 => etcd3(&path, cluster, reading).map(StoreSource::Etcd3),
            StoreKind::None => hosts(&path, cluster, reading),
        };
        let probe = probe(&path, cluster, users, reading);
        let replicas = keys.cluster_replicas.get(name).unwrap_or(&keys.replicas);
        let replicas_path = format!("{path}.replicas");
        lag_bounds(
            if reading.is_written(&replicas_path) { &replicas_path } else { "replicas" },
            replicas,
            reading,
        );
        if let Some(source) = source {
            let (replicas, protocol) = (replicas.clone(), cluster.max_protocol_version);
            let proxy_header = cluster.server_proxy_protocol;
            let switchover_hold_max = cluster.switchover_hold_max.0;
            let patroni = patroni(&path, cluster, reading);
            let name = name.clone();
            let cluster = Cluster {
                name,
                source,
                probe,
                replicas,
                patroni,
                switchover_hold_max,
                protocol,
                proxy_header,
            };
            clusters.insert(cluster.name.clone(), cluster);
        }
    }
    clusters
}

fn etcd3(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<Etcd3> {
    let key = |name: &str| format!("{path}.{name}");
    if reading.is_written(&key("hosts")) {
        let help = "the members come from the store; remove it, or write store = \"none\"";
        reading.error(&key("hosts"), "`hosts` is for store = \"none\" only", help);
    }
    if keys.scope.is_none() {
        reading.missing(
            &key("scope"),
            "`scope` is missing",
            "add Patroni's scope: `patronictl list` shows it",
        );
    }
    if keys.endpoints.is_empty() {
        let help = "add the addresses of etcd: endpoints = [\"10.0.0.10:2379\"]";
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
    let tls = tls(path, keys, reading);
    let scope = keys.scope.clone()?;
    if scope.contains('/') {
        reading.error(&key("scope"), "`scope` contains a `/`", "the part before it belongs in `namespace`");
    }
    let namespace = keys.namespace.trim_matches('/');
    let namespace = if namespace.is_empty() { "/".to_owned() } else { format!("/{namespace}/") };
    Some(Etcd3 {
        scope,
        namespace,
        endpoints: keys.endpoints.iter().map(|endpoint| endpoint.url(tls.is_some())).collect(),
        login: keys.store_user.clone().zip(keys.store_password.clone()),
        tls,
        reread_interval: keys.store_reread_interval,
    })
}

fn tls(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<StoreTls> {
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
    no_duplicates(&key("endpoints"), keys.endpoints.iter().map(|endpoint| endpoint.url(wanted)), reading);
    let client = keys.store_cert_file.clone().zip(keys.store_key_file.clone());
    (!with.is_empty()).then(|| StoreTls { ca_file: keys.store_ca_file.clone(), client })
}

fn readable(path: &str, name: &str, file: &Path, reading: &mut Reading<'_>) {
    if let Err(error) = File::open(file) {
        reading.error(path, format!("`{name}`: cannot read {}: {}", file.display(), plain(&error)), "");
    }
}

/// `store = "none"`.
fn hosts(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<StoreSource> {
    let key = |name: &str| format!("{path}.{name}");
    for name in [
        "endpoints",
        "store_user",
        "store_password",
        "store_password_file",
        "store_ca_file",
        "store_cert_file",
        "store_key_file",
        "store_reread_interval",
        "switchover_hold_max",
        "patroni_user",
        "patroni_password",
        "patroni_password_file",
        "patroni_ca_file",
        "patroni_cert_file",
        "patroni_key_file",
    ] {
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

fn limits(path: &str, duration: Duration, reading: &mut Reading<'_>) {
    if !(FEWEST..=LONGEST).contains(&duration) {
        let (low, high) = (show_duration(FEWEST), show_duration(LONGEST));
        let shown = show_duration(duration);
        reading.error(path, format!("{shown} is out of range: it must lie between {low} and {high}"), "");
    }
}

fn probe(path: &str, keys: &ClusterKeys, users: &AuthFile, reading: &mut Reading<'_>) -> Probe {
    limits(&format!("{path}.probe_interval"), keys.probe_interval, reading);
    limits(&format!("{path}.probe_timeout"), keys.probe_timeout, reading);
    let entry = users.get(&keys.probe_user);
    let listed = entry.filter(|secret| SecretKind::of(secret) == SecretKind::Plain).cloned();
    if keys.probe_password.is_none() && entry.is_some() && listed.is_none() {
        let what = "`probe_user` has no password: its entry in the auth_file is not a plain one";
        reading.warning(&format!("{path}.probe_user"), what, "add probe_password or probe_password_file");
    }
    Probe {
        user: keys.probe_user.clone(),
        password: keys.probe_password.clone().or(listed),
        database: keys.probe_database.clone(),
        interval: keys.probe_interval,
        timeout: keys.probe_timeout,
    }
}

/// How Patroni's REST API is reached.
fn patroni(path: &str, keys: &ClusterKeys, reading: &mut Reading<'_>) -> Option<PatroniApi> {
    let key = |name: &str| format!("{path}.{name}");
    if keys.store == StoreKind::None {
        return None;
    }
    let pairs = [
        ("patroni_user", keys.patroni_user.is_some(), "patroni_password", keys.patroni_password.is_some()),
        (
            "patroni_cert_file",
            keys.patroni_cert_file.is_some(),
            "patroni_key_file",
            keys.patroni_key_file.is_some(),
        ),
    ];
    for (one, has_one, other, has_other) in pairs {
        let (set, missing) = match (has_one, has_other) {
            (true, false) => (one, other),
            (false, true) => (other, one),
            _ => continue,
        };
        reading.missing(
            &key(missing),
            format!("`{set}` is set without `{missing}`"),
            format!("add {missing}"),
        );
    }
    for (name, file) in [
        ("patroni_ca_file", &keys.patroni_ca_file),
        ("patroni_cert_file", &keys.patroni_cert_file),
        ("patroni_key_file", &keys.patroni_key_file),
    ] {
        if let Some(file) = file {
            readable(&key(name), name, file, reading);
        }
    }
    if keys.patroni_cert_file.is_some() && keys.patroni_ca_file.is_none() {
        let what = "`patroni_cert_file` is set without `patroni_ca_file`";
        reading.missing(&key("patroni_ca_file"), what, "add what Patroni's certificates are checked against");
    }
    Some(PatroniApi {
        login: keys.patroni_user.clone().zip(keys.patroni_password.clone()),
        ca_file: keys.patroni_ca_file.clone(),
        client: keys.patroni_cert_file.clone().zip(keys.patroni_key_file.clone()),
    })
}

fn lag_bounds(path: &str, replicas: &Replicas, reading: &mut Reading<'_>) {
    if replicas.lag_bytes_max.0.is_none() && replicas.lag_time_max.0.is_none() {
        let help = "set lag_bytes_max or lag_time_max";
        reading.warning(path, "no lag bound: reads may see data of any age", help);
    }
}
