//! Bearer tokens (`oauth`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pgsteer::wire::{
    error::ServerError,
    message::{Authentication, SaslInitialResponse, encode_sasl_response},
    startup::{Protocol, encode_startup},
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

/// Somebody who issues tokens.
pub(super) struct Issuer {
    /// Its name.
    pub(super) name: String,
    /// What its key is called.
    kid: &'static str,
    key: Ed25519KeyPair,
}

impl Issuer {
    pub(super) fn new(name: &str, kid: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { name: name.to_owned(), kid, key: Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap() }
    }

    pub(super) fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]}).to_string()
    }

    /// A token for `name`, good for five minutes.
    pub(super) fn token(&self, name: &str) -> String {
        let now = pgsteer::clock::wall_time().as_secs();
        let claims = json!({
            "iss": self.name, "aud": "db", "exp": now + 300, "scope": "connect", "email": name
        });
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&json!({"alg": "EdDSA", "kid": self.kid})), text(&claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())))
    }
}

/// A client that speaks the mechanism: what it is asked and told, and how it ends.
pub(super) async fn bearer(port: u16, user: &str, token: Option<&str>) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut send = Vec::new();
    encode_startup(&mut send, Protocol::V3_0, [("user", user), ("database", "postgres")].into_iter());
    stream.write_all(&send).await.unwrap();
    let mut heard = Vec::new();
    loop {
        let tag = stream.read_u8().await.unwrap();
        let length = stream.read_u32().await.unwrap() as usize - 4;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let mut send = Vec::new();
        match (tag, Authentication::decode(&body)) {
            (b'R', Ok(Authentication::Sasl(mechanisms))) => {
                let names: Vec<_> = mechanisms.names().map(String::from_utf8_lossy).collect();
                heard.push(names.join(" "));
                let auth = token.map_or_else(String::new, |token| format!("Bearer {token}"));
                let first = format!("n,,\u{1}auth={auth}\u{1}\u{1}");
                let mechanism = b"OAUTHBEARER";
                SaslInitialResponse { mechanism, data: Some(first.as_bytes()) }.encode(&mut send);
            }
            (b'R', Ok(Authentication::SaslContinue(why))) => {
                heard.push(String::from_utf8_lossy(why).into_owned());
                encode_sasl_response(&mut send, b"\x01");
            }
            (b'R', Ok(Authentication::Ok)) => heard.push("ok".to_owned()),
            (b'E', _) => {
                let said = ServerError::decode(&body).unwrap();
                heard.push(format!("{} {}", said.code, said.message));
                return heard;
            }
            (b'Z', _) => return heard,
            _ => {}
        }
        stream.write_all(&send).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_names_the_user() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create role alice login; create role bob login").await;
    let (issuer, stranger) = (Issuer::new("https://i.org", "k"), Issuer::new("https://i.org", "k"));
    let options = "issuer=https://i.org audience=db scope=connect jwksfile=keys.json claim=email map=people";
    let rules =
        format!("host all alice all oauth {options}\nhost all bob all oauth {options} token=password\n");
    let files = [
        ("pg_hba.conf", &*rules),
        ("pg_ident.conf", "people /^(.*)@x\\.org$ \\1\n"),
        ("keys.json", &*issuer.keys()),
    ];
    let config = "auth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\nauth_ident_file = \"pg_ident.conf\"\n\
                  auth_failures_max = 0\n";
    let pgsteer = Pgsteer::start(&server, config, &files).await;
    let alice = issuer.token("alice@x.org");
    assert_eq!(bearer(pgsteer.port, "alice", Some(&alice)).await, ["OAUTHBEARER", "ok"]);
    let place = "{\"openid-configuration\":\"https://i.org/.well-known/openid-configuration\",\
                 \"scope\":\"connect\",\"status\":\"invalid_token\"}";
    let refused = ["OAUTHBEARER", place, "28000 OAuth bearer authentication failed for user \"alice\""];
    let (bob, foreign, forged) =
        (issuer.token("bob@x.org"), issuer.token("alice@y.org"), stranger.token("alice@x.org"));
    for token in [None, Some(&*bob), Some(&foreign), Some(&forged), Some("x")] {
        assert_eq!(bearer(pgsteer.port, "alice", token).await, refused, "{token:?}\n{}", pgsteer.log());
    }
    // A client that does not know the mechanism shows it as its password.
    assert_eq!(pgsteer.who("bob", &bob, "postgres").await, "bob in postgres");
    let said = pgsteer.who("bob", &alice, "postgres").await;
    assert_eq!(said, "28000 OAuth bearer authentication failed for user \"bob\"");
    assert!(!pgsteer.log().contains(&alice), "a token is in the log");
}
