//! Errors that PostgreSQL would have said where the server at hand cannot: another message, one that is sure to fail, is sent
//! in the place, so that the server does all else that an error does; what it says of that is told as what is meant.

use super::super::frame::{put, put_cstr};

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A statement yields something else than when it was parsed.
    ResultChanged,
    /// The client has as many named statements as it may.
    TooManyStatements,
    /// Servers are shared, and named statements are not to be followed from one to the next.
    StatementsNotFollowed,
}

impl Refusal {
    /// Appends the ErrorResponse.
    pub fn encode(self, out: &mut Vec<u8>) {
        // Drivers know the first by the routine, too (pgjdbc's `willHealViaReparse`).
        let fields: &[(u8, &str)] = match self {
            Self::ResultChanged => &[
                (b'C', "0A000"),
                (b'M', "cached plan must not change result type"),
                (b'F', "plancache.c"),
                (b'R', "RevalidateCachedQuery"),
            ],
            Self::TooManyStatements => &[
                (b'C', "54000"),
                (b'M', "too many prepared statements"),
                (b'D', "A client may have 65536 named statements, and 256 MB of text in them."),
            ],
            Self::StatementsNotFollowed => &[
                (b'C', "0A000"),
                (b'M', "named prepared statements are switched off: max_prepared_statements = 0"),
                (
                    b'D',
                    "The next transaction may run on another server, where the name is another client's or nobody's.",
                ),
                (
                    b'H',
                    "Set max_prepared_statements in pgsteer's configuration, or use pool_mode = \"session\".",
                ),
            ],
        };
        put(out, b'E', |out| {
            for (kind, text) in [(b'S', "ERROR"), (b'V', "ERROR")].iter().chain(fields) {
                out.push(*kind);
                put_cstr(out, text.as_bytes());
            }
            out.push(0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        error::{ServerError, SqlState},
        frame::HEADER_BYTES,
    };

    #[test]
    fn they_are_errors_with_codes_of_the_table() {
        let all = [Refusal::ResultChanged, Refusal::TooManyStatements, Refusal::StatementsNotFollowed];
        for refusal in all {
            let mut out = Vec::new();
            refusal.encode(&mut out);
            let error = ServerError::decode(&out[HEADER_BYTES..]).unwrap();
            assert!(SqlState::TABLE.iter().any(|(code, _)| *code == error.code), "{error:?}");
        }
    }
}
