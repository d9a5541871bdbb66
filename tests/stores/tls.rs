//! Every store that is asked over a stream of ours, behind TLS on both sides: one that ends TLS stands in front, asks for
//! a certificate, and passes on what is inside. (etcd's v3 API has a client of its own: tests/stores/etcd.rs.)

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pgsteer::{
    clock::{Clock, wall_time},
    cluster::store::{
        Store,
        etcd2::Etcd2Store,
        patroni::PatroniStore,
        policy::{Reach, StoreTls},
    },
    tls::{Authorities, Connector, Identity, Revocations, SslMode, Start, ToServers, Version},
};
use pgsteer_testkit::{Authority, Issued, Valid};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{Watched, etcd_node::Etcd, kubernetes, leader_is, patroni, reach};

const REREAD: Duration = Duration::from_millis(200);

/// Ends TLS in front of a server.
pub(super) struct Front {
    address: SocketAddr,
    ours: Authority,
    serving: JoinHandle<()>,
}

impl Front {
    pub(super) async fn before(server: SocketAddr) -> Self {
        let ours = Authority::new("ours", Valid::Always).unwrap();
        let own = ours.issue("store", &["127.0.0.1"], Valid::Always).unwrap();
        let chain = vec![CertificateDer::from(own.der)];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ours.pem().as_bytes()).unwrap()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            builder.unwrap().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass_on(acceptor.clone(), socket, server));
            }
        });
        Self { address, ours, serving }
    }

    /// How it is reached by whoever trusts `authority` and shows `identity`.
    fn reach(&self, authority: &Authority, identity: Option<&Issued>) -> Reach {
        let mut reach = reach(&[format!("https://{}", self.address)], REREAD);
        let identity =
            identity.map(|own| (own.certificate.clone().into_bytes(), own.key.clone().into_bytes()));
        reach.policy.tls = Some(StoreTls {
            ca: Some(authority.pem().into_bytes()),
            identity: identity.clone(),
            connector: connector(authority, identity.as_ref()),
        });
        reach
    }

    /// The store is read with the right certificates, and with no others.
    pub(super) async fn check<S: Store + 'static>(self, open: impl Fn(&Reach, Clock) -> Result<S, String>) {
        let own = self.ours.issue("pgsteer", &[], Valid::Always).unwrap();
        let reach = self.reach(&self.ours, Some(&own));
        let mut store = Watched::start(|clock| open(&reach, clock));
        store.read("reading over TLS", leader_is("n1")).await;

        let foreign = Authority::new("foreign", Valid::Always).unwrap();
        let reach = self.reach(&foreign, Some(&own));
        let reason = Watched::start(|clock| open(&reach, clock)).lost().await;
        assert!(reason.contains("UnknownIssuer") || reason.contains("certificate"), "{reason}");

        let foreign = foreign.issue("pgsteer", &[], Valid::Always).unwrap();
        for (identity, alert) in [(None, "CertificateRequired"), (Some(&foreign), "UnknownCA")] {
            let reach = self.reach(&self.ours, identity);
            let reason = Watched::start(|clock| open(&reach, clock)).lost().await;
            assert!(reason.contains(alert), "{reason}");
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass_on(acceptor: TlsAcceptor, socket: TcpStream, server: SocketAddr) {
    // Whoever shows no certificate, or does not trust ours, gets no further.
    let Ok(mut inside) = acceptor.accept(socket).await else { return };
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _either_ended = copy_bidirectional(&mut inside, &mut server).await;
}

/// As the program makes it from the files that its configuration names.
fn connector(authority: &Authority, identity: Option<&(Vec<u8>, Vec<u8>)>) -> Option<Connector> {
    let authorities = Authorities::from_pem(authority.pem().as_bytes(), wall_time()).unwrap();
    let identity = identity.map(|(certificate, key)| Identity::from_pem(certificate, key).unwrap());
    let servers = Some((&authorities, Revocations::default()));
    let versions = [Version::Tls12, Version::Tls13];
    let to = ToServers::new(SslMode::VerifyFull, Start::Direct, &versions, servers, identity.as_ref());
    to.unwrap().connector().cloned()
}

pub(super) fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[tokio::test]
async fn etcd_by_its_v2_api() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 600).await;
    Front::before(local(etcd.port)).await.check(Etcd2Store::new).await;
}

#[tokio::test]
async fn kubernetes_with_a_token() {
    let server = kubernetes::ApiServer::start().await;
    server.populate("n1");
    Front::before(server.address).await.check(kubernetes::open).await;
}

#[tokio::test]
async fn patronis_rest_api_with_a_password() {
    let member = patroni::one("n1").await;
    Front::before(member.address)
        .await
        .check(|reach, clock| {
            let mut reach = reach.clone();
            reach.policy.login = Some(("steer".to_owned(), "open sesame".to_owned()));
            PatroniStore::new(&reach, clock)
        })
        .await;
    let heads = member.asked.lock().unwrap();
    assert!(heads.iter().all(|head| head.contains("Basic c3RlZXI6b3BlbiBzZXNhbWU=")), "{heads:?}");
}
