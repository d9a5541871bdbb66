//! Greetings and logins, cut at every offset.

use std::{sync::Arc, time::Duration};

use tokio::io::AsyncWriteExt as _;

use super::{Arrival, Authenticator, Caller, Greeting, Hello, LoginError, Outside, login};
use crate::{
    auth::{AuthType, Transport, mock::Mock, rules::Rules, secrets::Users},
    clock::Clock,
    net::{
        Peer, Stream,
        scripted::{run, scripted},
    },
    wire::{
        error::ServerError,
        message::encode_password,
        startup::{BackendKey, Protocol, StartupMessage, encode_ssl_request, encode_startup},
    },
};

const USER_U: [(&str, &str); 1] = [("user", "u")];

fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

fn start(parameters: &[(&str, &str)]) -> Vec<u8> {
    bytes(|out| encode_startup(out, Protocol::V3_0, parameters.iter().copied()))
}

/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the clients of these tests are.
const THERE: Peer = Peer::Unix(None);

fn newer(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut packet = start(parameters);
    packet[7] = 3;
    packet
}

fn ssl() -> Vec<u8> {
    bytes(encode_ssl_request)
}

fn gss() -> Vec<u8> {
    let mut packet = ssl();
    packet[7] = 0x30;
    packet
}

/// What comes of a client's words, and what it hears before any error.
async fn attempt(auth_type: AuthType, turns: &[&[u8]], cut: usize) -> (String, String) {
    let (stream, written) = scripted(turns, cut);
    let users = Users::parse("\"u\" \"pw\"").unwrap();
    let authenticator = Authenticator {
        rules: Arc::new(Rules::simple(auth_type)),
        secrets: Arc::new(users),
        lookup: None,
        patience: None,
        outside: Arc::new(Outside::new(Clock::boot())),
        mock: Mock::new([0; 32]),
    };
    let outcome = match Hello::read(Caller::new(stream, THERE), None).await {
        Ok(Greeting::Cancel { key, .. }) => format!("cancel {key:?}"),
        Ok(Greeting::Startup(arrival)) => match login(arrival, &authenticator, PATIENCE).await {
            Ok(client) => {
                let mut out = Vec::new();
                client.encode_authentication_ok(&mut out);
                written.lock().extend_from_slice(&out);
                format!("in {}@{} {:?}", client.user, client.database, client.unread)
            }
            Err(LoginError::Refused { error, user, reason }) => {
                format!("{error} {} {}", user.unwrap_or_default(), reason.unwrap_or_default())
            }
            Err(LoginError::Gone(error)) => format!("gone: {error}"),
        },
        Err(error) => format!("hello: {error}"),
    };
    let heard = std::mem::take(&mut *written.lock());
    let heard = match heard.iter().position(|byte| *byte == b'E') {
        Some(at) => {
            let told = ServerError::decode(&heard[at + 5..]).unwrap();
            format!("{} {}", String::from_utf8_lossy(&heard[..at]), told.code)
        }
        None => String::from_utf8_lossy(&heard).into_owned(),
    };
    (outcome, heard)
}

fn check(auth_type: AuthType, turns: &[&[u8]], outcome: &str, heard: &str) {
    for cut in 0..turns.iter().map(|turn| turn.len()).sum::<usize>().max(1) {
        let seen = run(attempt(auth_type, turns, cut));
        assert_eq!((seen.0.trim(), &*seen.1), (outcome, heard), "cut at {cut}");
    }
}

#[test]
fn greetings() {
    let (start, newer) = (start(&USER_U), newer(&[("user", "u"), ("_pq_.x", "1"), ("database", "d")]));
    let cancel = bytes(|out| BackendKey::new(7, b"abcd").unwrap().encode_cancel(out));
    const OK: &str = "R\0\0\0\u{8}\0\0\0\0";
    const IN: &str = "in u@u []";
    for (turns, outcome, heard) in [
        (&[&start[..]][..], IN, OK.to_owned()),
        (&[&ssl(), &start], IN, format!("N{OK}")),
        (&[&gss(), &start], IN, format!("N{OK}")),
        (&[&ssl(), &gss(), &start], IN, format!("NN{OK}")),
        (&[&gss(), &ssl(), &start], IN, format!("NN{OK}")),
        (&[&ssl(), &cancel], "cancel BackendKey { pid: 7, .. }", "N".to_owned()),
        (&[&cancel], "cancel BackendKey { pid: 7, .. }", String::new()),
        (&[&newer], "in u@d []", format!("v\0\0\0\u{13}\0\u{3}\0\u{2}\0\0\0\u{1}_pq_.x\0{OK}")),
        (
            &[&ssl(), &ssl()],
            "hello: unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2",
            "N 0A000".to_owned(),
        ),
        (&[b""], "hello: unexpected end of file", String::new()),
        (&[&start[..9]], "hello: unexpected end of file", String::new()),
        (&[b"GET / HTTP/1.1\r\n\r\n"], "hello: invalid length of startup packet", String::new()),
    ] {
        check(AuthType::Trust, turns, outcome, &heard);
    }
}

#[test]
fn bytes_glued_behind_a_request_for_encryption_are_refused() {
    for (packet, what) in [(ssl(), "SSL"), (gss(), "GSSAPI encryption")] {
        let glued = [packet, start(&USER_U)].concat();
        let (outcome, heard) = run(attempt(AuthType::Trust, &[&glued], 0));
        assert_eq!(outcome, format!("hello: received unencrypted data after {what} request"));
        assert_eq!(heard, " 08P01");
    }
}

#[test]
fn logins() {
    const ASKED: &str = "R\0\0\0\u{8}\0\0\0\u{3}";
    const NEGOTIATED: &str = "v\0\0\0\u{c}\0\u{3}\0\u{2}\0\0\0\0";
    let right = bytes(|out| encode_password(out, b"pw"));
    let wrong = bytes(|out| encode_password(out, b"x"));
    let long = bytes(|out| encode_password(out, &[b'x'; 65_535]));
    let nobody = start(&[("user", "nobody")]);
    let (start, newer, unnamed) = (start(&USER_U), newer(&USER_U), start(&[("database", "d")]));
    let failed = "FATAL: password authentication failed for user";
    let ok = format!("{ASKED}R\0\0\0\u{8}\0\0\0\0");
    for (turns, outcome, heard) in [
        (&[&start[..], &right][..], "in u@u []".to_owned(), ok.clone()),
        (&[&newer, &right], "in u@u []".to_owned(), format!("{NEGOTIATED}{ok}")),
        (&[&start, &wrong], format!("{failed} \"u\" (28P01) u"), format!("{ASKED} 28P01")),
        (
            &[&nobody, &right],
            format!("{failed} \"nobody\" (28P01) nobody the user is unknown"),
            format!("{ASKED} 28P01"),
        ),
        (&[&start], "gone: unexpected end of file".to_owned(), ASKED.to_owned()),
        (
            &[&unnamed],
            "FATAL: no PostgreSQL user name specified in startup packet (28000)".to_owned(),
            " 28000".to_owned(),
        ),
        (
            &[&start, b"X\0\0\0\x04"],
            "FATAL: expected password response, got message type 88 (08P01) u".to_owned(),
            format!("{ASKED} 08P01"),
        ),
    ] {
        check(AuthType::Plain, turns, &outcome, &heard);
    }
    // What a client sends before it is told that it is in is kept for the session.
    let early = [&right[..], b"Q\0\0"].concat();
    let (outcome, heard) = run(attempt(AuthType::Plain, &[&start, &early], 0));
    assert_eq!((outcome, heard), ("in u@u [81, 0, 0]".to_owned(), ok));
    let (outcome, heard) = run(attempt(AuthType::Plain, &[&start, &long], 0));
    assert_eq!(outcome.trim(), "FATAL: invalid length 65540 of message 'p' (08P01) u");
    assert_eq!(heard, format!("{ASKED} 08P01"));
    for (start, outcome) in [
        (
            &b"user\0u\0replication\0maybe\0\0"[..],
            "FATAL: invalid value for parameter \"replication\": \"maybe\" (22023)",
        ),
        (b"user\0u\0replication\0database\0\0", "in u@u []"),
        (b"user\0u\0replication\0off\0\0", "in u@u []"),
        (
            b"user\0\xff\0\0",
            "FATAL: invalid byte sequence for encoding \"UTF8\" in startup parameter \"user\" (22021)",
        ),
    ] {
        let length = u8::try_from(start.len() + 8).unwrap();
        let packet = [&[0, 0, 0, length, 0, 3, 0, 0][..], start].concat();
        assert_eq!(run(attempt(AuthType::Trust, &[&packet], 0)).0.trim(), outcome);
    }
}

/// The outcome of a login by a client whose process the kernel names, over a real socket.
async fn by_peer(user: &str) -> String {
    let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
    let peer = Peer::of_unix(&ours);
    theirs.write_all(&start(&[("user", user)])).await.unwrap();
    let Ok(Greeting::Startup(arrival)) = Hello::read(Caller::new(Stream::Unix(ours), peer), None).await
    else {
        panic!("no start-up");
    };
    let secrets = Arc::new(Users::default());
    let authenticator = Authenticator {
        rules: Arc::new(Rules::simple(AuthType::Peer)),
        secrets,
        lookup: None,
        patience: None,
        outside: Arc::new(Outside::new(Clock::boot())),
        mock: Mock::new([0; 32]),
    };
    match login(arrival, &authenticator, PATIENCE).await {
        Ok(client) => format!("in {}", client.user),
        Err(LoginError::Refused { error, reason, .. }) => {
            format!("{} {} {}", error.code, error.message, reason.unwrap())
        }
        Err(LoginError::Gone(error)) => error.to_string(),
    }
}

#[tokio::test]
async fn the_operating_system_vouches_for_a_peer() {
    let uid = nix::unistd::geteuid();
    let me = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    assert_eq!(by_peer(&me).await, format!("in {me}"));
    assert_eq!(
        by_peer("somebody").await,
        "28000 Peer authentication failed for user \"somebody\" the operating system says that it is another user's"
    );
    let (outcome, heard) = attempt(AuthType::Peer, &[&start(&USER_U)], 0).await;
    let nobody_says = "u the operating system does not say whose connection it is";
    assert_eq!(outcome, format!("FATAL: Peer authentication failed for user \"u\" (28000) {nobody_says}"));
    assert_eq!(heard, " 28000");
}

#[test]
fn futures_are_small() {
    let users = Arc::new(Users::default());
    let authenticator = Authenticator {
        rules: Arc::new(Rules::simple(AuthType::Plain)),
        secrets: users,
        lookup: None,
        patience: None,
        outside: Arc::new(Outside::new(Clock::boot())),
        mock: Mock::new([0; 32]),
    };
    let hello = size_of_val(&Hello::read(Caller::new(scripted(&[], 0).0, THERE), None));
    let (stream, startup) = (scripted(&[], 0).0, StartupMessage::from_parameters(USER_U.into_iter()));
    let login = size_of_val(&login(
        Arrival { stream, peer: THERE, startup, unread: Vec::new(), transport: Transport::Plain },
        &authenticator,
        PATIENCE,
    ));
    assert!(hello <= 640 && login <= 1024, "{hello} and {login} bytes");
}
