//! What messages need to be dealt with, and what is said of those that cannot be.

use super::{
    HEADER_BYTES, Header, PgError, Pipeline, STATEMENT_BYTES_MAX, SqlState, TEXT_BYTES_MAX, WHOLE_BYTES_MAX,
    cstr,
};
use crate::wire::frame::Malformed;

/// The bytes a message needs before it can be dealt with.
pub(super) fn bytes_needed(header: Header, left: &[u8], max_prepared_statements: usize) -> usize {
    match header.tag {
        // A named statement is kept, so it must be whole; until its name is there that is not known.
        b'P' if max_prepared_statements > 0 => match left.get(HEADER_BYTES) {
            Some(0) => header.total.min(TEXT_BYTES_MAX),
            Some(_) => header.total.min(STATEMENT_BYTES_MAX),
            None => header.total.min(HEADER_BYTES + 1),
        },
        b'Q' | b'P' => header.total.min(TEXT_BYTES_MAX),
        tag if is_request(tag) => header.total.min(WHOLE_BYTES_MAX),
        // Passed on as it comes, or refused.
        _ => HEADER_BYTES,
    }
}

/// The types of message that ask a server for something (documentation, "Message Formats").
pub(super) const fn is_request(tag: u8) -> bool {
    matches!(tag, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'S' | b'F')
}

/// Those that a client may send once it has logged in, but for its goodbye.
pub(super) const fn is_of_client(tag: u8) -> bool {
    is_request(tag) || matches!(tag, b'd' | b'c' | b'f' | b'H')
}

pub(super) fn invalid_type(tag: u8) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid frontend message type {tag}"))
}

pub(super) fn invalid_length(error: Malformed) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid message length: {error}"))
}

/// What SQL uses statements by.
const BY_SQL: [&[u8]; 3] = [b"prepare", b"execute", b"deallocate"];

/// Whether a message must wait: until it is known which statements there are, or which transaction it is part of.
pub(super) fn must_wait(pipeline: &Pipeline, tag: u8, message: &[u8]) -> bool {
    let uses_unnamed = || {
        let body = message.get(HEADER_BYTES..).unwrap_or_default();
        match tag {
            b'B' => cstr(body).is_some_and(|(_, rest)| rest.first() == Some(&0)),
            b'D' => body.starts_with(b"S\0"),
            _ => false,
        }
    };
    let uses_named = || match tag {
        b'P' | b'B' | b'D' | b'C' => true,
        b'Q' => BY_SQL.iter().any(|word| {
            let is_word = |part: &[u8]| part.eq_ignore_ascii_case(word);
            message.windows(word.len()).any(is_word)
        }),
        _ => false,
    };
    (pipeline.statements_are_unsettled() && uses_named())
        || (pipeline.unnamed_is_unsettled() && uses_unnamed())
        || (pipeline.block_is_unclear() && is_request(tag))
}

/// A Parse of a named statement that is too long.
pub(super) fn too_long_to_keep() -> PgError {
    PgError::fatal(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a named prepared statement may have {STATEMENT_BYTES_MAX} bytes at most"),
    )
    .detail("pgsteer keeps its text, to prepare it on other servers.")
    .hint("Send it without a name.")
}
