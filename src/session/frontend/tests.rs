//! What a client without a server sends, and what is dropped behind an error. Whole conversations are played in
//! `tests/session_scripts`.

use super::*;
use crate::wire::frame::message;

fn long(tag: u8, begin: &[u8], total: usize) -> Vec<u8> {
    let mut body = begin.to_vec();
    body.resize(total - HEADER_BYTES, b'x');
    message(tag, &body)
}

#[test]
fn openings() {
    use Opening::{Goodbye, Incomplete, Noise, Request};
    let sync = message(b'S', b"");
    let query = long(b'Q', b"select", 2_000_000);
    let named = long(b'P', b"name\0select", 2_000_000);
    let unnamed = long(b'P', b"\0select", 2_000_000);
    let data = long(b'd', b"", 1000);
    let twice = [&data[..], &sync].concat();
    for (input, max, expected) in [
        (&b""[..], 100, Incomplete),
        (b"Q\0\0\0", 100, Incomplete),
        (&sync, 100, Request),
        (&message(b'X', b""), 100, Goodbye),
        (&query[..TEXT_BYTES_MAX - 1], 100, Incomplete),
        (&query[..TEXT_BYTES_MAX], 100, Request),
        // A named statement is kept, so it must be whole, and no server is held meanwhile.
        (&named[..1_999_999], 100, Incomplete),
        (&named, 100, Request),
        (&named[..TEXT_BYTES_MAX], 0, Request),
        (&named[..HEADER_BYTES], 0, Incomplete),
        (&unnamed[..HEADER_BYTES], 100, Incomplete),
        (&unnamed[..TEXT_BYTES_MAX], 100, Request),
        // A Parse without a body: the error is told when it is dealt with.
        (b"P\0\0\0\x04", 100, Request),
        (&message(b'H', b""), 100, Noise(5)),
        (&message(b'c', b""), 100, Noise(5)),
        (&message(b'f', b"why\0"), 100, Noise(9)),
        (&data[..10], 100, Noise(10)),
        (&twice, 100, Noise(1000)),
    ] {
        let shown = &input[..input.len().min(20)];
        assert_eq!(Frontend::default().opening(input, max), Ok(expected), "{}", shown.escape_ascii());
    }
    for input in [&b"Q\0\0\0\x03"[..], b"p\0\0\0\x08", b"\0\0\0\0\x08", b"1\0\0\0\x04"] {
        let refused = Frontend::default().opening(input, 100).map_err(|error| error.code);
        assert_eq!(refused, Err(SqlState::PROTOCOL_VIOLATION), "{}", input.escape_ascii());
    }
}

#[test]
fn the_rest_of_noise_is_noise() {
    let mut frontend = Frontend::default();
    let data = long(b'd', b"", 1000);
    let (head, tail) = data.split_at(300);
    assert_eq!(frontend.opening(head, 100), Ok(Opening::Noise(300)));
    assert_eq!(frontend.opening(&[tail, b"S\0\0\0\x04"].concat(), 100), Ok(Opening::Noise(700)));
    assert_eq!(frontend.opening(b"S\0\0\0\x04", 100), Ok(Opening::Request));
}

/// Drops what is refused, cut at every offset; what is left behind the end of it.
fn reject(input: &[u8]) -> Option<Vec<u8>> {
    let dropped = |cut: usize| {
        let (mut frontend, mut sequence, mut inbox) = (Frontend::default(), false, Vec::new());
        for (piece, to_come) in [(&input[..cut], &input[cut..]), (&input[cut..], &b""[..])] {
            inbox.extend_from_slice(piece);
            let (taken, done) = frontend.reject(&inbox, &mut sequence).unwrap();
            inbox.drain(..taken);
            if done {
                // What is still to come of a long Query is noise.
                inbox.extend_from_slice(to_come);
                while let Ok(Opening::Noise(dropped)) = frontend.opening(&inbox, 100) {
                    inbox.drain(..dropped);
                }
                return Some(inbox);
            }
        }
        None
    };
    let whole = dropped(input.len());
    for cut in 0..input.len() {
        assert_eq!(dropped(cut), whole, "cut at {cut} of {}", input.escape_ascii());
    }
    whole
}

#[test]
fn what_is_refused_ends_where_postgresql_would_end_it() {
    let (query, sync, parse) = (message(b'Q', b"select 1\0"), message(b'S', b""), message(b'P', b"\0\0\0\0"));
    let (call, data) = (message(b'F', b"12345678"), message(b'd', b"S\0\0\0\x04"));
    for (input, left) in [
        (vec![&query, &query], Some(query.clone())),
        (vec![&call, &query], Some(query.clone())),
        (vec![&parse, &query, &call], None),
        (vec![&parse, &query, &data, &sync, &query], Some(query.clone())),
        (vec![&sync, &query], Some(query.clone())),
    ] {
        let input: Vec<u8> = input.into_iter().flatten().copied().collect();
        assert_eq!(reject(&input), left, "{}", input.escape_ascii());
    }
}
