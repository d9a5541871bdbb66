//! The stores that the configuration names.

use std::{path::Path, sync::Arc};

use crate::{
    clock::{Clock, wall_time},
    cluster::{
        policy::Authority,
        store::{
            Store,
            consul::ConsulStore,
            etcd::EtcdStore,
            etcd2::Etcd2Store,
            kubernetes::{KubernetesObjects, KubernetesStore, ObjectKind},
            patroni::PatroniStore,
            policy::{Reach, StorePolicy, StoreTls, Token},
            stolon::StolonStore,
            zookeeper::ZooKeeperStore,
        },
    },
    config::{self, Cluster, RemoteKind, RemoteStore, StoreSource, StoreToken},
    net::{Address, Dial},
    tls::{Authorities, Connector, Fault, Identity, Revocations, SslMode, Start, ToServers, Version},
};

/// Why a cluster cannot be watched: a sentence that names it.
pub type Unwatchable = Box<dyn std::error::Error + Send + Sync>;

/// Who says which member of a cluster leads, and the store if it is one.
pub type WatchedBy = (Authority, Option<Box<dyn Store>>);

/// What the configuration says of it.
pub(super) fn watched_by(
    cluster: &Cluster,
    clock: Clock,
    dial: &Arc<dyn Dial>,
) -> Result<WatchedBy, Unwatchable> {
    let remote = match &cluster.source {
        StoreSource::None { hosts } => {
            let hosts: Result<Vec<Address>, _> = hosts.iter().map(|host| host.as_str().parse()).collect();
            return Ok((Authority::Hosts(hosts?), None));
        }
        StoreSource::Remote(remote) => remote,
    };
    let named = |why: String| format!("cluster {}: {why}", cluster.name);
    let policy = policy(remote).map_err(named)?;
    let reach = Reach { policy, dial: dial.clone() };
    Ok(match remote.kind {
        RemoteKind::Etcd3 => (Authority::Store, Some(Box::new(EtcdStore::new(reach.policy, clock)))),
        RemoteKind::Etcd2 => {
            (Authority::Store, Some(Box::new(Etcd2Store::new(&reach, clock).map_err(named)?)))
        }
        RemoteKind::Consul => {
            (Authority::Store, Some(Box::new(ConsulStore::new(&reach, clock).map_err(named)?)))
        }
        RemoteKind::ZooKeeper => {
            (Authority::Store, Some(Box::new(ZooKeeperStore::new(&reach, clock).map_err(named)?)))
        }
        RemoteKind::Kubernetes => {
            let which = objects(remote);
            (Authority::Store, Some(Box::new(KubernetesStore::new(&reach, &which, clock).map_err(named)?)))
        }
        RemoteKind::Stolon => (Authority::Store, Some(Box::new(StolonStore::new(reach.policy, clock)))),
        RemoteKind::Patroni => {
            (Authority::Patroni, Some(Box::new(PatroniStore::new(&reach, clock).map_err(named)?)))
        }
    })
}

fn policy(remote: &RemoteStore) -> Result<StorePolicy, String> {
    Ok(StorePolicy {
        endpoints: remote.endpoints.clone(),
        namespace: remote.namespace.clone(),
        scope: remote.scope.clone(),
        group: remote.group,
        tls: remote.tls.as_ref().map(certificates).transpose()?,
        login: remote.login.as_ref().map(|(user, password)| (user.clone(), password.expose().to_owned())),
        token: match &remote.token {
            StoreToken::None => Token::None,
            StoreToken::Given(token) => Token::Text(token.expose().to_owned()),
            StoreToken::InFile(file) => Token::File(file.clone()),
        },
        reread_interval: remote.reread_interval,
    })
}

/// Which objects in Kubernetes are Patroni's.
fn objects(remote: &RemoteStore) -> KubernetesObjects {
    let keys = &remote.kubernetes;
    KubernetesObjects {
        namespace: remote.namespace.clone(),
        kind: if keys.use_endpoints { ObjectKind::Endpoints } else { ObjectKind::ConfigMaps },
        labels: keys.labels.clone(),
        scope_label: keys.scope_label.clone(),
    }
}

/// What the files of certificates hold, ready for use.
pub(super) fn certificates(tls: &config::StoreTls) -> Result<StoreTls, String> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let identity = |(certificate, key): &(std::path::PathBuf, std::path::PathBuf)| {
        Ok::<_, String>((read(certificate)?, read(key)?))
    };
    let ca = tls.ca_file.as_deref().map(read).transpose()?;
    let identity = tls.client.as_ref().map(identity).transpose()?;
    let connector = connector(tls, ca.as_deref(), identity.as_ref()).map_err(|fault| fault.what)?;
    Ok(StoreTls { ca, identity, connector })
}

/// Certificates are always checked, the name in them too.
fn connector(
    tls: &config::StoreTls,
    ca: Option<&[u8]>,
    identity: Option<&(Vec<u8>, Vec<u8>)>,
) -> Result<Option<Connector>, Fault> {
    let blame = |file: Option<&Path>, fault: Fault| match file {
        Some(file) => Fault { what: format!("{}: {}", file.display(), fault.what), ..fault },
        None => fault,
    };
    let authorities = match ca {
        Some(pem) => Authorities::from_pem(pem, wall_time()),
        None => Authorities::of_system(rustls_native_certs::load_native_certs().certs),
    };
    let authorities = authorities.map_err(|fault| blame(tls.ca_file.as_deref(), fault))?;
    let identity = identity.map(|(certificate, key)| Identity::from_pem(certificate, key)).transpose();
    let file = tls.client.as_ref().map(|(certificate, _)| certificate.as_path());
    let identity = identity.map_err(|fault| blame(file, fault))?;
    let servers = Some((&authorities, Revocations::default()));
    let versions = [Version::Tls12, Version::Tls13];
    let to = ToServers::new(SslMode::VerifyFull, Start::Direct, &versions, servers, identity.as_ref())?;
    Ok(to.connector().cloned())
}
