//! What a server turned away before it began with any of it.
//!
//! "Terminating connection due to administrator command" (57P01) proves by itself nothing about the statement that it
//! answers: PostgreSQL may say so while it waits for a message, and just as well in the middle of running one. But each
//! message of the extended protocol puts its own answer (ParseComplete, BindComplete, …) into the buffer that the error
//! goes through as well, before the next message is looked at (`exec_parse_message`, `exec_bind_message`; the buffer is
//! flushed with the error, in order). So where the first message of a request was a Parse, Bind, Describe or Close, and the
//! error comes without the answer to it, no Execute behind it was begun. Then the request is the client's to send as if it
//! never had been, to another server. Of a simple query nothing of the kind can be known.

use crate::{
    pool::account::PoolMode,
    wire::{
        error::{ServerError, Severity, SqlState},
        frame::{HEADER_BYTES, Header},
        pipeline::Pipeline,
    },
};

/// Bytes of a request that are kept until the server says something.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// The longest last words that are waited for, in bytes.
const WORDS_MAX: usize = 8 * 1024;

/// What the client has sent since it got its server, as it sent it, as long as the server has said nothing.
#[derive(Debug, Default)]
pub(super) struct Untried {
    state: State,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    #[default]
    Unsent,
    /// All of it is here.
    Kept,
    /// It is not known any more: it was answered, is too long, or would not do.
    Over,
    /// The server has turned it away.
    TurnedAway,
}

impl Untried {
    /// Nothing was sent to a new server, with what memory there was.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        self.state = State::Unsent;
    }

    /// These bytes of the client's were passed on.
    #[inline]
    pub(super) fn sent(&mut self, bytes: &[u8], mode: PoolMode, pipeline: &Pipeline) {
        match self.state {
            State::Over | State::TurnedAway => return,
            State::Unsent => {
                let extended = matches!(bytes.first(), Some(b'P' | b'B' | b'C' | b'D'));
                // Where nothing is owed, all of it was answered here.
                let will_do = extended && mode != PoolMode::Session && !pipeline.is_empty();
                self.state = if will_do { State::Kept } else { State::Over };
            }
            State::Kept => {}
        }
        if self.state == State::Kept {
            if self.bytes.len() + bytes.len() <= KEPT_BYTES_MAX {
                self.bytes.extend_from_slice(bytes);
            } else {
                self.state = State::Over;
            }
        }
    }

    /// Whether what the server says first must be looked at.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.state == State::Kept
    }

    /// Whether the server has turned it away.
    #[inline]
    pub(super) fn is_turned_away(&self) -> bool {
        self.state == State::TurnedAway
    }

    /// The server has said its first words; whether they are not for the client, or more of them are needed to tell.
    /// `whole`: nothing of the client's is under way.
    pub(super) fn heard(&mut self, words: &[u8], pipeline: &Pipeline, whole: bool) -> bool {
        self.state = match farewell(words) {
            Farewell::Unclear => return true,
            Farewell::Said if whole && pipeline.has_begun_nothing() => State::TurnedAway,
            Farewell::Said | Farewell::SomethingElse => State::Over,
        };
        self.is_turned_away()
    }

    /// What the client has sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Farewell {
    Unclear,
    Said,
    SomethingElse,
}

/// Whether a server's first words are that somebody has told it to end.
fn farewell(words: &[u8]) -> Farewell {
    match words.first() {
        None => return Farewell::Unclear,
        Some(b'E') => {}
        Some(_) => return Farewell::SomethingElse,
    }
    let message = match Header::read(words) {
        Ok(None) => return Farewell::Unclear,
        Ok(Some(header)) if header.total <= WORDS_MAX => words.get(HEADER_BYTES..header.total),
        Ok(Some(_)) | Err(_) => return Farewell::SomethingElse,
    };
    let Some(body) = message else { return Farewell::Unclear };
    match ServerError::decode(body) {
        Some(error) if error.severity == Severity::Fatal && error.code == SqlState::ADMIN_SHUTDOWN => {
            Farewell::Said
        }
        _ => Farewell::SomethingElse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::PgError;

    #[test]
    fn only_an_order_to_end_is_a_farewell() {
        let said = |error: PgError| {
            let mut bytes = Vec::new();
            error.encode(&mut bytes);
            bytes
        };
        let shutdown = said(PgError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection"));
        assert_eq!(farewell(&shutdown), Farewell::Said);
        for length in 0..shutdown.len() {
            assert_eq!(farewell(&shutdown[..length]), Farewell::Unclear, "{length} bytes");
        }
        for other in [
            said(PgError::error(SqlState::ADMIN_SHUTDOWN, "not the end")),
            said(PgError::fatal(SqlState::PROTOCOL_VIOLATION, "what the client sent is to blame")),
            b"1\0\0\0\x04".to_vec(),
            b"N\0\0".to_vec(),
            b"E\0\0\0\x01".to_vec(),
        ] {
            assert_eq!(farewell(&other), Farewell::SomethingElse, "{}", other.escape_ascii());
        }
    }
}
