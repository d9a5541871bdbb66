//! TLS against another implementation's ends (tokio-rustls): every cut, every size, every way to end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use pgsteer_testkit::{Authority, Issued, Valid};
use proptest::prelude::*;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use super::*;
use crate::tls::{
    ALPN, Acceptor, Authorities, Demand, Identity, Negotiation, SslMode, Start, ToServers, Version,
};

const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

struct Pki {
    authority: Authority,
    server: Issued,
}

impl Pki {
    fn new() -> Self {
        let authority = Authority::new("authority", Valid::Always).unwrap();
        let server = authority.issue("server", &["db.test"], Valid::Always).unwrap();
        Self { authority, server }
    }

    fn acceptor(&self, versions: &[Version]) -> Acceptor {
        let identity = Identity::from_pem(self.server.certificate.as_bytes(), self.server.key.as_bytes());
        Acceptor::new(Demand::Nothing, Negotiation::Any, versions, &identity.unwrap(), None).unwrap()
    }

    /// Another implementation's client.
    fn client(&self) -> tokio_rustls::TlsConnector {
        self.client_of(ALPN, rustls::DEFAULT_VERSIONS)
    }

    /// The same, which speaks this protocol inside, in these versions of TLS.
    fn client_of(
        &self,
        protocol: &[u8],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> tokio_rustls::TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(crate::tls::tests_provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config).into()
    }

    /// Another implementation's server.
    fn server(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> tokio_rustls::TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.server.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.server.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(crate::tls::tests_provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Arc::new(config.unwrap()).into()
    }

    fn to_servers(&self) -> ToServers {
        let authorities =
            Authorities::from_pem(self.authority.pem().as_bytes(), std::time::Duration::ZERO).unwrap();
        let authorities = Some((&authorities, crate::tls::Revocations::default()));
        ToServers::new(SslMode::VerifyFull, Start::Postgres, &BOTH, authorities, None).unwrap()
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("db.test").unwrap()
}

/// A pipe that lets through so many bytes at a time.
struct Narrow(DuplexStream, usize);

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut part = vec![0; self.1.min(into.remaining())];
        let mut buffer = ReadBuf::new(&mut part);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        into.put_slice(buffer.filled());
        read
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = &bytes[..self.1.min(bytes.len())];
        Pin::new(&mut self.0).poll_write(cx, part)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A connected pair: ours, as the server, and another implementation's client.
async fn pair(
    pki: &Pki,
    versions: &[Version],
    at_once: usize,
) -> (Stream, Handshake, tokio_rustls::client::TlsStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let ours = Stream::Boxed(Box::new(Narrow(ours, at_once)));
    let client = pki.client();
    let client = client.connect(name(), theirs);
    let (accepted, connected) = tokio::join!(accept(ours, &[], pki.acceptor(versions).config), client);
    let (stream, peer) = accepted.unwrap();
    (stream, peer, connected.unwrap())
}

/// Bytes there and back, in these amounts.
async fn echo<T: AsyncRead + AsyncWrite + Unpin>(ours: Stream, theirs: T, amounts: &[usize]) {
    let (mut their_read, mut their_write) = tokio::io::split(theirs);
    let (mut read, mut write) = tokio::io::split(ours);
    for amount in amounts {
        let message: Vec<u8> = (0..*amount).map(|at| (at * 31 % 251) as u8).collect();
        let back = async {
            let mut received = vec![0; *amount];
            read.read_exact(&mut received).await.unwrap();
            write.write_all(&received).await.unwrap();
        };
        let forth = async {
            their_write.write_all(&message).await.unwrap();
            their_write.flush().await.unwrap();
        };
        let mut received = vec![0; *amount];
        let (_, (), read) = tokio::join!(back, forth, their_read.read_exact(&mut received));
        read.unwrap();
        assert_eq!(received, message);
    }
}

#[tokio::test]
async fn data_goes_both_ways_however_it_is_cut() {
    let pki = Pki::new();
    for versions in [&BOTH[..], &[Version::Tls12], &[Version::Tls13]] {
        for at_once in [1, 7, 1000, 100_000] {
            let (ours, peer, theirs) = pair(&pki, versions, at_once).await;
            assert_eq!(peer, Handshake { certificate: None, protocol: Named::Postgresql });
            let amounts: &[usize] = if at_once < 100 { &[1, 3000] } else { &[1, 16_384, 16_385, 300_000, 5] };
            echo(ours, theirs, amounts).await;
        }
    }
}

#[tokio::test]
async fn we_connect_to_servers() {
    let pki = Pki::new();
    let to_servers = pki.to_servers();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for at_once in [1, 900, 100_000] {
            let (ours, theirs) = tokio::io::duplex(4096);
            let ours = Stream::Boxed(Box::new(Narrow(ours, at_once)));
            let (config, host) = to_servers.connector().unwrap().to_host("db.test");
            let server = pki.server(versions);
            let (connected, accepted) = tokio::join!(connect(ours, config, host), server.accept(theirs));
            let (stream, peer) = connected.unwrap();
            assert_eq!(peer.certificate.as_deref(), Some(&*pki.server.der));
            echo(stream, accepted.unwrap(), &[1, 40_000]).await;
        }
    }
}

/// What was sent has been taken by the socket: nothing lies in a buffer that nobody empties.
#[tokio::test(start_paused = true)]
async fn sent_means_that_the_socket_has_it() {
    let pki = Pki::new();
    let (mut ours, _, mut theirs) = pair(&pki, &BOTH, 100_000).await;
    let reading = tokio::spawn(async move {
        let mut received = vec![0; 200_000];
        theirs.read_exact(&mut received).await.map(|_| received)
    });
    let message = vec![7; 200_000];
    let mut sent = 0;
    while sent < message.len() {
        sent += std::future::poll_fn(|cx| ours.poll_send(cx, &message[sent..])).await.unwrap();
    }
    // Nothing of ours is polled from here on.
    let received = tokio::time::timeout(std::time::Duration::from_secs(1), reading).await;
    assert_eq!(received.unwrap().unwrap().unwrap(), message);
    drop(ours);
}

/// Whoever has lost the right to write sends nothing by reading.
#[tokio::test]
async fn reading_sends_nothing_of_the_callers() {
    let pki = Pki::new();
    let (mut ours, _, theirs) = pair(&pki, &BOTH, 100_000).await;
    let (mut raw, _) = theirs.into_inner();
    let mut cx = Context::from_waker(Waker::noop());
    let message = vec![7; 50_000];
    assert!(ours.poll_send(&mut cx, &message).is_pending());
    let mut taken = vec![0; 100_000];
    assert_eq!(raw.read(&mut taken).await.unwrap(), 4096, "the pipe was full");
    let mut into = [0; 10];
    assert!(ours.poll_receive(&mut cx, &mut into).is_pending());
    let mut buffer = ReadBuf::new(&mut taken);
    assert!(Pin::new(&mut raw).poll_read(&mut cx, &mut buffer).is_pending(), "something was sent");
    assert!(ours.poll_send(&mut cx, &message).is_pending());
    assert_eq!(raw.read(&mut taken).await.unwrap(), 4096);
}

#[tokio::test]
async fn quiet_means_that_nothing_is_there() {
    let pki = Pki::new();
    let (mut ours, _, mut theirs) = pair(&pki, &BOTH, 100_000).await;
    let mut cx = Context::from_waker(Waker::noop());
    theirs.write_all(b"hello").await.unwrap();
    theirs.flush().await.unwrap();
    let mut two = [0; 2];
    let read = std::future::poll_fn(|cx| ours.poll_receive(cx, &mut two)).await.unwrap();
    assert_eq!((read, &two), (2, b"he"));
    assert!(!ours.is_quiet(&mut cx), "three bytes are decrypted and not taken");
    let mut rest = [0; 10];
    let read = std::future::poll_fn(|cx| ours.poll_receive(cx, &mut rest)).await.unwrap();
    assert_eq!(&rest[..read], b"llo");
    assert!(ours.poll_receive(&mut cx, &mut rest).is_pending());
    let Stream::Tls(tls) = &ours else { panic!("not TLS") };
    assert_eq!((tls.incoming.capacity(), tls.plain.capacity(), tls.outgoing.capacity()), (0, 0, 0));
}

#[tokio::test]
async fn ends() {
    let pki = Pki::new();
    // In due form: what was sent before counts, and our side stays open.
    let (mut ours, _, mut theirs) = pair(&pki, &BOTH, 100_000).await;
    theirs.write_all(b"last").await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(ours.read(&mut buffer).await.unwrap(), 4);
    assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
    assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
    assert!(!ours.is_quiet(&mut Context::from_waker(Waker::noop())));
    ours.write_all(b"answer").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut answer = Vec::new();
    theirs.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(ours.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

    // Cut off: that may be anybody's doing.
    let (mut ours, _, theirs) = pair(&pki, &BOTH, 100_000).await;
    drop(theirs.into_inner());
    assert_eq!(ours.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    // Garbled on the way.
    let (mut ours, _, theirs) = pair(&pki, &BOTH, 100_000).await;
    let (mut raw, _) = theirs.into_inner();
    raw.write_all(b"\x17\x03\x03\0\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await.unwrap();
    assert_eq!(ours.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    let told = raw.read(&mut buffer).await.unwrap();
    assert!(told > 0, "an alert");
    // From then on everything fails, and nothing worse.
    assert_eq!(ours.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(ours.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    ours.shutdown().await.unwrap();
}

#[tokio::test]
async fn handshakes_that_lead_nowhere() {
    let pki = Pki::new();
    for (sent, expected) in [
        (b"Q\0\0\0\x0dselect 1\0".to_vec(), io::ErrorKind::InvalidData),
        (b"\x16\x03\x01".to_vec(), io::ErrorKind::UnexpectedEof),
        (Vec::new(), io::ErrorKind::UnexpectedEof),
        // A message that says that it has 16 MB, whole and in two records.
        (b"\x16\x03\x01\0\x06\x01\xff\xff\xff\0\0".to_vec(), io::ErrorKind::InvalidData),
        (b"\x16\x03\x01\0\x02\x01\xff\x16\x03\x01\0\x04\xff\xff\0\0".to_vec(), io::ErrorKind::InvalidData),
        // Fragments of a message that never ends.
        ([&b"\x16\x03\x01\x40\0\x01\0\xff\xff"[..], &vec![0; 200_000]].concat(), io::ErrorKind::InvalidData),
    ] {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let ours = Stream::Boxed(Box::new(ours));
        let config = pki.acceptor(&BOTH).config;
        let send = async move {
            // It may be sent away before it is through.
            let _ = theirs.write_all(&sent).await;
        };
        let (accepted, ()) = tokio::join!(accept(ours, &[], config), send);
        assert_eq!(accepted.err().map(|error| error.kind()), Some(expected));
    }
}

/// Whatever the peer says in its handshake, no more than this is kept.
/// In TLS 1.3 the alert comes behind a ServerHello.
#[tokio::test]
async fn a_client_of_another_protocol_is_told_so() {
    let pki = Pki::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let client = pki.client_of(b"http/1.1", &[version]);
        let (accepted, connected) = tokio::join!(
            accept(Stream::Boxed(Box::new(ours)), &[], pki.acceptor(&BOTH).config),
            client.connect(name(), theirs)
        );
        let said = connected.err().unwrap().to_string();
        assert!(said.contains("received fatal alert: NoApplicationProtocol"), "{version:?}: {said}");
        assert!(accepted.is_err());
    }
}

#[tokio::test]
async fn a_handshake_without_end() {
    let pki = Pki::new();
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let flood = tokio::spawn(async move {
        // Handshake records of one message of 60 kB, again and again.
        let record = [&b"\x16\x03\x01\x10\0"[..], &[0; 4096]].concat();
        let mut sent = 0;
        while theirs.write_all(&record).await.is_ok() {
            sent += record.len();
        }
        sent
    });
    let stream = Stream::Boxed(Box::new(ours));
    assert!(accept(stream, b"\x16\x03\x01\0\x05\x01\0\xf0\0\x03", pki.acceptor(&BOTH).config).await.is_err());
    assert!(flood.await.unwrap() <= HANDSHAKE_BYTES_MAX + 32 * 1024);
}

/// Records with anything in them, in one piece or several.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let header = prop::sample::select(vec![
        &b"\x01\0\0\x04"[..],
        b"\x01\xff\xff\xff",
        b"\x02\0\0\x26\x03\x03",
        b"",
        b"\x0b",
    ]);
    let payload = (header, prop::collection::vec(any::<u8>(), 0..80));
    let record =
        (prop::sample::select(vec![20_u8, 21, 22, 23, 24]), payload).prop_map(|(kind, (header, rest))| {
            let payload = [header, &rest].concat();
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            [&[kind, 3, 3][..], &length, &payload].concat()
        });
    prop::collection::vec(record, 0..6).prop_map(|records| records.concat())
}

proptest! {
    /// Whatever a peer says in its handshake, it ends in an error, on both sides.
    #[test]
    fn no_bytes_make_it_panic(bytes in records(), at_once in 1..100_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pki = Pki::new();
        for is_server in [true, false] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            let ours = Stream::Boxed(Box::new(Narrow(ours, at_once)));
            let ended = runtime.block_on(async {
                theirs.write_all(&bytes).await.unwrap();
                theirs.shutdown().await.unwrap();
                if is_server {
                    accept(ours, &[], pki.acceptor(&BOTH).config).await.is_err()
                } else {
                    let (config, name) = pki.to_servers().connector().unwrap().to_host("db.test");
                    connect(ours, config, name).await.is_err()
                }
            });
            prop_assert!(ended);
        }
    }
}

#[test]
fn a_connection_is_small() {
    let size = size_of::<TlsStream>();
    assert!(size <= 1536, "{size} bytes");
}
