//! Whether a server refuses a statement that we put in another's place, before anything else is said; or the whole session.

use super::WHOLE_BYTES_MAX;
use crate::wire::{
    error::ServerError,
    frame::{HEADER_BYTES, Header, Malformed, cstr},
};

/// What the next message says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too few bytes to tell.
    Unclear,
    /// Nothing: it comes at any time.
    Aside,
    /// It is not refused.
    None,
    /// It is, in so many bytes.
    Refused(usize),
}

/// Classes of errors (SQLSTATE) that a statement parsed long ago can meet where one parsed now would not: the type of its
/// result has changed, what it names is another, it is not there, its parameters' types are gone.
const CLASSES: [&[u8]; 4] = [b"0A", b"26", b"42", b"XX"];

/// Reads on from `header`, which stands at the front of `left`. Describing a statement, PostgreSQL tells its parameters
/// before it finds that its result has changed.
pub(super) fn read(header: Header, left: &[u8]) -> Result<Refusal, Malformed> {
    match header.tag {
        b'N' | b'A' | b'S' => Ok(Refusal::Aside),
        b'E' => Ok(error(header, left)),
        b't' => {
            let Some(rest) = left.get(header.total..) else { return Ok(Refusal::Unclear) };
            match Header::read(rest)? {
                None => Ok(Refusal::Unclear),
                Some(next) if next.tag == b'E' => Ok(match error(next, rest) {
                    Refusal::Refused(bytes) => Refusal::Refused(header.total + bytes),
                    other => other,
                }),
                Some(_) => Ok(Refusal::None),
            }
        }
        _ => Ok(Refusal::None),
    }
}

fn error(header: Header, left: &[u8]) -> Refusal {
    if header.total > WHOLE_BYTES_MAX {
        return Refusal::None;
    }
    let Some(message) = left.get(HEADER_BYTES..header.total) else { return Refusal::Unclear };
    match ServerError::decode(message) {
        Some(error) if is_of_age(&error) => Refusal::Refused(header.total),
        _ => Refusal::None,
    }
}

/// Whether an error may be due to when a statement was parsed.
pub(super) fn is_of_age(error: &ServerError) -> bool {
    CLASSES.iter().any(|class| error.code.as_str().as_bytes().starts_with(class))
}

/// Whether an ErrorResponse ends the session (documentation, "Error and Notice Message Fields": V is never
/// translated).
pub(super) fn is_fatal(message: &[u8]) -> bool {
    let mut fields = &message[HEADER_BYTES..];
    while let Some((field, rest)) = fields.split_first() {
        let Some((text, rest)) = cstr(rest) else { return false };
        if *field == b'V' {
            return matches!(text, b"FATAL" | b"PANIC");
        }
        fields = rest;
    }
    false
}
