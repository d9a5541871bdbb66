//! Logins to servers, message by message.

use parking_lot::Mutex;

use crate::wire::frame::{put, put_cstr};
use crate::{
    auth::{
        Step,
        md5::Md5Hash,
        scram::{DEFAULT_ITERATIONS, NONCE_BYTES, ScramKeys, ScramServer, Stretch},
        secrets::{Credential, Password},
    },
    net::{
        Address,
        conveyed::{Preface, Version},
        scripted::{Once, run, scripted},
    },
    server::{
        Approach, LoginStep, ServerLogin, ServerLoginMachine, cancel, channel::Channel, connect, simple_query,
    },
    tls::ToServers,
    wire::{
        error::{PgError, SqlState},
        message::{
            Authentication, SaslInitialResponse, encode_backend_key, encode_data_row,
            encode_parameter_status, encode_ready_for_query,
        },
        startup::{BackendKey, Protocol},
    },
};

fn login(credential: Credential) -> ServerLogin {
    let parameters = vec![("application_name".to_owned(), "x".to_owned())];
    let (user, database) = ("u".to_owned(), "d".to_owned());
    ServerLogin {
        user,
        database,
        parameters,
        credential,
        protocol: Protocol::V3_2,
        approach: Approach::default(),
    }
}

fn password(text: &str) -> Credential {
    Credential::Password(Password::new(text.as_bytes()))
}

fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

fn asks(request: Authentication<'_>) -> Vec<u8> {
    bytes(|out| request.encode(out))
}

/// What a server says once it lets us in.
fn welcome() -> Vec<u8> {
    bytes(|out| {
        Authentication::Ok.encode(out);
        PgError::notice(SqlState::WARNING, "collation version mismatch").encode(out);
        encode_parameter_status(out, b"server_version", b"15.1");
        encode_parameter_status(out, b"TimeZone", b"UTC");
        encode_backend_key(out, &BackendKey::new(7, b"abcd").unwrap());
        encode_parameter_status(out, b"TimeZone", b"CET");
        encode_ready_for_query(out, b'I');
    })
}

fn refusal() -> Vec<u8> {
    bytes(|out| {
        PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "the database system is starting up").encode(out)
    })
}

/// What comes of a script, cut in two reads, and what was written.
fn attempt(credential: &Credential, turns: &[&[u8]], cut: usize) -> (String, Vec<u8>) {
    let (stream, written) = scripted(turns, cut);
    let dial = Once(Mutex::new(Some(stream)));
    let outcome = match run(connect(&dial, &Address::tcp("x", 1), &login(credential.clone()))) {
        Ok(connected) => format!("{:?} {:?}", connected.parameters, connected.key),
        Err(error) => format!("{error:?}"),
    };
    (outcome, std::mem::take(&mut *written.lock()))
}

/// What comes of a script wherever it is cut, and what was written the first time.
fn check(credential: &Credential, turns: &[&[u8]]) -> (String, Vec<u8>) {
    let whole = attempt(credential, turns, 0);
    for cut in 1..turns.iter().map(|turn| turn.len()).sum() {
        let (outcome, written) = attempt(credential, turns, cut);
        // A nonce differs each time, not in its length.
        assert_eq!((outcome, written.len()), (whole.0.clone(), whole.1.len()), "cut at {cut}");
    }
    whole
}

#[test]
fn servers_that_let_us_in() {
    let start = b"\0\0\0\x2e\0\x03\0\x02user\0u\0database\0d\0application_name\0x\0\0".to_vec();
    assert_eq!(start.len(), 0x2e);
    let md5 = asks(Authentication::Md5Password(*b"salt"));
    let hash = Md5Hash::of(b"pw", "u");
    let hashed = [&b"p\0\0\0\x28"[..], &hash.answer(*b"salt"), b"\0"].concat();
    for (credential, question, answer) in [
        (Credential::None, None, &b""[..]),
        (password("pw"), Some(asks(Authentication::CleartextPassword)), b"p\0\0\0\x07pw\0"),
        (password("pw"), Some(md5.clone()), &hashed),
        (Credential::Md5Hash(hash), Some(md5), &hashed),
    ] {
        let welcome = welcome();
        let turns: Vec<&[u8]> = question.as_deref().into_iter().chain([&welcome[..]]).collect();
        let (outcome, written) = check(&credential, &turns);
        let expected = r#"[("server_version", "15.1"), ("TimeZone", "CET")] BackendKey { pid: 7, .. }"#;
        assert_eq!(outcome, expected);
        assert_eq!(written, [&start, answer].concat());
    }
    // What a server says by itself right behind ReadyForQuery is understood, too.
    let glued = [welcome(), bytes(|out| encode_parameter_status(out, b"TimeZone", b"GMT"))].concat();
    let (outcome, _) = attempt(&Credential::None, &[&glued], 0);
    assert!(outcome.contains(r#"("TimeZone", "GMT")"#), "{outcome}");
    let (outcome, _) = attempt(&Credential::None, &[&[welcome(), refusal()].concat()], 0);
    assert!(outcome.starts_with("Unreachable(Custom { kind: Other, error: ServerError"), "{outcome}");
}

/// NegotiateProtocolVersion for this version of protocol 3, with these options refused.
fn negotiates(minor: u8, refused: &[&str]) -> Vec<u8> {
    bytes(|out| {
        put(out, b'v', |out| {
            out.extend_from_slice(&[0, 3, 0, minor, 0, 0, 0, u8::try_from(refused.len()).unwrap()]);
            refused.iter().for_each(|name| put_cstr(out, name.as_bytes()));
        });
    })
}

#[test]
fn versions_of_the_protocol() {
    let long = BackendKey::new(7, &[9; 256]).unwrap();
    let keyed = bytes(|out| {
        Authentication::Ok.encode(out);
        encode_backend_key(out, &long);
        encode_ready_for_query(out, b'I');
    });
    let (outcome, _) = check(&Credential::None, &[&keyed]);
    assert_eq!(outcome, "[] BackendKey { pid: 7, .. }", "a key as long as the protocol allows");
    let in_ = r#"[("server_version", "15.1"), ("TimeZone", "CET")] BackendKey"#;
    let unasked = "Protocol(\"the server negotiates for what was not asked";
    let late = "Protocol(\"the server negotiates the protocol's version too late";
    let (older, ok) = (negotiates(0, &[]), asks(Authentication::Ok));
    for (script, expected) in [
        ([&older[..], &welcome()].concat(), in_),
        ([&negotiates(2, &[])[..], &welcome()].concat(), in_),
        ([&negotiates(2, &[])[..], &older, &welcome()].concat(), in_),
        ([&older[..], &negotiates(2, &[])].concat(), unasked),
        (negotiates(1, &[]), unasked),
        (negotiates(3, &[]), unasked),
        (negotiates(0, &["_pq_.x"]), unasked),
        ([&ok[..], &older].concat(), late),
        (b"v\0\0\0\x0c\0\x02\0\0\0\0\0\0".to_vec(), unasked),
        (b"v\0\0\0\x0c\0\x03\0\0\0\0\0\x01".to_vec(), "Protocol(\"malformed NegotiateProtocolVersion"),
        (b"v\0\0\0\x0c\0\x03\0\0\xff\0\0\0".to_vec(), "Protocol(\"malformed NegotiateProtocolVersion"),
    ] {
        let (outcome, _) = check(&Credential::None, &[&script]);
        assert!(outcome.starts_with(expected), "{outcome}");
    }
}

#[test]
fn servers_that_do_not() {
    let plain = asks(Authentication::CleartextPassword);
    let scram = asks(Authentication::SCRAM_SHA_256);
    let other = bytes(|out| {
        put(out, b'R', |out| out.extend_from_slice(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0OAUTHBEARER\0\0"));
    });
    let skipped = bytes(|out| encode_parameter_status(out, b"a", b"b"));
    let ok = asks(Authentication::Ok);
    let keyless = [&ok[..], b"Z\0\0\0\x05I"].concat();
    let endless =
        [&ok[..], &bytes(|out| encode_parameter_status(out, b"a", &[b'x'; 60_000])).repeat(5)].concat();
    let none = || Credential::None;
    for (credential, turns, expected) in [
        (none(), vec![&refusal()[..]], "Refused(ServerError { severity: Fatal, code: 57P03"),
        (password("x"), vec![&plain, &refusal()], "Refused(ServerError { severity: Fatal, code: 57P03"),
        (none(), vec![&b""[..]], "Unreachable(Kind(UnexpectedEof))"),
        (none(), vec![&ok[..]], "Unreachable(Kind(UnexpectedEof))"),
        (none(), vec![&plain[..]], "Credential(\"the server asks for the password, and we have no secret"),
        (none(), vec![&scram[..]], "Credential(\"the server asks for SCRAM-SHA-256, and we have no secret"),
        (
            none(),
            vec![&other[..]],
            "Credential(\"the server offered SCRAM-SHA-256-PLUS over a connection without TLS",
        ),
        (
            none(),
            vec![&b"R\0\0\0\x08\0\0\0\x07"[..]],
            "Credential(\"the server's pg_hba.conf wants GSSAPI of this user, which",
        ),
        (password("x"), vec![&scram, &ok], "Protocol(\"unexpected authentication message Ok"),
        (none(), vec![&skipped[..]], "Protocol(\"the server skipped authentication"),
        (none(), vec![&keyless[..]], "Protocol(\"the server gave no key"),
        (none(), vec![&b"R\0\0\0\x05\0"[..]], "Protocol(\"malformed Authentication message"),
        (none(), vec![&b"E\0\0\0\x05x"[..]], "Protocol(\"malformed ErrorResponse message"),
        (none(), vec![&b"HTTP/1.1 400"[..]], "Protocol(\"invalid length 1414811695 of message 'H'"),
        (none(), vec![&b"Q\0\0\0\x04"[..]], "Protocol(\"unexpected message 'Q' during login"),
    ] {
        let (outcome, _) = check(&credential, &turns);
        assert!(outcome.starts_with(expected), "{outcome}");
    }
    let (outcome, _) = attempt(&Credential::None, &[&endless], 0);
    assert_eq!(outcome, "Protocol(\"the server says too much during login\")");
}

/// A server that asks for SCRAM; `tamper` may change its last word.
fn scram(credential: &Credential, tamper: impl FnOnce(&mut Vec<u8>)) -> Result<String, String> {
    let stretch = Stretch { salt: b"salt".as_slice().into(), iterations: DEFAULT_ITERATIONS };
    let verifier = std::sync::Arc::new(ScramKeys::derive(b"pw", stretch).verifier());
    let server = ScramServer::new(verifier, [5; NONCE_BYTES], None);
    let (machine, _) =
        ServerLoginMachine::start(&login(credential.clone()), Channel::Plain, [4; NONCE_BYTES]);
    let advance = |machine: ServerLoginMachine, request: Authentication<'_>| match machine
        .exchange(b'R', &asks(request)[5..])
    {
        LoginStep::Continue { next, send } => Ok((next, send)),
        LoginStep::Derive(derivation) => Ok(derivation.run()),
        LoginStep::Failed(error) => Err(format!("{error:?}")),
        LoginStep::Ready(_) => Err("too early".to_owned()),
    };
    let (machine, send) = advance(machine, Authentication::SCRAM_SHA_256)?;
    let first = SaslInitialResponse::decode(&send[5..]).unwrap().data.unwrap();
    let Step::Continue { next: server, reply } = server.exchange(first) else { panic!("no challenge") };
    let (machine, send) = advance(machine, Authentication::SaslContinue(&reply))?;
    let mut last = match server.exchange(&send[5..]) {
        Step::Done(done) => done.reply,
        step => return Err(format!("{step:?}")),
    };
    tamper(&mut last);
    let (machine, _) = advance(machine, Authentication::SaslFinal(&last))?;
    let (_, send) = advance(machine, Authentication::Ok)?;
    Ok(String::from_utf8(send).unwrap())
}

#[test]
fn scram_proves_both_sides() {
    let keys = |salt: &[u8]| {
        let stretch = Stretch { salt: salt.into(), iterations: DEFAULT_ITERATIONS };
        Credential::ScramKeys(ScramKeys::derive(b"pw", stretch).into())
    };
    for credential in [password("pw"), keys(b"salt")] {
        assert_eq!(scram(&credential, |_| {}), Ok(String::new()));
        let outcome = scram(&credential, |last| last[5] ^= 1);
        assert_eq!(outcome, Err("Protocol(\"the server's SCRAM signature is wrong\")".to_owned()));
    }
    assert_eq!(scram(&password("other"), |_| {}), Err("Failed(WrongPassword)".to_owned()));
    let outcome = scram(&keys(b"other"), |_| {});
    assert!(
        outcome.is_err_and(|error| error.starts_with("Credential(\"the user's SCRAM secret on the server"))
    );
}

#[test]
fn queries() {
    let row = bytes(|out| encode_data_row(out, &[Some(b"1"), None]));
    let error = bytes(|out| PgError::error(SqlState::SYNTAX_ERROR, "no").encode(out));
    let fatal = bytes(|out| PgError::fatal(SqlState::ADMIN_SHUTDOWN, "bye").encode(out));
    let status = bytes(|out| encode_parameter_status(out, b"a", b"1"));
    let (idle, done) = (&b"Z\0\0\0\x05I"[..], &b"C\0\0\0\x05\0"[..]);
    let answered = |rows: &str, parameters: &str, status| {
        format!("Ok(Answer {{ rows: [{rows}], parameters: [{parameters}], status: {status} }})")
    };
    for (script, expected) in [
        ([&b"T\0\0\0\x06\0\0"[..], &row, done, idle].concat(), answered(r#"[Some("1"), None]"#, "", 73)),
        ([&status, done, b"Z\0\0\0\x05T"].concat(), answered("", r#"("a", "1")"#, 84)),
        ([b"I\0\0\0\x04", idle, &status, b"N\0\0\0\x05\0"].concat(), answered("", r#"("a", "1")"#, 73)),
        ([&row, &error, idle].concat(), "Err(Server(ServerError { severity: Error, code: 42601".to_owned()),
        ([&error[..]].concat(), "Err(Broken(Kind(UnexpectedEof)))".to_owned()),
        (
            [&fatal[..]].concat(),
            "Err(Broken(Custom { kind: Other, error: ServerError { severity: Fatal".to_owned(),
        ),
        (
            [idle, &fatal].concat(),
            "Err(Broken(Custom { kind: Other, error: ServerError { severity: Fatal".to_owned(),
        ),
        ([idle, b"S\0\0"].concat(), "Err(Broken(Kind(UnexpectedEof)))".to_owned()),
        (b"G\0\0\0\x04".to_vec(), "Err(Broken(Custom { kind: InvalidData".to_owned()),
        (b"D\0\0\0\x05x".to_vec(), "Err(Broken(Custom { kind: InvalidData".to_owned()),
        (b"D\0\x20\0\0".to_vec(), "Err(Broken(Custom { kind: InvalidData".to_owned()),
    ] {
        // Cut right behind ReadyForQuery, what follows has not come yet and is none of the query's business.
        let ready = script.windows(5).position(|at| at == &idle[..5]).map(|at| at + idle.len());
        for cut in (0..script.len()).filter(|cut| Some(*cut) != ready) {
            let (mut stream, written) = scripted(&[&script], cut);
            let outcome = format!("{:?}", run(simple_query(&mut stream, "q")));
            assert!(outcome.starts_with(&expected), "{outcome}");
            assert_eq!(*written.lock(), b"Q\0\0\0\x06q\0");
        }
    }
    let endless = bytes(|out| encode_data_row(out, &[Some(&[b'x'; 1000])])).repeat(1100);
    let (mut stream, _) = scripted(&[&endless], 0);
    let outcome = format!("{:?}", run(simple_query(&mut stream, "q")));
    assert!(outcome.starts_with("Err(Broken(Custom { kind: InvalidData"), "{outcome}");
}

#[test]
fn a_cancel_request_waits_for_the_end() {
    let (stream, written) = scripted(&[b"E\0\0\0\x05\0"], 0);
    let dial = Once(Mutex::new(Some(stream)));
    let key = BackendKey::new(7, b"abcd").unwrap();
    assert!(
        run(cancel(
            &dial,
            &Address::tcp("x", 1),
            &Approach { preface: Preface::Own(Version::V1), tls: ToServers::default() },
            &key
        ))
        .is_ok()
    );
    assert_eq!(*written.lock(), b"PROXY UNKNOWN\r\n\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07abcd");
    assert!(run(cancel(&dial, &Address::tcp("x", 1), &Approach::default(), &key)).is_err(), "nobody there");
}
