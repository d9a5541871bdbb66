//! TLS on both sides of a running pgsteer, with libpq and tokio-postgres as clients.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use pgsteer::tls::EndPoint;
use pgsteer_testkit::{Authority, Issued, Valid, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{
    config::{ChannelBinding, SslMode, SslNegotiation},
    tls::TlsConnect as _,
};

use crate::{
    common::postgres::{Postgres, binaries},
    pgsteer::{Pgsteer, prepare},
    rustls_client::Tls,
    servers::secure,
};

const HBA: &str = "
    host all postgres 127.0.0.1/32 trust
    hostssl all all 127.0.0.1/32 scram-sha-256
";

/// Everything that is needed of certificates.
pub(super) struct Pki {
    authority: Authority,
    others: Authority,
    server: Issued,
}

impl Pki {
    pub(super) fn new() -> Self {
        let authority = Authority::new("authority", Valid::Always).unwrap();
        let others = Authority::new("others", Valid::Always).unwrap();
        let server = authority.issue("server", &["127.0.0.1"], Valid::Always).unwrap();
        Self { authority, others, server }
    }

    /// PostgreSQL and pgsteer, both with TLS; `config` goes on in `[client_tls]`.
    async fn start(&self, auth: &str, config: &str, users: &str) -> (Postgres, Pgsteer) {
        let server = Postgres::start(HBA);
        let pgsteer = self.start_before(&server, auth, config, users).await;
        (server, pgsteer)
    }

    /// The same in front of this PostgreSQL, whose rules let `postgres` in.
    pub(super) async fn start_before(
        &self,
        server: &Postgres,
        auth: &str,
        config: &str,
        users: &str,
    ) -> Pgsteer {
        secure(server, &self.server, &self.authority.pem()).await;
        prepare(server, "postgres", "create role alice login password 'secret'; create role bob login").await;
        let config = format!(
            "{auth}\n[server_tls]\nsslmode = \"verify-full\"\nca_file = \"ca.pem\"\n\
             [client_tls]\ncert_file = \"own.pem\"\nkey_file = \"own.key\"\n{config}\n"
        );
        let own = self.authority.issue("pgsteer", &["127.0.0.1"], Valid::Always).unwrap();
        let files = [
            ("ca.pem", &*self.authority.pem()),
            ("own.pem", &own.certificate),
            ("own.key", &own.key),
            ("users.txt", users),
        ];
        Pgsteer::start(server, &config, &files).await
    }

    fn give(&self, pgsteer: &Pgsteer, name: &str, issued: &Issued) {
        let key = pgsteer.file(&format!("{name}.key"));
        std::fs::write(pgsteer.file(&format!("{name}.pem")), &issued.certificate).unwrap();
        std::fs::write(&key, &issued.key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// What psql gets: the only value, or what it complains of.
async fn psql(pgsteer: &Pgsteer, user: &str, options: &str, sql: &str) -> String {
    psql_of(&binaries(), pgsteer, user, options, sql).await
}

/// The same with a psql of another release.
pub(super) async fn psql_of(
    programs: &Path,
    pgsteer: &Pgsteer,
    user: &str,
    options: &str,
    sql: &str,
) -> String {
    let mut psql = Command::new(programs.join("psql"));
    let folder = pgsteer.file("");
    psql.args(["-XAt", "-c", sql])
        .env("PGPASSWORD", "secret")
        .env("HOME", &folder)
        .current_dir(Path::new(&folder))
        .arg(format!("host=127.0.0.1 port={} user={user} dbname=postgres {options}", pgsteer.port));
    let output = tokio::task::spawn_blocking(move || psql.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { text(&output.stdout) } else { text(&output.stderr) }
}

const IS_TLS: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
const FULL: &str = "sslmode=verify-full sslrootcert=ca.pem";

async fn assert_all(pgsteer: &Pgsteer, cases: &[(&str, &str, &str)]) {
    for (user, options, expected) in cases {
        let said = psql(pgsteer, user, options, IS_TLS).await;
        assert!(said.contains(expected), "{user} {options}: {said}\n{}", pgsteer.log());
    }
}

#[tokio::test]
async fn clients_must_use_tls_and_may_bind_their_logins() {
    let pki = Pki::new();
    let auth = "auth_file = \"users.txt\"";
    let (_server, pgsteer) =
        pki.start(auth, "sslmode = \"require\"", "\"alice\" \"secret\"\n\"bob\" \"secret\"\n").await;
    let required = "connection requires TLS";
    assert_all(
        &pgsteer,
        &[
            ("alice", "sslmode=disable", required),
            ("alice", "sslmode=allow", "t"),
            ("alice", "sslmode=prefer", "t"),
            ("alice", FULL, "t"),
            ("alice", &format!("{FULL} channel_binding=require"), "t"),
            ("alice", &format!("{FULL} channel_binding=disable"), "t"),
            ("alice", &format!("{FULL} ssl_max_protocol_version=TLSv1.2 channel_binding=require"), "t"),
            (
                "alice",
                "sslmode=require ssl_max_protocol_version=TLSv1.1 ssl_min_protocol_version=TLSv1",
                "alert",
            ),
            ("bob", &format!("{FULL} channel_binding=require"), "password authentication failed"),
            ("alice", "sslmode=verify-full sslrootcert=own.pem", "certificate verify failed"),
        ],
    )
    .await;
    let long = psql(
        &pgsteer,
        "alice",
        FULL,
        "select length(string_agg(repeat('x', 1000), '')) from generate_series(1, 5000)",
    )
    .await;
    assert_eq!(long, "5000000");
    let rows = psql(&pgsteer, "alice", FULL, "select repeat('x', 1000) from generate_series(1, 3000)").await;
    assert_eq!(rows.len(), 3000 * 1001 - 1);
    drivers(&pki, &pgsteer).await;
    injections(&pgsteer).await;
}

/// Direct TLS, bound logins and cancel requests over TLS of another driver.
async fn drivers(pki: &Pki, pgsteer: &Pgsteer) {
    let own = std::fs::read(pgsteer.file("own.pem")).unwrap();
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(&own);
    let der: rustls::pki_types::CertificateDer<'_> = der.unwrap();
    let end_point = EndPoint::of(&der).unwrap();
    let authority = pki.authority.pem();
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(pgsteer.port).user("alice").password("secret").dbname("postgres");
    config.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Require);
    for (negotiation, alpn, binding, expected) in [
        (SslNegotiation::Postgres, &[][..], end_point.bytes(), Ok(())),
        (SslNegotiation::Postgres, &[&b"postgresql"[..]], end_point.bytes(), Ok(())),
        (SslNegotiation::Direct, &[&b"postgresql"[..]], end_point.bytes(), Ok(())),
        (SslNegotiation::Direct, &[], end_point.bytes(), Err("error communicating with the server")),
        (SslNegotiation::Direct, &[b"http/1.1"], end_point.bytes(), Err("error performing TLS handshake")),
        (SslNegotiation::Direct, &[b"postgresql"], &[7; 32], Err("SCRAM channel binding check failed")),
    ] {
        let tls = Tls::new(&authority, alpn, binding);
        let connected = config.clone().ssl_negotiation(negotiation).connect(tls).await;
        match (connected, expected) {
            (Ok((client, connection)), Ok(())) => {
                tokio::spawn(connection);
                assert_eq!(client.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
            }
            (Err(error), Err(expected)) => {
                let said =
                    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
                assert!(said.contains(expected), "{negotiation:?} {alpn:?}: {said}");
            }
            (connected, expected) => {
                panic!("{negotiation:?} {alpn:?}: {:?} instead of {expected:?}", connected.err());
            }
        }
    }
    let tls = Tls::new(&authority, &[b"postgresql"], end_point.bytes());
    let (client, connection) = config.connect(tls.clone()).await.unwrap();
    tokio::spawn(connection);
    // By the word of TLS itself: libpq 17 takes any other end of a cancel request for its failure.
    let stream = TcpStream::connect(("127.0.0.1", pgsteer.port)).await.unwrap();
    let mut asking = tls.clone().connect(stream).await.unwrap();
    asking.write_all(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01").await.unwrap();
    assert_eq!(asking.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let token = client.cancel_token();
    let sleeping = tokio::spawn(async move { client.batch_execute("select pg_sleep(600)").await });
    let cancelled = async || {
        token.cancel_query(tls.clone()).await.unwrap();
        sleeping.is_finished().then_some(())
    };
    eventually("cancelled", Duration::from_secs(10), cancelled).await.unwrap();
    let error = sleeping.await.unwrap().unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("57014"));
}

/// Plaintext behind the request for TLS, as somebody in the middle adds it; and what is no handshake.
async fn injections(pgsteer: &Pgsteer) {
    let request = b"\0\0\0\x08\x04\xd2\x16\x2f";
    for (sent, expected) in [
        (
            [&request[..], b"\0\0\0\x10\0\x03\0\0user\0a\0\0"].concat(),
            "received unencrypted data after SSL request",
        ),
        ([&request[..], request].concat(), "received unencrypted data after SSL request"),
        // An alert (type 21) answers a ClientHello that is none.
        (b"\x16\x03\x01\0\x05\x01\0\0\x01\0".to_vec(), "\x15\x03"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", pgsteer.port)).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn clients_are_who_their_certificates_say() {
    let pki = Pki::new();
    let alice = pki.authority.issue("alice", &[], Valid::Always).unwrap();
    let revoked = pki.authority.issue("revoked", &[], Valid::Always).unwrap();
    let auth = "auth_type = \"cert\"\nauth_file = \"users.txt\"\n";
    let tls = "sslmode = \"verify-full\"\nca_file = \"ca.pem\"";
    let (_server, pgsteer) = pki.start(auth, tls, "\"alice\" \"secret\"\n\"bob\" \"secret\"\n").await;
    pki.give(&pgsteer, "alice", &alice);
    pki.give(&pgsteer, "revoked", &revoked);
    pki.give(&pgsteer, "foreign", &pki.others.issue("alice", &[], Valid::Always).unwrap());
    pki.give(&pgsteer, "expired", &pki.authority.issue("alice", &[], Valid::Expired).unwrap());
    let with = |name: &str| format!("{FULL} sslcert={name}.pem sslkey={name}.key");
    let none = "connection requires a valid client certificate";
    assert_all(
        &pgsteer,
        &[
            ("alice", &with("alice"), "t"),
            ("bob", &with("alice"), "certificate authentication failed for user \"bob\""),
            ("alice", FULL, none),
            ("alice", "sslmode=disable", "connection requires TLS"),
            ("alice", &with("foreign"), "unknown ca"),
            ("alice", &with("expired"), "expired"),
            ("revoked", &with("revoked"), "could not log in to server"),
        ],
    )
    .await;
    // Revoked from now on.
    let list = pki.authority.revoke(&[&revoked]).unwrap();
    std::fs::write(pgsteer.file("crl.pem"), list).unwrap();
    let path = pgsteer.file("pgsteer.toml");
    let config = std::fs::read_to_string(&path).unwrap() + "crl_file = \"crl.pem\"\n";
    std::fs::write(&path, config).unwrap();
    pgsteer.reload("ok").await;
    assert_all(&pgsteer, &[("alice", &with("alice"), "t"), ("revoked", &with("revoked"), "revoked")]).await;
}

/// A new certificate for new clients; those that are in stay. A file that is wrong changes nothing.
#[tokio::test]
async fn certificates_are_reloaded() {
    let pki = Pki::new();
    let auth = "auth_file = \"users.txt\"";
    let (_server, pgsteer) = pki.start(auth, "sslmode = \"require\"", "\"alice\" \"secret\"\n").await;
    let tls = Tls::new(&pki.authority.pem(), &[], &[]);
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(pgsteer.port).user("alice").password("secret").dbname("postgres");
    config.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Disable);
    let (client, connection) = config.connect(tls).await.unwrap();
    tokio::spawn(connection);
    std::fs::write(pgsteer.file("others.pem"), pki.others.pem()).unwrap();
    let is_new = format!("{FULL} sslrootcert=others.pem");
    let is_old = FULL;
    assert_all(&pgsteer, &[("alice", is_old, "t"), ("alice", &is_new, "certificate verify failed")]).await;

    // A certificate without its key.
    let new = pki.others.issue("new", &["127.0.0.1"], Valid::Always).unwrap();
    std::fs::write(pgsteer.file("own.pem"), &new.certificate).unwrap();
    pgsteer.reload("failed").await;
    assert!(pgsteer.log().contains("the key in it is not the certificate's"), "{}", pgsteer.log());
    assert_all(&pgsteer, &[("alice", is_old, "t"), ("alice", &is_new, "certificate verify failed")]).await;

    std::fs::write(pgsteer.file("own.key"), &new.key).unwrap();
    pgsteer.reload("ok").await;
    assert_all(&pgsteer, &[("alice", &is_new, "t"), ("alice", is_old, "certificate verify failed")]).await;
    assert_eq!(client.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

/// Nobody negotiates anew on a connection (TLS 1.2; version 1.3 has nothing of the kind), by OpenSSL's own tool: its
/// answer is that we do not.
#[tokio::test]
async fn nothing_is_negotiated_anew() {
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        process::Command,
    };
    let pki = Pki::new();
    let auth = "auth_file = \"users.txt\"";
    let (_server, pgsteer) = pki.start(auth, "sslmode = \"require\"", "\"alice\" \"secret\"\n").await;
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-starttls", "postgres", "-tls1_2", "-connect"]);
    openssl.arg(format!("127.0.0.1:{}", pgsteer.port)).kill_on_drop(true);
    let pipes = openssl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut running = pipes.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(running.stdout.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap() {
        // What it shows last of the handshake.
        if line.contains("Extended master secret") {
            break;
        }
    }
    let mut keys = running.stdin.take().unwrap();
    keys.write_all(b"R\n").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), running.wait_with_output()).await;
    let complaint = String::from_utf8_lossy(&ended.unwrap().unwrap().stderr).into_owned();
    assert!(complaint.contains("no renegotiation"), "{complaint}");
}
