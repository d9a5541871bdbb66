//! SCRAM against the RFC and against other implementations.

use std::sync::Arc;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::*;
use crate::auth::{
    Failure, Step,
    mock::Mock,
    secrets::{Password, SecretKind, Typical},
};
use crate::tls::EndPoint;

// RFC 7677, section 3: user "user", password "pencil".
pub(super) const CLIENT_FIRST_BARE: &[u8] = b"n=user,r=rOprNGfwEbeRWgbNEkqO";
pub(super) const SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
pub(super) const AUTHENTICATED: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
pub(super) const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

pub(super) fn rfc7677() -> ScramKeys {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().into();
    ScramKeys::derive(b"pencil", Stretch { salt, iterations: DEFAULT_ITERATIONS })
}

fn stretch() -> Stretch {
    Stretch { salt: b"0123456789abcdef".as_slice().into(), iterations: NonZeroU32::new(7).unwrap() }
}

fn server(verifier: ScramVerifier) -> ScramServer {
    ScramServer::new(Arc::new(verifier), [7; NONCE_BYTES], None)
}

/// Plays our client's part against our server; what each side thinks of the other.
fn play((client, first): (ScramClient, Vec<u8>), server: ScramServer) -> Result<ScramKeys, String> {
    let Step::Continue { next: server, reply } = server.exchange(&first) else {
        return Err("first message".to_owned());
    };
    let (client, last) = match client.exchange(&reply) {
        ClientStep::Continue { next, reply } => (next, reply),
        ClientStep::Derive(derivation) => derivation.run(),
        ClientStep::Failed(error) => return Err(error.to_string()),
        ClientStep::Done => return Err("too early".to_owned()),
    };
    match server.exchange(&last) {
        Step::Done(done) => match client.exchange(&done.reply) {
            ClientStep::Done => Ok(done.keys),
            step => Err(format!("{step:?}")),
        },
        Step::Failed(failure) => Err(format!("{failure:?}")),
        Step::Continue { .. } => Err("too long".to_owned()),
    }
}

#[test]
fn passwords_and_keys_log_in_and_wrong_ones_do_not() {
    for password in ["pencil", "", "pa ss", "Gr\u{fc}\u{df}e", "I\u{ad}X", "\u{7}bell", "\u{00a0}x", "\u{ad}"]
    {
        let keys = ScramKeys::derive(password.as_bytes(), stretch());
        let with = |text: &str| {
            ScramClient::with_password(Password::new(text.as_bytes()), [1; NONCE_BYTES], Binding::Impossible)
        };
        let gained = play(with(password), server(keys.verifier()));
        assert_eq!(gained.as_ref(), Ok(&keys), "{password:?}");
        // What the exchange yields logs in again.
        let again = ScramClient::with_keys(Arc::new(gained.unwrap()), [2; NONCE_BYTES], Binding::Impossible);
        assert_eq!(play(again, server(keys.verifier())), Ok(keys.clone()));
        assert_eq!(play(with("other"), server(keys.verifier())), Err("WrongPassword".to_owned()));
    }
}

#[test]
fn a_password_is_stretched_once_for_one_server() {
    let verifier = || ScramVerifier::derive(b"pencil", stretch());
    let password = Password::new(b"pencil".as_slice());
    let begin = || ScramClient::with_password(password.clone(), [1; NONCE_BYTES], Binding::Impossible);
    assert!(play(begin(), server(verifier())).is_ok());
    let (client, first) = begin();
    let Step::Continue { reply, .. } = server(verifier()).exchange(&first) else { panic!("no challenge") };
    assert!(matches!(client.exchange(&reply), ClientStep::Continue { .. }));
}

#[test]
fn postgres_protocol_as_client() {
    let secret = postgres_protocol::password::scram_sha_256(b"Gr\xc3\xbc\xc3\x9fe");
    let verifier = ScramVerifier::parse(&secret).unwrap();
    assert_eq!(verifier.to_string(), secret);
    assert!(verifier.is_of("Gr\u{fc}\u{df}e".as_bytes()) && !verifier.is_of(b"x"));
    // "n" and "y": without TLS a client that could bind channels says so, and PostgreSQL lets it in.
    for binding in [ChannelBinding::unsupported, ChannelBinding::unrequested] {
        for (password, right) in [(&b"Gr\xc3\xbc\xc3\x9fe"[..], true), (b"wrong", false)] {
            let mut client = ScramSha256::new(password, binding());
            let Step::Continue { next, reply } = server(verifier.clone()).exchange(client.message()) else {
                panic!("no challenge");
            };
            client.update(&reply).unwrap();
            match next.exchange(client.message()) {
                Step::Done(done) if right => client.finish(&done.reply).unwrap(),
                Step::Failed(failure) if !right => assert_eq!(failure, Failure::WrongPassword),
                step => panic!("{step:?}"),
            }
        }
    }
}

#[test]
fn unknown_users_look_like_others() {
    let typical = Typical { kind: SecretKind::Scram, iterations: DEFAULT_ITERATIONS };
    let mock = Mock::new([1; 32]);
    let challenge = |verifier: Arc<ScramVerifier>| {
        let server = ScramServer::new(verifier, [7; NONCE_BYTES], None);
        match server.exchange(b"n,,n=,r=abc") {
            Step::Continue { reply, .. } => String::from_utf8(reply).unwrap(),
            step => panic!("{step:?}"),
        }
    };
    let asked = challenge(mock.verifier("nobody", typical));
    assert_eq!(asked, challenge(mock.verifier("nobody", typical)), "the same at every attempt");
    assert_ne!(asked, challenge(mock.verifier("somebody", typical)));
    assert_ne!(asked, challenge(Mock::new([2; 32]).verifier("nobody", typical)), "other in another process");
    let real = ScramVerifier::parse(&postgres_protocol::password::scram_sha_256(b"x")).unwrap();
    assert_eq!(asked.len(), challenge(Arc::new(real)).len());
    let with =
        ScramClient::with_password(Password::new(b"x".as_slice()), [1; NONCE_BYTES], Binding::Impossible);
    let exchange = play(with, ScramServer::new(mock.verifier("nobody", typical), [7; NONCE_BYTES], None));
    assert_eq!(exchange, Err("WrongPassword".to_owned()));
}

#[test]
fn clients_that_do_not_keep_to_it() {
    let challenged = b"n,,n=,r=abc";
    let nonce = format!("abc{}", STANDARD.encode([7; NONCE_BYTES]));
    let long = format!("c=biws,r={nonce},p=AAAA");
    let bound = format!("c=eSws,r={nonce},p=AAAA");
    for (messages, expected) in [
        (&[&b""[..]][..], "malformed SCRAM message|The message is empty."),
        (&[b"n,,n=,r=a\0c"], "malformed SCRAM message|Message length does not match input length."),
        (&[b"x,,n=,r=abc"], "malformed SCRAM message|Unexpected channel-binding flag."),
        (&[b"nn"], "malformed SCRAM message|Comma expected, but found another character."),
        (&[b"p=tls-unique,,n=,r=abc"], "malformed SCRAM message|The client selected SCRAM-SHA-256 without"),
        (&[b"n,a=me,n=,r=abc"], "client uses authorization identity, but it is not supported"),
        (&[b"n,,m=x,n=,r=abc"], "client requires an unsupported SCRAM extension"),
        (&[b"n,,r=abc"], "malformed SCRAM message|Expected the attribute \"n\"."),
        (&[b"n,,n=,x=abc"], "malformed SCRAM message|Expected the attribute \"r\"."),
        (&[b"n,,n=,r="], "non-printable characters in SCRAM nonce"),
        (&[b"n,,n=,r=\xc3\xa9"], "non-printable characters in SCRAM nonce"),
        (&[challenged, b"r=abc"], "malformed SCRAM message|Expected the attribute \"c\"."),
        (&[challenged, bound.as_bytes()], "unexpected SCRAM channel-binding attribute"),
        (&[challenged, b"c=biws,r=abc,p=AAAA"], "invalid SCRAM response|Nonce does not match."),
        (&[challenged, long.as_bytes()], "malformed SCRAM message|Malformed proof"),
        (&[challenged, &long.as_bytes()[..36]], "malformed SCRAM message|Expected the attribute \"p\"."),
    ] {
        let mut server = server(rfc7677().verifier());
        let (last, before) = messages.split_last().unwrap();
        for message in before {
            server = match server.exchange(message) {
                Step::Continue { next, .. } => next,
                step => panic!("{step:?}"),
            };
        }
        match server.exchange(last) {
            Step::Failed(Failure::Violation(error)) => {
                let text = format!("{}|{}", error.message, error.detail.unwrap_or_default());
                assert!(text.starts_with(expected), "{text}");
            }
            step => panic!("{expected}: {step:?}"),
        }
    }
}

#[test]
fn texts_that_are_no_verifier() {
    let right = rfc7677().verifier().to_string();
    assert!(ScramVerifier::parse(&right).is_some());
    for text in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:c2FsdA==$AAAA:AAAA", "md5"] {
        assert!(ScramVerifier::parse(text).is_none(), "{text}");
    }
    for at in 0..right.len() {
        assert!(ScramVerifier::parse(&right[..at]).is_none(), "cut at {at}");
    }
    let shown = format!("{:?} {:?}", rfc7677(), rfc7677().verifier());
    assert_eq!(shown, "ScramKeys { iterations: 4096, .. } ScramVerifier { iterations: 4096, .. }");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(first: Vec<u8>, tail: Vec<u8>) {
        let verifier = || ScramVerifier::from_noise(stretch(), [0; KEY_BYTES]);
        for first in [&first[..], &[b"n,,", &first[..]].concat(), b"n,,n=,r=abc"] {
            if let Step::Continue { next, reply } = server(verifier()).exchange(first) {
                let nonce = reply.split(|byte| *byte == b',').next().unwrap_or_default();
                next.exchange(&[b"c=biws,", nonce, b",", &tail].concat());
            }
        }
        let keys = Arc::new(ScramKeys::derive(b"x", stretch()));
        let client = || ScramClient::with_keys(Arc::clone(&keys), [0; NONCE_BYTES], Binding::Impossible).0;
        for message in [&tail[..], &[&b"r="[..], &[b'A'; 24], &tail].concat()] {
            client().exchange(message);
        }
    }
}

const HERE: &[u8] = b"hash of a certificate";

fn end_point() -> Option<EndPoint> {
    Some(EndPoint::from_bytes(HERE))
}

/// How a login of another implementation's client ends.
fn bound(mechanism: &[u8], binding: ChannelBinding, offered: Option<EndPoint>, password: &[u8]) -> String {
    let server = ScramServer::new(Arc::new(rfc7677().verifier()), [7; NONCE_BYTES], offered);
    let Some(server) = server.choose(mechanism) else { return "not offered".to_owned() };
    let mut client = ScramSha256::new(password, binding);
    let server = match server.exchange(client.message()) {
        Step::Continue { next, reply } => {
            client.update(&reply).unwrap();
            next
        }
        Step::Failed(failure) => return told(failure),
        Step::Done(_) => return "too early".to_owned(),
    };
    match server.exchange(client.message()) {
        Step::Done(done) => {
            client.finish(&done.reply).map_or_else(|error| error.to_string(), |()| "in".to_owned())
        }
        Step::Failed(failure) => told(failure),
        Step::Continue { .. } => "too long".to_owned(),
    }
}

fn told(failure: Failure) -> String {
    let error = failure.to_client("u");
    format!("{} {}", error.code.as_str(), error.message)
}

#[test]
fn logins_are_bound_to_their_connection() {
    let here = || ChannelBinding::tls_server_end_point(HERE.to_vec());
    let elsewhere = || ChannelBinding::tls_server_end_point(b"another certificate".to_vec());
    for (mechanism, binding, offered, password, outcome) in [
        (MECHANISM_PLUS, here(), end_point(), &b"pencil"[..], "in"),
        (
            MECHANISM_PLUS,
            here(),
            end_point(),
            b"wrong",
            "28P01 password authentication failed for user \"u\"",
        ),
        // Somebody in the middle, whose certificate the client has seen.
        (MECHANISM_PLUS, elsewhere(), end_point(), b"pencil", "28000 SCRAM channel binding check failed"),
        (
            MECHANISM_PLUS,
            ChannelBinding::unsupported(),
            end_point(),
            b"pencil",
            "08P01 malformed SCRAM message",
        ),
        (MECHANISM_PLUS, here(), None, b"pencil", "not offered"),
        (MECHANISM, ChannelBinding::unsupported(), end_point(), b"pencil", "in"),
        // Somebody in the middle has taken our offer away.
        (
            MECHANISM,
            ChannelBinding::unrequested(),
            end_point(),
            b"pencil",
            "28000 SCRAM channel binding negotiation error",
        ),
        (MECHANISM, ChannelBinding::unrequested(), None, b"pencil", "in"),
        (MECHANISM, here(), end_point(), b"pencil", "08P01 malformed SCRAM message"),
        (b"SCRAM-SHA-1", ChannelBinding::unsupported(), end_point(), b"pencil", "not offered"),
    ] {
        let name = String::from_utf8_lossy(mechanism);
        assert_eq!(bound(mechanism, binding, offered, password), outcome, "{name}");
    }
}

/// Our client against our server.
#[test]
fn we_bind_our_logins() {
    let server = |offered, mechanism| {
        let server = ScramServer::new(Arc::new(rfc7677().verifier()), [7; NONCE_BYTES], offered);
        server.choose(mechanism).unwrap()
    };
    let client =
        |binding| ScramClient::with_password(Password::new(b"pencil".as_slice()), [1; NONCE_BYTES], binding);
    let there = EndPoint::from_bytes(b"another");
    for (binding, offered, mechanism, outcome) in [
        (Binding::Bound(EndPoint::from_bytes(HERE)), end_point(), MECHANISM_PLUS, Ok(())),
        (Binding::Bound(there), end_point(), MECHANISM_PLUS, Err("SCRAM channel binding check failed")),
        (Binding::NotOffered, end_point(), MECHANISM, Err("first message")),
        (Binding::NotOffered, None, MECHANISM, Ok(())),
        (Binding::Impossible, end_point(), MECHANISM, Ok(())),
    ] {
        let played = play(client(binding.clone()), server(offered, mechanism)).map(drop);
        match (played, outcome) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{binding:?}: {error}"),
            (played, _) => panic!("{binding:?}: {played:?}"),
        }
    }
}

/// A gs2 header for a type of binding that nobody offers, and ones that are cut.
#[test]
fn headers_of_bound_logins() {
    for (message, expected) in [
        (&b"p=tls-unique,,n=,r=abc"[..], "unsupported SCRAM channel-binding type"),
        (b"p=tls-server-end-point", "unsupported SCRAM channel-binding type"),
        (b"p=tls-server-end-point,", "malformed SCRAM message"),
        (
            b"p=tls-server-end-point,a=me,n=,r=abc",
            "client uses authorization identity, but it is not supported",
        ),
    ] {
        let server = ScramServer::new(Arc::new(rfc7677().verifier()), [7; NONCE_BYTES], end_point());
        match server.choose(MECHANISM_PLUS).unwrap().exchange(message) {
            Step::Failed(failure) => assert_eq!(failure.to_client("u").message, expected),
            step => panic!("{step:?}"),
        }
    }
}
