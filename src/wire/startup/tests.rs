//! First packets, good and bad.

use bytes::BytesMut;
use pgwire::messages::{Message as _, cancel, startup as theirs};
use proptest::prelude::*;

use super::*;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    untagged(&mut out, code, |out| out.extend_from_slice(body));
    out
}

fn startup(minor: u16, body: &[u8]) -> Vec<u8> {
    packet(PROTOCOL_3_0 | u32::from(minor), body)
}

/// What a packet is, as text; and that a part of it, however short, is never taken for anything.
fn check(bytes: &[u8]) -> String {
    let whole = decode(bytes);
    if let Ok(Some((_, length))) = &whole {
        for at in 0..*length {
            assert_eq!(decode(&bytes[..at]), Ok(None), "cut at {at}");
        }
    }
    match whole {
        Ok(None) => "more".to_owned(),
        Ok(Some((packet, length))) => {
            let glued = if bytes.len() > length { " and more" } else { "" };
            format!("{packet:?}{glued}")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn packets() {
    const LENGTH: &str = "invalid length of startup packet";
    const LAYOUT: &str = "invalid startup packet layout: expected terminator as last byte";
    let long = |count| startup(0, &[&b"a\0"[..], &vec![b'x'; count], b"\0\0"].concat());
    for (bytes, expected) in [
        (packet(SSL_REQUEST, b""), "SslRequest"),
        ([packet(SSL_REQUEST, b""), startup(0, b"\0")].concat(), "SslRequest and more"),
        (packet(SSL_REQUEST, b"x"), LENGTH),
        (packet(GSSENC_REQUEST, b""), "GssEncRequest"),
        (packet(CANCEL_REQUEST, b"\0\0\x01\0abcd"), "Cancel(BackendKey { pid: 256, .. })"),
        (packet(CANCEL_REQUEST, b"\0\0\x01\0abc"), LENGTH),
        (packet(CANCEL_REQUEST, b"\0\0"), LENGTH),
        (packet(CANCEL_REQUEST, &[7; 260]), "Cancel(BackendKey { pid: 117901063, .. })"),
        (packet(CANCEL_REQUEST, &[7; 261]), LENGTH),
        (
            startup(0, b"user\0u\0database\0d\0\0"),
            r#"Startup(StartupMessage 3.0 {"user": "u", "database": "d"})"#,
        ),
        (startup(2, b"a\0\0\0"), r#"Startup(StartupMessage 3.2 {"a": ""})"#),
        (startup(0, b"a\0\xff\0\0"), "Startup(StartupMessage 3.0 {\"a\": \"\u{fffd}\"})"),
        (startup(0, b"\0"), "Startup(StartupMessage 3.0 {})"),
        (startup(0, b""), LAYOUT),
        (startup(0, b"user\0u\0"), LAYOUT),
        (startup(0, b"user\0"), LAYOUT),
        (startup(0, b"user\0u\0\0x"), LAYOUT),
        (startup(0, b"user"), LAYOUT),
        (packet(2 << 16, b"user"), "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"),
        (
            packet(PROTOCOL_3_0 + (1 << 16), b"\0"),
            "unsupported frontend protocol 4.0: server supports 3.0 to 3.2",
        ),
        (b"\0\0\0\x07".to_vec(), LENGTH),
        (b"\0\0\0\x08".to_vec(), "more"),
        (b"\x16\x03\x01\x02".to_vec(), LENGTH),
        (b"GET / HTTP/1.1\r\n".to_vec(), LENGTH),
        (long(MAX_STARTUP_LENGTH - 7), LENGTH),
    ] {
        assert_eq!(check(&bytes), expected);
    }
    assert!(check(&long(MAX_STARTUP_LENGTH - 8)).starts_with("Startup"));
}

#[test]
fn parameters_are_kept_as_they_came() {
    let bytes = startup(2, b"user\0a\0x\0\xe9\0_pq_.y\x001\0user\0b\0\0");
    let Ok(Some((StartupPacket::Startup(message), _))) = decode(&bytes) else { panic!("no startup") };
    assert_eq!(message.get("user"), Some(&b"b"[..]), "the last one counts");
    assert_eq!(message.get("x"), Some(&b"\xe9"[..]));
    assert_eq!(message.get("y"), None);
    let names: Vec<_> = message.parameters().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"user"[..], b"x", b"user"]);
    assert_eq!(message.minor(), 2);
}

#[test]
fn replication_is_a_boolean_or_a_database() {
    use Replication::{Logical, Physical};
    for (value, expected) in [
        (&b"true"[..], Ok(Some(Physical))),
        (b"TR", Ok(Some(Physical))),
        (b"yes", Ok(Some(Physical))),
        (b"on", Ok(Some(Physical))),
        (b"1", Ok(Some(Physical))),
        (b"database", Ok(Some(Logical))),
        (b"false", Ok(None)),
        (b"f", Ok(None)),
        (b"no", Ok(None)),
        (b"of", Ok(None)),
        (b"0", Ok(None)),
        (b"o", Err(())),
        (b"", Err(())),
        (b"Database", Err(())),
        (b"trues", Err(())),
        (b"10", Err(())),
        (b"\xff", Err(())),
    ] {
        let bytes = startup(0, &[&b"replication\0"[..], value, b"\0\0"].concat());
        let Ok(Some((StartupPacket::Startup(message), _))) = decode(&bytes) else { panic!("no startup") };
        assert_eq!(message.replication().map_err(drop), expected, "{}", value.escape_ascii());
    }
    assert_eq!(StartupMessage::from_parameters([].into_iter()).replication(), Ok(None));
}

#[test]
fn newer_versions_and_options_are_negotiated_down() {
    use Protocol::{V3_0, V3_2};
    for (minor, body, spoken, told) in [
        (0, &b"user\0a\0\0"[..], V3_0, None),
        (1, b"user\0a\0\0", V3_0, None),
        (2, b"user\0a\0\0", V3_2, None),
        (3, b"user\0a\0\0", V3_2, Some((2, vec![]))),
        (9999, b"_pq_.a\x001\0user\0a\0_pq_.b\0\0\0", V3_2, Some((2, vec!["_pq_.a", "_pq_.b"]))),
        (2, b"_pq_.a\x001\0\0", V3_2, Some((2, vec!["_pq_.a"]))),
        (0, b"_pq_.a\x001\0\0", V3_0, Some((0, vec!["_pq_.a"]))),
    ] {
        let Ok(Some((StartupPacket::Startup(message), _))) = decode(&startup(minor, body)) else {
            panic!("no startup");
        };
        let mut out = Vec::new();
        message.encode_negotiation(&mut out);
        let mut expected = BytesMut::new();
        assert_eq!(message.protocol(), spoken, "3.{minor}");
        if let Some((newest, refused)) = told {
            let refused = refused.into_iter().map(str::to_owned).collect();
            theirs::NegotiateProtocolVersion::new((3 << 16) + newest, refused).encode(&mut expected).unwrap();
        }
        assert_eq!(out, expected, "3.{minor}");
    }
}

#[test]
fn what_we_send_is_what_pgwire_sends() {
    let (mut ours, mut expected) = (Vec::new(), BytesMut::new());
    let parameters = [("application_name", "x"), ("user", "u")];
    encode_startup(&mut ours, Protocol::V3_0, parameters.into_iter());
    let mut message = theirs::Startup::default();
    message.parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    message.encode(&mut expected).unwrap();

    let key = BackendKey::new(17, b"key!").unwrap();
    key.encode_cancel(&mut ours);
    let secret = theirs::SecretKey::I32(i32::from_be_bytes(*b"key!"));
    cancel::CancelRequest::new(17, secret).encode(&mut expected).unwrap();

    encode_ssl_request(&mut ours);
    theirs::SslRequest::new().encode(&mut expected).unwrap();
    assert_eq!(ours, expected);

    let made = StartupMessage::from_parameters(parameters.into_iter());
    assert!(matches!(decode(&ours), Ok(Some((StartupPacket::Startup(read), _))) if read == made));
}

#[test]
fn a_secret_is_not_shown() {
    let key = BackendKey::new(17, b"key!").unwrap();
    assert_eq!(format!("{key:?}"), "BackendKey { pid: 17, .. }");
    assert!(BackendKey::new(1, b"abc").is_none() && BackendKey::new(1, &[0; 257]).is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, length in 0u16..64, code in 0usize..5) {
        let codes = [PROTOCOL_3_0, SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST, 0];
        bytes.splice(0..0, codes[code].to_be_bytes());
        bytes.splice(0..0, u32::from(length).to_be_bytes());
        if let Ok(Some((packet, used))) = decode(&bytes) {
            prop_assert_eq!(used, usize::from(length));
            if let StartupPacket::Startup(message) = packet {
                message.encode_negotiation(&mut Vec::new());
                prop_assert!(message.parameters().count() <= bytes.len());
            }
        }
    }
}
