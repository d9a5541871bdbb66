//! Checks between the keys of a cluster, and the [`Cluster`] that comes of them.

use std::collections::BTreeMap;

use super::{
    auth_file::{AuthFile, SecretKind},
    cluster_keys::{ClusterKeys, Replicas},
    declare::{Reading, key_part},
    document::Keys,
    settings::{Cluster, PatroniApi, Probe},
    store_checks::{hosts, limits, readable, remote},
    store_source::RemoteKind,
    words::StoreKind,
};

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
            StoreKind::Etcd3 => remote(RemoteKind::Etcd3, &path, cluster, reading),
            StoreKind::Etcd => remote(RemoteKind::Etcd2, &path, cluster, reading),
            StoreKind::Consul => remote(RemoteKind::Consul, &path, cluster, reading),
            StoreKind::ZooKeeper => remote(RemoteKind::ZooKeeper, &path, cluster, reading),
            StoreKind::Kubernetes => remote(RemoteKind::Kubernetes, &path, cluster, reading),
            StoreKind::Patroni => remote(RemoteKind::Patroni, &path, cluster, reading),
            StoreKind::Stolon => remote(RemoteKind::Stolon, &path, cluster, reading),
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
            let names_interval = Some(cluster.dns_max_ttl.0).filter(|interval| !interval.is_zero());
            let switchover_hold_max = cluster.switchover_hold_max.0;
            let patroni = patroni(&path, cluster, reading);
            let name = name.clone();
            let cluster = Cluster {
                name,
                source,
                probe,
                replicas,
                patroni,
                names_interval,
                switchover_hold_max,
                protocol,
                proxy_header,
            };
            clusters.insert(cluster.name.clone(), cluster);
        }
    }
    clusters
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
