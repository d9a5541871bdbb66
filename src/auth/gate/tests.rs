//! Logins through the gate, method by method.

use postgres_protocol::authentication::{
    md5_hash,
    sasl::{ChannelBinding, ScramSha256},
};

use super::*;
use crate::auth::{
    scram::MECHANISM,
    secrets::{Secrets as _, Users},
};

/// A driver: answers whatever it is asked with its password, and tells what it was asked.
fn drive(method: AuthType, file: &str, user: &str, password: &[u8]) -> (Vec<&'static str>, String) {
    let users = Users::parse(file).unwrap();
    let mock = Mock::new([3; 32]);
    let secret = users.lookup(user);
    let who = Applicant { user, secret: secret.as_ref(), typical: users.typical(), end_point: None };
    if let Some(password) = who.to_derive(method) {
        password.derive_verifier(mock.stretch(user, who.typical));
    }
    let mut asked = Vec::new();
    let (mut gate, mut request) = match Gate::open(method, who, &mock, [9; NONCE_BYTES]) {
        Opening::Free(credential) => return (asked, credential.describe().to_owned()),
        Opening::Ask { gate, request } => (gate, request),
    };
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    loop {
        let mut answer = Vec::new();
        match Authentication::decode(&request[5..]).unwrap() {
            Authentication::CleartextPassword => {
                asked.push("plain");
                crate::wire::message::encode_password(&mut answer, password);
            }
            Authentication::Md5Password(salt) => {
                asked.push("md5");
                let hash = md5_hash(user.as_bytes(), password, salt);
                crate::wire::message::encode_password(&mut answer, hash.as_bytes());
            }
            Authentication::Sasl(_) => {
                asked.push("scram");
                let first = Some(scram.message());
                SaslInitialResponse { mechanism: MECHANISM, data: first }.encode(&mut answer);
            }
            Authentication::SaslContinue(data) => {
                asked.push("continue");
                scram.update(data).unwrap();
                crate::wire::message::encode_sasl_response(&mut answer, scram.message());
            }
            other => panic!("{other:?}"),
        }
        match gate.exchange(b'p', &answer[5..]) {
            Step::Continue { next, reply } => (gate, request) = (next, reply),
            Step::Done(Admission { reply, credential }) => {
                if !reply.is_empty() {
                    let Ok(Authentication::SaslFinal(last)) = Authentication::decode(&reply[5..]) else {
                        panic!("no last word");
                    };
                    scram.finish(last).unwrap();
                }
                return (asked, credential.describe().to_owned());
            }
            Step::Failed(failure) => return (asked, failure.to_client(user).message.into_owned()),
        }
    }
}

#[test]
fn every_method_and_secret() {
    use AuthType::{Md5, Plain, ScramSha256, Trust};
    let scram = postgres_protocol::password::scram_sha_256(b"right");
    let md5 = postgres_protocol::password::md5(b"right", "md5");
    let file = format!("\"scram\" \"{scram}\"\n\"md5\" \"{md5}\"\n\"pw\" \"right\"\n\"none\" \"\"");
    let [s, m, p]: [&[&str]; 3] = [&["scram", "continue"], &["md5"], &["plain"]];
    // For each method and user: what the driver is asked, and what the right password yields.
    for (method, user, asked, yields) in [
        (ScramSha256, "scram", s, Some("SCRAM keys")),
        (ScramSha256, "pw", s, Some("a password")),
        (ScramSha256, "md5", s, None),
        (ScramSha256, "none", s, None),
        (ScramSha256, "nobody", s, None),
        (Md5, "scram", s, Some("SCRAM keys")),
        (Md5, "md5", m, Some("an md5 hash")),
        (Md5, "pw", m, Some("a password")),
        // Most users of this file have a SCRAM secret (of equals, SCRAM counts most).
        (Md5, "none", s, None),
        (Md5, "nobody", s, None),
        (Plain, "scram", p, Some("a password")),
        (Plain, "md5", p, Some("a password")),
        (Plain, "pw", p, Some("a password")),
        (Plain, "none", p, None),
        (Plain, "nobody", p, None),
    ] {
        let refused = format!("password authentication failed for user \"{user}\"");
        let right = drive(method, &file, user, b"right");
        let expected = yields.map_or(refused.clone(), str::to_owned);
        assert_eq!(right, (asked.to_vec(), expected), "{method} {user}");
        assert_eq!(drive(method, &file, user, b"wrong"), (asked.to_vec(), refused), "{method} {user}");
    }
    for (user, credential) in
        [("scram", "no secret"), ("md5", "an md5 hash"), ("pw", "a password"), ("nobody", "no secret")]
    {
        assert_eq!(drive(Trust, &file, user, b""), (vec![], credential.to_owned()), "{user}");
    }
}

#[test]
fn unknown_users_are_asked_for_md5_where_most_users_have_that() {
    let md5 = postgres_protocol::password::md5(b"right", "u");
    let refused = "password authentication failed for user \"nobody\"".to_owned();
    for file in [format!("\"u\" \"{md5}\""), "\"u\" \"right\"".to_owned()] {
        assert_eq!(drive(AuthType::Md5, &file, "nobody", b"x"), (vec!["md5"], refused.clone()));
    }
}

#[test]
fn clients_that_do_not_keep_to_it() {
    let typical = Typical::default();
    let mock = Mock::new([3; 32]);
    let open = |method| match Gate::open(
        method,
        Applicant { user: "u", secret: None, typical, end_point: None },
        &mock,
        [9; NONCE_BYTES],
    ) {
        Opening::Ask { gate, .. } => gate,
        Opening::Free(_) => panic!("asked nothing"),
    };
    let mut other = Vec::new();
    SaslInitialResponse { mechanism: b"SCRAM-SHA-256-PLUS", data: None }.encode(&mut other);
    for (method, tag, body, expected) in [
        (AuthType::ScramSha256, b'Q', &b""[..], "expected SASL response, got message type 81"),
        (AuthType::Plain, b'X', b"", "expected password response, got message type 88"),
        (
            AuthType::ScramSha256,
            b'p',
            &other[5..],
            "client selected an invalid SASL authentication mechanism",
        ),
        (AuthType::ScramSha256, b'p', b"SCRAM", "malformed SASLInitialResponse message"),
        (AuthType::Plain, b'p', b"x", "malformed PasswordMessage message"),
        (AuthType::Plain, b'p', b"\0", "empty password returned by client"),
    ] {
        match open(method).exchange(tag, body) {
            Step::Failed(Failure::Violation(error)) => assert_eq!(error.message, expected),
            step => panic!("{expected}: {step:?}"),
        }
    }
    // A client may hold its first message back and wait for an empty challenge.
    let mut silent = Vec::new();
    SaslInitialResponse { mechanism: MECHANISM, data: None }.encode(&mut silent);
    let Step::Continue { next, reply } = open(AuthType::ScramSha256).exchange(b'p', &silent[5..]) else {
        panic!("no challenge");
    };
    assert_eq!(reply, b"R\0\0\0\x08\0\0\0\x0b");
    assert!(matches!(next.exchange(b'p', b"n,,n=,r=abc"), Step::Continue { .. }));
}
