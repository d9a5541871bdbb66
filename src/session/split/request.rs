//! The first request in what a client has sent: a Query, or a sequence up to its Sync.

use crate::wire::frame::{HEADER_BYTES, Header, cstr};

/// Messages of one request that are looked into, at most.
const MESSAGES_MAX: usize = 256;

/// What of a request decides where it belongs, message by message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'m> {
    /// Query: the text.
    Text(&'m [u8]),
    /// Parse: the name, and the text.
    Parse(&'m [u8], &'m [u8]),
    /// Bind, or Describe of a statement: its name.
    Uses(&'m [u8]),
    /// Nothing.
    Nothing,
}

/// The request at the front of `bytes`: how long it is, after `part` has heard every part of it. `None` if it is not whole,
/// of a kind that is not looked into, or `part` would hear no more.
pub fn first<'m>(bytes: &'m [u8], mut part: impl FnMut(Part<'m>) -> bool) -> Option<usize> {
    let mut at = 0;
    for count in 0..MESSAGES_MAX {
        let left = &bytes[at..];
        let header = Header::read(left).ok().flatten().filter(|header| header.total <= left.len())?;
        let body = &left[HEADER_BYTES..header.total];
        at += header.total;
        let said = match header.tag {
            b'Q' if count == 0 => Part::Text(cstr(body)?.0),
            b'P' => {
                let (name, rest) = cstr(body)?;
                Part::Parse(name, cstr(rest)?.0)
            }
            b'B' => Part::Uses(cstr(cstr(body)?.1)?.0),
            b'D' if body.first() == Some(&b'S') => Part::Uses(cstr(&body[1..])?.0),
            b'D' | b'E' | b'H' | b'S' => Part::Nothing,
            b'C' if body.first() == Some(&b'P') => Part::Nothing,
            // Closing a statement cannot be taken back; calls by number, and copies, are not looked into.
            _ => return None,
        };
        if !part(said) {
            return None;
        }
        if matches!(header.tag, b'Q' | b'S') {
            return Some(at);
        }
    }
    None
}

/// The statements that a request names, to be forgotten before it is sent again.
pub fn parsed<'m>(request: &'m [u8], mut name: impl FnMut(&'m [u8])) {
    first(request, |part| {
        if let Part::Parse(parsed, _) = part {
            name(parsed);
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::message;

    fn check(messages: &[(u8, &[u8])], expected: Option<(usize, &str)>) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        let mut parts = Vec::new();
        let length = first(&bytes, |part| {
            match part {
                Part::Text(text) => parts.push(String::from_utf8_lossy(text).into_owned()),
                Part::Parse(name, text) => {
                    let text = [name, b"=", text].concat();
                    parts.push(String::from_utf8_lossy(&text).into_owned());
                }
                Part::Uses(name) => parts.push(format!("<{}>", String::from_utf8_lossy(name))),
                Part::Nothing => {}
            }
            true
        });
        assert_eq!(length.map(|length| (length, parts.join(" "))), expected.map(|(l, p)| (l, p.to_owned())));
        for end in 0..length.unwrap_or(bytes.len()) {
            assert_eq!(first(&bytes[..end], |_| true), None, "cut at {end}");
        }
    }

    #[test]
    fn requests() {
        check(&[(b'Q', b"select 1\0"), (b'Q', b"select 2\0")], Some((14, "select 1")));
        let sequence: &[(u8, &[u8])] = &[
            (b'P', b"a\0select $1\0\0\0"),
            (b'D', b"Sa\0"),
            (b'B', b"\0a\0\0\0\0\0\0\0"),
            (b'D', b"P\0"),
            (b'E', b"\0\0\0\0\0"),
            (b'S', b""),
        ];
        check(sequence, Some((63, "a=select $1 <a> <a>")));
        check(&sequence[..5], None);
        check(&[(b'C', b"Sa\0"), (b'S', b"")], None);
        check(&[(b'C', b"P\0"), (b'S', b"")], Some((12, "")));
        check(&[(b'F', b"\0\0\0\0"), (b'S', b"")], None);
        check(&[(b'P', b"\0select 1\0\0\0"), (b'Q', b"select 1\0")], None);
    }

    #[test]
    fn what_was_parsed() {
        let request =
            [message(b'P', b"a\0select 1\0\0\0"), message(b'P', b"\0select 1\0\0\0"), message(b'S', b"")];
        let request = request.concat();
        let mut names = Vec::new();
        parsed(&request, |name| names.push(name.to_vec()));
        assert_eq!(names, [&b"a"[..], b""]);
    }
}
