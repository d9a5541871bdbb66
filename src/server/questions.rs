//! Several questions of ours to a server, sent in one go and answered one by one.

use crate::wire::frame::{put, put_cstr};

/// Queries and sequences of ours, to be sent in one go. Each is answered up to a ReadyForQuery of its own, so each is run
/// even if one before it fails.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    bytes: Vec<u8>,
    count: usize,
}

impl Questions {
    /// Adds a query by the simple protocol. Returns its place.
    pub fn query(&mut self, sql: &[u8]) -> usize {
        put(&mut self.bytes, b'Q', |out| put_cstr(out, sql));
        self.counted()
    }

    /// Adds the messages that `messages` appends, and the Sync behind them. Returns their place.
    pub fn sequence(&mut self, messages: impl FnOnce(&mut Vec<u8>)) -> usize {
        messages(&mut self.bytes);
        put(&mut self.bytes, b'S', |_| {});
        self.counted()
    }

    const fn counted(&mut self) -> usize {
        self.count += 1;
        self.count - 1
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<Q: AsRef<[u8]>> FromIterator<Q> for Questions {
    fn from_iter<I: IntoIterator<Item = Q>>(queries: I) -> Self {
        let mut questions = Self::default();
        for sql in queries {
            questions.query(sql.as_ref());
        }
        questions
    }
}
