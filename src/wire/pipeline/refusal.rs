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
    /// A statement comes in one request with `SET pgsteer.wait_for`.
    NotAlone,
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
            Self::NotAlone => &[
                (b'C', "0A000"),
                (b'M', "pgsteer.wait_for must be set by a request of its own"),
                (b'D', "What comes with it, in one text or without a Sync between, would not wait for it."),
                (b'H', "Send it alone and first, with a Sync behind it."),
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
        use Refusal::*;
        for refusal in [ResultChanged, TooManyStatements, NotAlone, StatementsNotFollowed] {
            let mut out = Vec::new();
            refusal.encode(&mut out);
            let error = ServerError::decode(&out[HEADER_BYTES..]).unwrap();
            assert!(SqlState::TABLE.iter().any(|(code, _)| *code == error.code), "{error:?}");
        }
    }
}
