//! What a server's words mean for a request that it may not have begun.

use super::{Loss, Words};
use crate::wire::{
    error::{ServerError, Severity, SqlState},
    frame::{HEADER_BYTES, Header},
};

/// The longest last words that are waited for, in bytes.
const WORDS_MAX: usize = 8 * 1024;

/// What the first words of a replica are that reads something: nothing of an answer is the client's before there is a row,
/// or an end.
pub(super) fn first_words(words: &[u8]) -> Words {
    let mut at = 0;
    let mut conflict = false;
    loop {
        let left = &words[at..];
        // What cannot be read is for those to judge who pass it on.
        let Ok(header) = Header::read(left) else { return Words::Answer };
        let Some(header) = header.filter(|header| header.total <= left.len()) else {
            return if words.len() > WORDS_MAX { Words::Answer } else { Words::Unclear };
        };
        let message = &left[..header.total];
        at += header.total;
        match header.tag {
            b'Z' if conflict && at == words.len() => return Words::Lost(Loss::Conflict),
            _ if conflict => return Words::Answer,
            b'1' | b'2' | b'3' | b'n' | b't' | b'T' | b'N' | b'S' | b'A' => {}
            b'E' => match ServerError::decode(&message[HEADER_BYTES..]) {
                Some(error) if error.severity != Severity::Error => return lost_by(&error),
                Some(error) if error.code == SqlState::SERIALIZATION_FAILURE => conflict = true,
                _ => return Words::Answer,
            },
            _ => return Words::Answer,
        }
    }
}

/// Whether a server says that it ends the session; `words` begin with a message.
pub(in crate::session) fn ends(mut words: &[u8]) -> bool {
    while let Ok(Some(header)) = Header::read(words)
        && let Some((message, behind)) = words.split_at_checked(header.total)
    {
        let error = if header.tag == b'E' { ServerError::decode(&message[HEADER_BYTES..]) } else { None };
        if error.is_some_and(|error| matches!(error.severity, Severity::Fatal | Severity::Panic)) {
            return true;
        }
        words = behind;
    }
    false
}

/// What a server's last words mean for what it was to read: whatever ends it, but for what the client itself has brought about.
fn lost_by(error: &ServerError) -> Words {
    match error.code.as_str() {
        "40001" => Words::Lost(Loss::Conflict),
        code if code.starts_with("57P") => Words::Lost(Loss::Gone),
        _ => Words::Answer,
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    Unclear,
    Said,
    SomethingElse,
}

/// Whether a server's first words are that somebody has told it to end.
pub(super) fn farewell(words: &[u8]) -> Farewell {
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
    use crate::wire::{error::PgError, frame::message};

    fn encoded(error: &PgError) -> Vec<u8> {
        let mut bytes = Vec::new();
        error.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_replicas_first_words_at_every_byte() {
        let fatal = |code| encoded(&PgError::fatal(code, "terminating connection"));
        let conflict = encoded(&PgError::error(SqlState::SERIALIZATION_FAILURE, "conflict with recovery"));
        let (parsed, bound, described) = (message(b'1', b""), message(b'2', b""), message(b'T', b"\0\0"));
        let (row, ready) = (message(b'D', b"\0\0"), message(b'Z', b"I"));
        for (words, expected) in [
            (vec![&parsed, &bound, &described, &fatal(SqlState::ADMIN_SHUTDOWN)], Words::Lost(Loss::Gone)),
            (vec![&fatal(SqlState::CRASH_SHUTDOWN)], Words::Lost(Loss::Gone)),
            (vec![&parsed, &fatal(SqlState::SERIALIZATION_FAILURE)], Words::Lost(Loss::Conflict)),
            (vec![&described, &conflict, &ready], Words::Lost(Loss::Conflict)),
            // There was an answer; or it is the client's own doing; or more than one error is owed.
            (vec![&described, &row, &fatal(SqlState::ADMIN_SHUTDOWN)], Words::Answer),
            (vec![&fatal(SqlState::PROTOCOL_VIOLATION)], Words::Answer),
            (vec![&encoded(&PgError::error(SqlState::QUERY_CANCELED, "x")), &ready], Words::Answer),
            (vec![&conflict, &ready, &ready], Words::Answer),
            (vec![&parsed, &ready], Words::Answer),
        ] {
            let words: Vec<u8> = words.into_iter().flatten().copied().collect();
            assert_eq!(first_words(&words), expected, "{}", words.escape_ascii());
            for end in 0..words.len() {
                let so_far = first_words(&words[..end]);
                let ends_early = so_far == Words::Lost(Loss::Conflict) && expected == Words::Answer;
                assert!(so_far == Words::Unclear || so_far == expected || ends_early, "{so_far:?} at {end}");
            }
        }
    }

    #[test]
    fn whoever_ends_a_session_says_so_behind_anything() {
        let parsed = message(b'1', b"");
        let failed = encoded(&PgError::error(SqlState::QUERY_CANCELED, "x"));
        let fatal = encoded(&PgError::fatal(SqlState::CRASH_SHUTDOWN, "x"));
        let ready = message(b'Z', b"I");
        for (words, expected) in [
            (vec![], false),
            (vec![&parsed, &failed, &ready], false),
            (vec![&fatal], true),
            (vec![&parsed, &failed, &fatal, &parsed], true),
        ] {
            let words: Vec<u8> = words.into_iter().flatten().copied().collect();
            assert_eq!(ends(&words), expected, "{}", words.escape_ascii());
            let whole = words.len() - if words.ends_with(&parsed) { parsed.len() } else { 0 };
            (0..whole).for_each(|end| assert!(!ends(&words[..end]), "{end} of {}", words.escape_ascii()));
        }
    }

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
