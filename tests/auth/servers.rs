//! TLS to a real PostgreSQL, in every mode.

use std::time::Duration;

use pgsteer::{
    auth::secrets::{Credential, Password},
    net::{Address, NetDialer, Stream},
    server::{Approach, ConnectError, ServerLogin, cancel, connect, simple_query},
    tls::{Authorities, Identity, Revocations, SslMode, Start, ToServers, Version},
    wire::startup::Protocol,
};
use pgsteer_testkit::{Authority, Issued, Valid, self_signed};

use crate::{common::postgres::Postgres, pgsteer::prepare};

const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

const HBA: &str = "
    host all postgres 127.0.0.1/32 trust
    hostssl all safe 127.0.0.1/32 scram-sha-256
    hostnossl all bare 127.0.0.1/32 scram-sha-256
    hostssl all certified 127.0.0.1/32 cert
";

const ROLES: &str = "create role safe login password 'x'; create role bare login password 'x';
    create role certified login";

/// Lets PostgreSQL have TLS with this certificate, and trust this authority for clients'.
pub(super) async fn secure(server: &Postgres, own: &Issued, clients: &str) {
    for (name, text) in [("server.crt", &*own.certificate), ("server.key", &own.key), ("root.crt", clients)] {
        server.give(name, text);
    }
    prepare(server, "postgres", "alter system set ssl_ca_file = 'root.crt'").await;
    prepare(server, "postgres", "alter system set ssl = on").await;
    prepare(server, "postgres", "select pg_reload_conf()").await;
    // The postmaster reads it when it comes to it; those who connect later see it.
    let is_on = async || {
        let login = as_user("postgres", to(SslMode::Require, None, None));
        connect(&NetDialer::default(), &address(server), &login).await.ok().map(drop)
    };
    pgsteer_testkit::eventually("TLS is on", Duration::from_secs(10), is_on).await.unwrap();
}

fn address(server: &Postgres) -> Address {
    Address::tcp("127.0.0.1", server.port())
}

fn to(mode: SslMode, authority: Option<&str>, identity: Option<&Issued>) -> ToServers {
    let authorities = authority.map(|pem| Authorities::from_pem(pem.as_bytes(), Duration::ZERO).unwrap());
    let authorities = authorities.as_ref().map(|authorities| (authorities, Revocations::default()));
    let identity =
        identity.map(|own| Identity::from_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap());
    ToServers::new(mode, Start::Postgres, &BOTH, authorities, identity.as_ref()).unwrap()
}

fn as_user(user: &str, tls: ToServers) -> ServerLogin {
    ServerLogin {
        user: user.to_owned(),
        database: "postgres".to_owned(),
        parameters: Vec::new(),
        credential: Credential::Password(Password::new(&b"x"[..])),
        protocol: Protocol::NEWEST,
        approach: Approach { tls, ..Approach::default() },
    }
}

/// How a login ends: `tls`, `plain`, or why there is none.
async fn outcome(server: &Postgres, user: &str, tls: ToServers) -> String {
    match connect(&NetDialer::default(), &address(server), &as_user(user, tls)).await {
        Ok(connected) => {
            let mut stream = connected.stream;
            let sql = "select case when ssl then 'tls' else 'plain' end from pg_stat_ssl where pid = pg_backend_pid()";
            let said = simple_query(&mut stream, sql).await.unwrap().rows[0][0].clone().unwrap();
            assert_eq!(said == "tls", matches!(stream, Stream::Tls(_)));
            said
        }
        Err(ConnectError::Refused(error)) => error.code.as_str().to_owned(),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

#[tokio::test]
async fn every_mode_against_a_server_with_tls() {
    let server = Postgres::start(HBA);
    prepare(&server, "postgres", ROLES).await;
    let ours = Authority::new("ours", Valid::Always).unwrap();
    let others = Authority::new("others", Valid::Always).unwrap();
    let certificate = ours.issue("server", &["127.0.0.1"], Valid::Always).unwrap();
    secure(&server, &certificate, &ours.pem()).await;
    let (right, wrong) = (ours.pem(), others.pem());
    let client = ours.issue("certified", &[], Valid::Always).unwrap();
    let stranger = ours.issue("stranger", &[], Valid::Always).unwrap();
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    for (mode, authority, own, user, expected) in [
        (Disable, None, None, "safe", "28000"),
        (Disable, None, None, "bare", "plain"),
        (Allow, None, None, "safe", "tls"),
        (Allow, None, None, "bare", "plain"),
        (Prefer, None, None, "safe", "tls"),
        (Prefer, None, None, "bare", "plain"),
        (Prefer, None, None, "nobody", "28000"),
        (Require, None, None, "safe", "tls"),
        (Require, None, None, "bare", "28000"),
        (Require, Some(&right), None, "safe", "tls"),
        (Require, Some(&wrong), None, "safe", "tls: invalid peer certificate: UnknownIssuer"),
        (VerifyCa, Some(&right), None, "safe", "tls"),
        (VerifyCa, Some(&wrong), None, "safe", "tls: invalid peer certificate: UnknownIssuer"),
        (VerifyFull, Some(&right), None, "safe", "tls"),
        (VerifyFull, Some(&wrong), None, "safe", "tls: invalid peer certificate: UnknownIssuer"),
        (VerifyFull, Some(&right), Some(&client), "certified", "tls"),
        (VerifyFull, Some(&right), Some(&stranger), "certified", "28000"),
        (VerifyFull, Some(&right), None, "certified", "28000"),
    ] {
        let tls = to(mode, authority.map(String::as_str), own);
        assert_eq!(outcome(&server, user, tls).await, expected, "{mode:?} {user}");
    }
    names(&server, &ours).await;
    direct_is_refused_by_old_servers(&server).await;
    cancelling(&server, &right).await;
}

/// Which certificates are made out to 127.0.0.1.
async fn names(server: &Postgres, ours: &Authority) {
    let itself = self_signed("127.0.0.1", &[]).unwrap();
    let other = self_signed("elsewhere", &[]).unwrap();
    for (certificate, authority, expected) in [
        (ours.issue("127.0.0.1", &[], Valid::Always).unwrap(), ours.pem(), "tls"),
        (ours.issue("127.0.0.1", &["db.example"], Valid::Always).unwrap(), ours.pem(), "not valid for name"),
        (ours.issue("elsewhere", &[], Valid::Always).unwrap(), ours.pem(), "not valid for name"),
        (ours.issue("old", &["127.0.0.1"], Valid::Expired).unwrap(), ours.pem(), "certificate expired"),
        // As PostgreSQL's manual makes them: the certificate is its own authority.
        (itself.clone(), itself.certificate, "tls"),
        (other.clone(), other.certificate, "not valid for name"),
    ] {
        secure(server, &certificate, &ours.pem()).await;
        // Until the postmaster shows the new one, which clients that do not look cannot tell.
        let tls = to(SslMode::VerifyFull, Some(&authority), None);
        let becomes = async || outcome(server, "safe", tls.clone()).await.contains(expected).then_some(());
        let became = pgsteer_testkit::eventually(expected, Duration::from_secs(10), becomes).await;
        assert!(became.is_ok(), "{expected}: {}", outcome(server, "safe", tls.clone()).await);
        if expected == "not valid for name" {
            let issuer = to(SslMode::VerifyCa, Some(&authority), None);
            assert_eq!(outcome(server, "safe", issuer).await, "tls");
        }
    }
    let certificate = ours.issue("server", &["127.0.0.1"], Valid::Always).unwrap();
    secure(server, &certificate, &ours.pem()).await;
}

/// PostgreSQL 15 knows no direct TLS: what it answers must not be taken for a failure of the member's.
async fn direct_is_refused_by_old_servers(server: &Postgres) {
    let tls = ToServers::new(SslMode::Require, Start::Direct, &BOTH, None, None).unwrap();
    let said = outcome(server, "safe", tls).await;
    assert!(said.starts_with("unreachable: it ended the connection during the TLS handshake"), "{said}");
}

async fn cancelling(server: &Postgres, authority: &str) {
    let tls = to(SslMode::VerifyFull, Some(authority), None);
    let becomes = async || (outcome(server, "safe", tls.clone()).await == "tls").then_some(());
    pgsteer_testkit::eventually("the old certificate is back", Duration::from_secs(10), becomes)
        .await
        .unwrap();
    let login = as_user("safe", tls.clone());
    let mut sleeper = connect(&NetDialer::default(), &address(server), &login).await.unwrap();
    let sleeping =
        tokio::spawn(
            async move { simple_query(&mut sleeper.stream, "select pg_sleep(600)").await.map(drop) },
        );
    let cancelled = async || {
        cancel(&NetDialer::default(), &address(server), &login.approach, &sleeper.key).await.unwrap();
        sleeping.is_finished().then_some(())
    };
    pgsteer_testkit::eventually("cancelled", Duration::from_secs(10), cancelled).await.unwrap();
    let said = format!("{:?}", sleeping.await.unwrap().unwrap_err());
    assert!(said.contains("57014"), "{said}");
}

#[tokio::test]
async fn every_mode_against_a_server_without_tls() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let ours = Authority::new("ours", Valid::Always).unwrap().pem();
    for (mode, authority, expected) in [
        (SslMode::Disable, None, "plain"),
        (SslMode::Allow, None, "plain"),
        (SslMode::Prefer, None, "plain"),
        (SslMode::Require, None, "tls: the server does not have TLS (ssl = off)"),
        (SslMode::VerifyCa, Some(&ours), "tls: the server does not have TLS (ssl = off)"),
        (SslMode::VerifyFull, Some(&ours), "tls: the server does not have TLS (ssl = off)"),
    ] {
        let tls = to(mode, authority.map(String::as_str), None);
        assert_eq!(outcome(&server, "postgres", tls).await, expected, "{mode:?}");
    }
}
