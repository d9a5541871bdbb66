//! What a client may not send, in PostgreSQL's words.

use crate::wire::{
    error::{PgError, SqlState},
    frame::Malformed,
};

pub(super) fn invalid_type(tag: u8) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid frontend message type {tag}"))
}

pub(super) fn malformed(error: Malformed) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid message length: {error}"))
}

pub(super) fn cut_short(what: &str) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid {what} message: it ends too early"))
}
