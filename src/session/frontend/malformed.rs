//! Messages that are not laid out as their type says.
//!
//! PostgreSQL reads a message before it looks at what that names (`PostgresMain`), and answers one that it cannot read with
//! an error as any other (08P01), up to Sync or for a Query alone. So such a message goes to the server as it stands,
//! names and all, and nothing is noted of it. Only of a Bind it looks up the statement before it reads the values; that
//! is one whose names can be read here, too, and goes the way of any Bind.

use super::{Conduct, Frontend, Header, Owed, Passage, PgError, SqlState, cstr, messages::invalid_length};
use crate::wire::frame::Malformed;

/// Bytes of the longest message of most types, its length included and its tag not (`PQ_SMALL_MESSAGE_LIMIT`).
const SMALL_BYTES_MAX: usize = 10_000;

/// The header at the start of what a client has sent, if its length is one that PostgreSQL takes.
#[inline]
pub(super) fn header(bytes: &[u8]) -> Result<Option<Header>, PgError> {
    let header = Header::read(bytes).map_err(invalid_length)?;
    match header {
        Some(Header { tag, total }) if total > SMALL_BYTES_MAX + 1 && is_small(tag) => {
            let length = u32::try_from(total - 1).unwrap_or(u32::MAX);
            Err(invalid_length(Malformed { tag, length }))
        }
        _ => Ok(header),
    }
}

/// The types of message of which PostgreSQL takes no long one (`SocketBackend`).
const fn is_small(tag: u8) -> bool {
    matches!(tag, b'C' | b'D' | b'E' | b'H' | b'S' | b'c' | b'f')
}

/// What follows the text in a Parse: a count, and so many types.
pub(super) fn are_types(bytes: &[u8]) -> bool {
    let count = bytes.split_first_chunk();
    count.is_some_and(|(count, types)| types.len() == usize::from(u16::from_be_bytes(*count)) * 4)
}

/// The body of an Execute: a portal's name, and how many rows.
pub(super) fn is_execute(body: &[u8]) -> bool {
    cstr(body).is_some_and(|(_, rows)| rows.len() == 4)
}

/// The text of a Query, with nothing behind it.
pub(super) fn text_of_query(body: &[u8]) -> Option<&[u8]> {
    cstr(body).filter(|(_, behind)| behind.is_empty()).map(|(text, _)| text)
}

/// What a Describe or Close is about: its kind and its name.
pub(super) fn subject(body: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, name) = body.split_first()?;
    text_of_query(name).map(|name| (*kind, name))
}

impl Frontend {
    /// A message of a sequence passes as it stands, and is refused by the server. One that has not come whole could be a sound one
    /// with a very long name, and is not waited for.
    #[cold]
    pub(super) fn pass_malformed(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        if message.len() < header.total && header.tag != b'H' {
            let what = "a name in a message is too long to be understood";
            return Err(PgError::fatal(SqlState::PROTOCOL_VIOLATION, what));
        }
        passage.pipeline.sent(Owed::Malformed);
        self.pass(header, message, passage);
        Ok(())
    }

    /// The same of a Query, which is refused alone. It leaves the unnamed statement what it is, as a call does that fails.
    #[cold]
    pub(super) fn pass_malformed_query(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) {
        passage.tenancy.sequence_ends();
        if passage.tenancy.fate.is_on() {
            passage.query_decides(Conduct::HARMLESS);
        }
        passage.pipeline.sent(Owed::FunctionCall);
        self.pass(header, message, passage);
    }
}
