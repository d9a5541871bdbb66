//! Tokens made here, and what comes of them.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;
use crate::clock::Moment;

const NOW: u64 = 1_800_000_000;

enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn ec() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(key.public_key().as_ref())})
            }
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": text(x), "y": text(y)})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = match self {
            Self::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Ec(key) => key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn plan(options: &str, keys: &[Value]) -> Result<OauthPlan, String> {
    let keys = json!({ "keys": keys }).to_string();
    let mut options = Options::parse(options)?;
    let plan = OauthPlan::of(&mut options, |file| match file {
        "keys" => Ok(keys.clone()),
        "garbled" => Ok("[]".to_owned()),
        _ => Err(format!("cannot read {file}")),
    })?;
    options.none_is_left("oauth").map(|()| plan)
}

const OPTIONS: &str = "issuer=https://i.org audience=db scope=read jwksfile=keys";

#[test]
fn options() {
    let keys = [Signer::ed().jwk("k")];
    for (options, error) in [
        (
            "issuer=a audience=b scope=c",
            "\"a/.well-known/openid-configuration\" is no URL: relative URL without a base: without \"jwksfile\" or \
             \"jwksurl\" the issuer is asked for its keys",
        ),
        (
            "issuer=http://a audience=b scope=c",
            "\"http://a/.well-known/openid-configuration\" does not begin with https://: without \"jwksfile\" or \
             \"jwksurl\" the issuer is asked for its keys",
        ),
        (
            "issuer=a audience=b scope=c jwksurl=http://a/keys",
            "\"http://a/keys\" does not begin with https://",
        ),
        (
            "issuer=a audience=b scope=c jwksurl=https://a/keys jwksfile=keys",
            "the keys come by \"jwksfile\" or by \"jwksurl\": keep one of them",
        ),
        (
            "issuer=a audience=b scope=c cafile=keys jwksfile=keys",
            "\"cafile\" has no meaning with \"jwksfile\": nobody is asked for the keys",
        ),
        ("issuer=a audience=b scope=c jwksurl=https://a/keys cafile=none", "cannot read none"),
        (
            "issuer=a audience=b scope=c jwksurl=https://a/keys cafile=keys",
            "keys: there is no certificate in it (PEM)",
        ),
        ("audience=b scope=c jwksfile=keys", "the method oauth needs the option \"issuer\""),
        ("issuer=a scope=c jwksfile=keys", "the method oauth needs the option \"audience\""),
        ("issuer=a audience=b jwksfile=keys", "the method oauth needs the option \"scope\""),
        ("issuer=a audience=b scope=c jwksfile=none", "cannot read none"),
        (
            "issuer=a audience=b scope=c jwksfile=keys token=x",
            "invalid value for token: \"x\"; bearer or password is expected",
        ),
    ] {
        assert_eq!(plan(options, &keys).err().as_deref(), Some(error));
    }
    let garbled = plan("issuer=a audience=b scope=c jwksfile=garbled", &keys).err().unwrap();
    assert!(garbled.starts_with("garbled: it is no set of keys (RFC 7517): "), "{garbled}");
    assert_eq!(plan(OPTIONS, &[]).err().as_deref(), Some("keys: there is no key in it"));
    assert_eq!(plan(OPTIONS, &keys).unwrap().shown, Shown::Bearer);
}

#[test]
fn tokens() {
    let (ed, ec, other) = (Signer::ed(), Signer::ec(), Signer::ed());
    let plan = plan(OPTIONS, &[ec.jwk("2"), ed.jwk("1")]).unwrap();
    let good = json!({
        "iss": "https://i.org", "aud": ["x", "db"], "exp": NOW + 60, "nbf": NOW, "scope": "write read", "sub": "alice"
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let ed_header = json!({"alg": "EdDSA", "kid": "1"});
    let KeysFrom::Here(keys) = &plan.keys else { panic!("{:?}", plan.keys) };
    let said = |wrong| match wrong {
        Wrong::Key(why) => format!("key: {why}"),
        Wrong::Token(why) => why,
    };
    let judged = |token: &str| plan.judge(keys, token, NOW).map_err(said);
    let judge = |signer: &Signer, header: &Value, claims: &Value| judged(&signer.sign(header, claims));
    for (signer, header) in [
        (&ed, &ed_header),
        (&ec, &json!({"alg": "ES256", "kid": "2"})),
        (&ed, &json!({"alg": "EdDSA"})),
        (&ec, &json!({"alg": "ES256"})),
    ] {
        assert_eq!(judge(signer, header, &good).as_deref(), Ok("alice"), "{header}");
    }
    for (claims, expected) in [
        (with("scp", json!(["read"])), Ok("alice")),
        (with("aud", json!("db")), Ok("alice")),
        (with("exp", json!(NOW - 29)), Ok("alice")),
        (with("exp", json!(NOW - 30)), Err("the token has expired")),
        (with("nbf", json!(NOW + 31)), Err("the token is not valid yet")),
        (with("nbf", json!("soon")), Err("the token is not valid yet")),
        (with("scope", json!("write readonly")), Err("the token does not allow \"read\"")),
        (with("sub", json!("")), Err("the token has no claim \"sub\"")),
        (with("sub", json!(1)), Err("the token has no claim \"sub\"")),
        (with("aud", json!("other")), Err("the token cannot be verified: InvalidAudience")),
        (with("iss", json!("https://j.org")), Err("the token cannot be verified: InvalidIssuer")),
    ] {
        let judged = judge(&ed, &ed_header, &claims);
        assert_eq!(judged.as_deref().map_err(String::as_str), expected, "{claims}");
    }
    for missing in ["exp", "iss", "aud"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        let why = judge(&ed, &ed_header, &claims).unwrap_err();
        assert!(why.starts_with("the token cannot be verified: "), "{missing}: {why}");
    }
    for (signer, header, why) in [
        (&other, &ed_header, "key: the token cannot be verified: InvalidSignature"),
        (&other, &json!({"alg": "EdDSA"}), "key: the token cannot be verified: InvalidSignature"),
        (
            &ed,
            &json!({"alg": "EdDSA", "kid": "3"}),
            "key: the token cannot be verified: no key has its identifier",
        ),
        (&ed, &json!({"alg": "HS256", "kid": "1"}), "a token signed by HS256 is not taken"),
    ] {
        assert_eq!(judge(signer, header, &good).unwrap_err(), why);
    }
    let none = judge(&ed, &json!({"alg": "none"}), &good).unwrap_err();
    assert!(none.starts_with("no signed token: "), "{none}");
    assert!(judged("x.y.z").is_err() && judged("").is_err());
    assert_eq!(
        String::from_utf8(plan.discovery()).unwrap(),
        "{\"openid-configuration\":\"https://i.org/.well-known/openid-configuration\",\"scope\":\"read\",\"status\":\"invalid_token\"}"
    );
}

#[test]
fn what_is_told_of_keys() {
    let (sign, odd) = (Signer::ed().jwk("s"), json!("odd"));
    let mut encrypt = Signer::ec().jwk("e");
    encrypt["use"] = json!("enc");
    let set = |keys: &[&Value]| key_set(json!({ "keys": keys }).to_string().as_bytes());
    let names = |set: JwkSet| set.keys.into_iter().filter_map(|key| key.common.key_id).collect::<Vec<_>>();
    assert_eq!(set(&[&odd, &sign, &encrypt]).map(names), Ok(vec!["s".to_owned()]));
    assert_eq!(set(&[&odd, &encrypt]).unwrap_err(), "there is no key in it");
    assert_eq!(set(&vec![&sign; 101]).unwrap_err(), "it has more than 100 keys");
    for (text, expected) in [
        (r#"{"issuer": "https://i", "jwks_uri": "https://i/k"}"#, Ok("https://i/k")),
        (r#"{"issuer": "https://j", "jwks_uri": "https://i/k"}"#, Err("it calls itself \"https://j\"")),
        (r#"{"jwks_uri": "https://i/k"}"#, Err("it does not say who it is (issuer)")),
        (r#"{"issuer": "https://i"}"#, Err("it does not say where its keys are (jwks_uri)")),
        (
            r#"{"issuer": "https://i", "jwks_uri": "http://i/k"}"#,
            Err("\"http://i/k\" does not begin with https://"),
        ),
    ] {
        let url = described("https://i", text.as_bytes()).map(|url| url.to_string());
        assert_eq!(url.as_deref().map_err(String::as_str), expected, "{text}");
    }
    assert!(described("i", b"<html>").unwrap_err().starts_with("it is no JSON: "));
}

#[test]
fn keys_are_asked_for_when_they_must_be_and_no_oftener() {
    let at = |seconds: u64| Moment::ZERO + Duration::from_secs(seconds);
    let keys = |kid: &str| key_set(json!({"keys": [Signer::ed().jwk(kid)]}).to_string().as_bytes()).unwrap();
    let early = "the issuer was asked for its keys just now".to_owned();
    let mut ring = KeyRing::default();
    assert_eq!(ring.look(at(0)), Look::Ask);
    ring.asks(at(0));
    assert_eq!(ring.look(at(4)), Look::Refuse(early.clone()));
    ring.learn(Err("down".to_owned()), at(0));
    assert_eq!(ring.look(at(4)), Look::Refuse("down".to_owned()));
    assert_eq!(ring.look(at(5)), Look::Ask);
    ring.asks(at(5));
    let first = keys("1");
    ring.learn(Ok(first.clone()), at(5));
    let first = Arc::new(first);
    assert_eq!(ring.look(at(5)), Look::Use(first.clone()));
    // A token that none of them has signed.
    assert_eq!(ring.anew(at(9)), Look::Refuse(early));
    assert_eq!(ring.anew(at(10)), Look::Ask);
    // They grow old, and serve while newer ones are asked for, which may fail.
    assert_eq!(ring.look(at(304)), Look::Use(first.clone()));
    assert_eq!(ring.look(at(305)), Look::UseAndAsk(first.clone()));
    ring.asks(at(305));
    ring.learn(Err("down".to_owned()), at(305));
    assert_eq!(ring.look(at(309)), Look::Use(first.clone()));
    assert_eq!(ring.look(at(310)), Look::UseAndAsk(first.clone()));
    assert_eq!(ring.known(at(3604)), Ok(first));
    // But not for ever.
    assert_eq!(ring.look(at(3605)), Look::Ask);
    assert_eq!(ring.known(at(3605)), Err("down".to_owned()));
}

#[test]
fn first_messages() {
    let malformed = "malformed OAUTHBEARER message";
    for (message, expected) in [
        ("n,,\u{1}auth=Bearer a.b-c~d+e/f==\u{1}\u{1}", Ok(Hello::Token("a.b-c~d+e/f=="))),
        ("y,,\u{1}host=h\u{1}auth=bearer  x\u{1}port=5\u{1}\u{1}", Ok(Hello::Token("x"))),
        ("n,,\u{1}auth=\u{1}\u{1}", Ok(Hello::Discovery)),
        ("n,a=me,\u{1}auth=\u{1}\u{1}", Err("client uses authorization identity, but it is not supported")),
        ("n,,\u{1}auth=Basic x\u{1}\u{1}", Err(malformed)),
        ("n,,\u{1}auth=Bearer \u{1}\u{1}", Err(malformed)),
        ("n,,\u{1}auth=Bearer a b\u{1}\u{1}", Err(malformed)),
        ("n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}", Err(malformed)),
        ("n,,\u{1}host=h\u{1}\u{1}", Err(malformed)),
        ("n,,\u{1}\u{1}", Err(malformed)),
        ("n,,auth=Bearer x", Err(malformed)),
        ("n", Err(malformed)),
        ("", Err(malformed)),
    ] {
        assert_eq!(hello(message.as_bytes()), expected, "{message:?}");
    }
    assert!(hello(b"p=tls-unique,,\x01auth=\x01\x01").is_err_and(|why| why.contains("channel binding")));
    assert!(hello(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(message: Vec<u8>, token in "[ -~]{0,80}") {
        let _ = hello(&message);
        let plan = plan(OPTIONS, &[Signer::ed().jwk("k")]).unwrap();
        let KeysFrom::Here(keys) = &plan.keys else { panic!("{:?}", plan.keys) };
        let _ = plan.judge(keys, &token, NOW);
        let _ = (key_set(&message), described("i", &message));
    }
}
