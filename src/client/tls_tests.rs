//! TLS from a connection's first byte, cut everywhere, with another implementation's client.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pgsteer_testkit::{Authority, Valid, self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use super::{Caller, Greeting, Hello};
use crate::{
    net::{Peer, Stream},
    tls::{ALPN, Acceptor, Authorities, Demand, Identity, Negotiation, Revocations, Version},
    wire::startup::{BackendKey, encode_ssl_request, encode_startup},
};

const HERE: Peer = Peer::Unix(None);

/// A pipe of which the first read ends after so many bytes.
struct Cut(DuplexStream, usize);

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = if self.1 == 0 { usize::MAX } else { self.1 };
        let mut part = vec![0; most.min(into.remaining())];
        let mut buffer = ReadBuf::new(&mut part);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        into.put_slice(buffer.filled());
        self.1 -= self.1.min(buffer.filled().len());
        read
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct Bench {
    authority: Authority,
    identity: Identity,
    roots: Arc<RootCertStore>,
}

/// How a client begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// With an SSLRequest, and TLS once that is granted.
    Asking,
    /// With TLS at once.
    AtOnce,
    /// With TLS at once, not saying what is inside.
    AtOnceNameless,
    /// Without TLS.
    Plainly,
}

impl Bench {
    fn new() -> Self {
        let authority = Authority::new("authority", Valid::Always).unwrap();
        let server = authority.issue("server", &["db.test"], Valid::Always).unwrap();
        let identity = Identity::from_pem(server.certificate.as_bytes(), server.key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        Self { authority, identity, roots: Arc::new(roots) }
    }

    fn acceptor(&self, demand: Demand, negotiation: Negotiation) -> Acceptor {
        let pem = self.authority.pem();
        let authorities = Authorities::from_pem(pem.as_bytes(), std::time::Duration::ZERO).unwrap();
        let clients = (demand == Demand::Certificate).then(|| (&authorities, Revocations::default()));
        Acceptor::new(demand, negotiation, &[Version::Tls13], &self.identity, clients).unwrap()
    }

    fn connector(&self, begins: Begins, certificate: Option<&str>) -> tokio_rustls::TlsConnector {
        let builder = ClientConfig::builder_with_provider(crate::tls::tests_provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let issued = self.authority.issue(name, &[], Valid::Always).unwrap();
                let chain = vec![CertificateDer::from(issued.der)];
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        if begins != Begins::AtOnceNameless {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Arc::new(config).into()
    }

    /// What comes of a client that begins so and then says this, cut after so many bytes.
    async fn attempt(
        &self,
        acceptor: Option<&Acceptor>,
        begins: Begins,
        certificate: Option<&str>,
        says: &[u8],
        cut: usize,
    ) -> String {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let client = async {
            if begins == Begins::Asking {
                let mut request = Vec::new();
                encode_ssl_request(&mut request);
                theirs.write_all(&request).await.unwrap();
                let mut answer = [0];
                theirs.read_exact(&mut answer).await.unwrap();
                if answer != *b"S" {
                    return;
                }
            }
            if begins == Begins::Plainly {
                theirs.write_all(says).await.unwrap();
                return;
            }
            let host = ServerName::try_from("db.test").unwrap();
            let Ok(mut tls) = self.connector(begins, certificate).connect(host, theirs).await else { return };
            tls.write_all(says).await.unwrap();
            tls.flush().await.unwrap();
        };
        let caller = Caller::new(Stream::Boxed(Box::new(Cut(ours, cut))), HERE);
        let (greeting, ()) = tokio::join!(Hello::read(caller, acceptor), client);
        match greeting {
            Ok(Greeting::Startup(arrival)) => {
                let user = arrival.startup.get("user").map(String::from_utf8_lossy).unwrap_or_default();
                let name = arrival.transport.certificate().and_then(|shown| shown.common_name.clone());
                let bound = if arrival.transport.end_point().is_some() { "bindable" } else { "plain" };
                format!("{user} {bound} {}", name.unwrap_or_default()).trim_end().to_owned()
            }
            Ok(Greeting::Cancel { key, .. }) => format!("cancel {}", key.pid),
            Err(error) => error.to_string(),
        }
    }
}

fn startup() -> Vec<u8> {
    let mut packet = Vec::new();
    encode_startup(&mut packet, crate::wire::startup::Protocol::NEWEST, [("user", "u")].into_iter());
    packet
}

/// An SSLRequest (8 bytes) or a ClientHello (some 250), cut anywhere.
#[tokio::test]
async fn every_cut() {
    let bench = Bench::new();
    let acceptor = bench.acceptor(Demand::Encryption, Negotiation::Any);
    for begins in [Begins::Asking, Begins::AtOnce] {
        for cut in 0..300 {
            let seen = bench.attempt(Some(&acceptor), begins, None, &startup(), cut).await;
            assert_eq!(seen, "u bindable", "{begins:?} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_clients() {
    use Begins::{Asking, AtOnce, AtOnceNameless, Plainly};
    let bench = Bench::new();
    let of = |demand, negotiation| Some(bench.acceptor(demand, negotiation));
    let (optional, required) =
        (of(Demand::Nothing, Negotiation::Any), of(Demand::Encryption, Negotiation::Any));
    let certified = of(Demand::Certificate, Negotiation::Any);
    let (asked, direct) =
        (of(Demand::Nothing, Negotiation::Postgres), of(Demand::Nothing, Negotiation::Direct));
    let mut cancel = Vec::new();
    BackendKey::new(7, b"abcd").unwrap().encode_cancel(&mut cancel);
    let mut again = Vec::new();
    encode_ssl_request(&mut again);
    let (hello, startup) =
        ("received direct TLS connection request without ALPN protocol negotiation extension", startup());
    let strange = "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2";
    for (acceptor, begins, certificate, says, expected) in [
        (&optional, Plainly, None, &startup, "u plain"),
        (&optional, Asking, None, &startup, "u bindable"),
        (&optional, AtOnce, None, &startup, "u bindable"),
        (&optional, AtOnceNameless, None, &startup, hello),
        (&required, Plainly, None, &startup, "connection requires TLS"),
        (&required, Plainly, None, &cancel, "cancel 7"),
        (&required, Asking, None, &cancel, "cancel 7"),
        (&required, Asking, None, &again, strange),
        (&certified, Asking, None, &startup, "connection requires a valid client certificate"),
        (&certified, Asking, None, &cancel, "cancel 7"),
        (&certified, Asking, Some("alice"), &startup, "u bindable alice"),
        (&certified, AtOnce, Some("alice"), &startup, "u bindable alice"),
        (&asked, Asking, None, &startup, "u bindable"),
        (&asked, AtOnce, None, &startup, "invalid length of startup packet"),
        (&direct, AtOnce, None, &startup, "u bindable"),
        // It is told that there is none, and goes away.
        (&direct, Asking, None, &startup, "unexpected end of file"),
        (&None, AtOnce, None, &startup, "invalid length of startup packet"),
        (&None, Asking, None, &startup, "unexpected end of file"),
    ] {
        let seen = bench.attempt(acceptor.as_ref(), begins, certificate, says, 0).await;
        assert_eq!(seen, expected, "{begins:?}");
    }
}

/// A certificate that nobody vouches for ends the handshake.
#[tokio::test]
async fn strangers() {
    let bench = Bench::new();
    let other = Bench { authority: Authority::new("another", Valid::Always).unwrap(), ..Bench::new() };
    let acceptor = bench.acceptor(Demand::Certificate, Negotiation::Any);
    let client = Bench { roots: bench.roots.clone(), ..other };
    let seen = client.attempt(Some(&acceptor), Begins::Asking, Some("mallory"), &startup(), 0).await;
    assert_eq!(seen, "TLS handshake failed: invalid peer certificate: UnknownIssuer");
    // Whoever looks at ours and does not know it goes away.
    let lone = self_signed("lone", &["db.test"]).unwrap();
    let identity = Identity::from_pem(lone.certificate.as_bytes(), lone.key.as_bytes()).unwrap();
    let acceptor =
        Acceptor::new(Demand::Nothing, Negotiation::Any, &[Version::Tls13], &identity, None).unwrap();
    let seen = bench.attempt(Some(&acceptor), Begins::Asking, None, &startup(), 0).await;
    assert!(seen.starts_with("TLS handshake failed: received fatal alert"), "{seen}");
}
