//! What the keys of a cluster say together.

use std::collections::BTreeMap;

use super::{
    auth_file::{AuthFile, SecretKind},
    declare::{Reading, key_part},
    document::Keys,
    keys::{ClusterKeys, Replicas},
    settings::{Cluster, Probe},
    store_checks::{hosts, limits, remote},
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
            let cluster = Cluster { name: name.clone(), source, probe, replicas, protocol, proxy_header };
            clusters.insert(name.clone(), cluster);
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

fn lag_bounds(path: &str, replicas: &Replicas, reading: &mut Reading<'_>) {
    if replicas.lag_bytes_max.0.is_none() && replicas.lag_time_max.0.is_none() {
        let help = "set lag_bytes_max or lag_time_max";
        reading.warning(path, "no lag bound: reads may see data of any age", help);
    }
}
