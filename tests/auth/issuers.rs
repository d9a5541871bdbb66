//! Issuers of tokens that are asked for their keys over HTTPS, and change them.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use pgsteer::clock::Clock;
use pgsteer_testkit::{Authority, Valid, eventually};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
    tokens::{Issuer, bearer},
};

const SOON: Duration = Duration::from_secs(20);

/// How the site is disposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Answers,
    /// Takes a question and says nothing.
    Hangs,
    /// Never comes to the end of its answer.
    Floods,
}

struct Site {
    mood: Mood,
    keys: String,
    /// How often it was asked for them.
    asked: u32,
}

/// A web site of the issuer's, on loopback.
struct Web {
    issuer: String,
    site: Arc<Mutex<Site>>,
}

impl Web {
    async fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        let own = authority.issue("issuer", &["127.0.0.1"], Valid::Always).unwrap();
        let chain = vec![CertificateDer::from(own.der)];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let site = Arc::new(Mutex::new(Site { mood: Mood::Answers, keys: String::new(), asked: 0 }));
        let (name, shared) = (issuer.clone(), site.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), socket, name.clone(), shared.clone()));
            }
        });
        Self { issuer, site }
    }

    fn asked(&self) -> u32 {
        self.site.lock().asked
    }

    fn becomes(&self, mood: Mood) {
        self.site.lock().mood = mood;
    }
}

async fn answer(acceptor: TlsAcceptor, socket: TcpStream, issuer: String, site: Arc<Mutex<Site>>) {
    // Whoever does not trust the certificate goes away.
    let Ok(mut stream) = acceptor.accept(socket).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let (mood, body) = {
        let mut site = site.lock();
        if head.starts_with("GET /keys?of=all HTTP/1.1\r\n") {
            site.asked += 1;
            (site.mood, site.keys.clone())
        } else {
            assert!(head.starts_with("GET /.well-known/openid-configuration HTTP/1.1\r\n"), "{head}");
            let keys = format!("{issuer}/keys?of=all");
            (Mood::Answers, json!({ "issuer": issuer, "jwks_uri": keys }).to_string())
        }
    };
    match mood {
        Mood::Answers => {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Mood::Hangs => {
            let _ = stream.read_u8().await;
        }
        Mood::Floods => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        }
    }
}

async fn login(pgsteer: &Pgsteer, user: &str, token: &str) -> bool {
    bearer(pgsteer.port, user, Some(token)).await.last().is_some_and(|last| last == "ok")
}

#[tokio::test]
async fn keys_are_asked_for_and_change() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create role alice login; create role bob login").await;
    let authority = Authority::new("authority", Valid::Always).unwrap();
    let web = Web::start(&authority).await;
    let [first, second, stranger] = ["1", "2", "3"].map(|kid| Issuer::new(&web.issuer, kid));
    let token = |issuer: &Issuer| issuer.token("alice");
    web.site.lock().keys = first.keys();
    let options = format!("issuer={} audience=db scope=connect claim=email", web.issuer);
    // The system vouches for nobody here.
    let rules = format!(
        "host all alice all oauth {options} cafile=ca.pem\n\
         host all bob all oauth {options} jwksurl={}/keys?of=all\n",
        web.issuer
    );
    let files = [("pg_hba.conf", &*rules), ("ca.pem", &authority.pem())];
    let config = "auth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\nauth_failures_max = 0\n";
    let pgsteer = Pgsteer::start(&server, config, &files).await;
    assert!(login(&pgsteer, "alice", &token(&first)).await, "{}", pgsteer.log());
    assert!(!login(&pgsteer, "bob", &first.token("bob")).await);
    assert!(pgsteer.log().contains("/keys?of=all: TLS: "), "{}", pgsteer.log());
    assert_eq!(web.asked(), 1);

    // The issuer has another key: its first token makes that known, some seconds after the last question.
    web.site.lock().keys = second.keys();
    let is_known = async || login(&pgsteer, "alice", &token(&second)).await.then_some(());
    eventually("the new key", SOON, is_known)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", pgsteer.log()));
    assert!(!login(&pgsteer, "alice", &token(&first)).await, "the old key still counts");

    made_up_keys_cost_the_issuer_little(&pgsteer, &web, &token(&stranger)).await;
    nobody_waits_for_a_question_of_others(&pgsteer, &web, [&token(&second), &token(&stranger)]).await;

    // An answer without end is not taken, and what was known goes on to serve.
    web.becomes(Mood::Floods);
    let is_refused = async || {
        assert!(!login(&pgsteer, "alice", &token(&stranger)).await);
        pgsteer.log().contains("its answer is longer than 262144 bytes").then_some(())
    };
    eventually("too much", SOON, is_refused)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", pgsteer.log()));
    assert!(login(&pgsteer, "alice", &token(&second)).await);
}

/// Whoever makes up keys is refused, and the issuer hears of few of them.
async fn made_up_keys_cost_the_issuer_little(pgsteer: &Pgsteer, web: &Web, made_up: &str) {
    let (clock, before) = (Clock::boot(), web.asked());
    let began = clock.now();
    for _ in 0..30 {
        assert!(!login(pgsteer, "alice", made_up).await);
    }
    let most = 1 + clock.now().since(began).as_secs() / 5;
    let asked = web.asked() - before;
    assert!(u64::from(asked) <= most, "asked {asked} times");
}

/// While somebody waits for an answer, those whose key is known get in.
async fn nobody_waits_for_a_question_of_others(pgsteer: &Pgsteer, web: &Web, [known, made_up]: [&str; 2]) {
    web.becomes(Mood::Hangs);
    let before = web.asked();
    let (port, made_up) = (pgsteer.port, made_up.to_owned());
    let waits = tokio::spawn(async move {
        // Those who come too early for a question are refused at once.
        while bearer(port, "alice", Some(&made_up)).await.last().is_some_and(|last| last != "ok") {}
    });
    let is_asked = async || (web.asked() > before).then_some(());
    eventually("a question", SOON, is_asked).await.unwrap();
    let login = tokio::time::timeout(Duration::from_secs(4), login(pgsteer, "alice", known));
    assert!(login.await.expect("it waits for the answer to a question of others"));
    waits.abort();
}
