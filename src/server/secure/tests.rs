//! Servers, or those who pass for them, that do not answer the request for TLS as they should.

use parking_lot::Mutex;

use super::*;
use crate::{
    auth::secrets::{Credential, Password},
    net::{
        scripted::{Once, run, scripted},
        tls::HANDSHAKE_BYTES_MAX,
    },
    server::{ServerLogin, connect},
    tls::Version,
    wire::{message::Authentication, startup::Protocol},
};

const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

/// How a login ends with a server that says these, and what it was told; it is dialled once.
fn attempt(mode: SslMode, start: Start, turns: &[&[u8]]) -> (String, Vec<u8>) {
    let (stream, written) = scripted(turns, 0);
    let login = ServerLogin {
        user: "u".to_owned(),
        database: "d".to_owned(),
        parameters: Vec::new(),
        credential: Credential::Password(Password::new(&b"hunter2"[..])),
        protocol: Protocol::NEWEST,
        approach: Approach {
            tls: ToServers::new(mode, start, &BOTH, None, None).unwrap(),
            ..Approach::default()
        },
    };
    let dial = Once(Mutex::new(Some(stream)));
    let error = run(connect(&dial, &Address::tcp("x", 1), &login)).err().map(|error| format!("{error:?}"));
    (error.unwrap_or_default(), std::mem::take(&mut *written.lock()))
}

#[test]
fn nothing_in_the_clear_is_taken_for_what_is_inside() {
    use SslMode::{Prefer, Require};
    let mut ok = Vec::new();
    Authentication::Ok.encode(&mut ok);
    let mut password = Vec::new();
    Authentication::CleartextPassword.encode(&mut password);
    let glued = |answer: &[u8], more: &[u8]| [answer, more].concat();
    let early = "Protocol(\"received unencrypted data after SSL response\")";
    for (mode, turn, expected) in [
        (Require, glued(b"S", &ok), early),
        (Require, glued(b"S", &password), early),
        // Nor is another attempt made without TLS.
        (Prefer, glued(b"S", &ok), early),
        (Prefer, glued(b"N", &password), early),
        (Require, b"N".to_vec(), "Tls(\"the server does not have TLS (ssl = off)\")"),
        (Require, b"E\0\0\0\x05x".to_vec(), "Tls(\"the server answered the request for TLS with an error\")"),
        (Require, b"x".to_vec(), "Protocol(\"the server does not answer the request for TLS\")"),
        (Require, password.clone(), "Protocol(\"the server does not answer the request for TLS\")"),
        (Require, Vec::new(), "Unreachable(Kind(UnexpectedEof))"),
    ] {
        let (error, written) = attempt(mode, Start::Postgres, &[&turn]);
        assert_eq!(error, expected, "{mode:?} {turn:?}");
        assert_eq!(written.len(), 8, "nothing but the request for TLS is sent");
    }
    // In a turn of its own it is no TLS.
    for (start, turns) in
        [(Start::Postgres, &[&b"S"[..], &ok, &password][..]), (Start::Direct, &[&ok[..], &password])]
    {
        let (error, written) = attempt(Require, start, turns);
        assert!(error.starts_with("Tls(\"received corrupt message"), "{error}");
        assert!(!String::from_utf8_lossy(&written).contains("hunter2"));
    }
}

/// A handshake without end is ended.
#[test]
fn a_servers_handshake_is_bounded() {
    // Records of one message, a certificate of 16 MB, behind a ServerHello that is none.
    let record = [&b"\x16\x03\x03\x40\0"[..], b"\x02\xff\xff\xff", &[0; 16_380]].concat();
    let records = record.repeat(8);
    assert!(records.len() > HANDSHAKE_BYTES_MAX);
    for (start, turns) in [(Start::Postgres, &[&b"S"[..], &records][..]), (Start::Direct, &[&records[..]])] {
        let (error, _) = attempt(SslMode::Require, start, turns);
        assert!(error.starts_with("Tls("), "{error}");
    }
}
