//! What the server does ahead of a message of the client's, so that it takes that as it would have taken it from this client alone.

use super::{Owed, Passage, asides::OURS, messages::is_request, put, put_cstr};
use crate::wire::statements::{put_close_as, put_parse_as};

impl Passage<'_, '_> {
    /// Whether SQL may have prepared a statement of this name: what this lease has done to such statements, only the server
    /// knows. A copy of the client's own, left there for SQL, is none.
    #[inline]
    pub(super) fn may_be_taken(&self, name: &[u8]) -> bool {
        let carried = self.terms.state.get().is_some_and(|state| state.statement(name).is_some());
        (carried || self.tenancy.may_have_prepared(name)) && !self.tenancy.has_truly(name)
    }

    /// Has the server parse what the client is about to, under its true name: if that is taken, or the text is wrong, it says
    /// so, and what follows is not done. `types` is what follows the text.
    #[cold]
    pub(super) fn try_name(&mut self, name: &[u8], text: &[u8], types: &[u8]) {
        let out = self.splice.insert();
        put_parse_as(name, text, types, out);
        put_close_as(name, out);
        self.is_answered_by(b"13");
    }

    /// Has the server begin a command that does nothing, and is allowed in a failed transaction, too.
    #[cold]
    pub(super) fn begin_command(&mut self) {
        let out = self.splice.insert();
        put(out, b'P', |out| {
            put_cstr(out, OURS);
            out.extend_from_slice(&[0; 3]);
        });
        put_close_as(OURS, out);
        self.is_answered_by(b"13");
    }

    /// Whether a message asks for something behind all that is to be answered, and may be the first of another transaction.
    #[cold]
    pub(super) fn begins_anew(&mut self, tag: u8) -> bool {
        if self.tenancy.has_left_block() {
            self.leave_block(tag);
        }
        // A Sync may be one that a copy has had already.
        !self.pipeline.is_empty()
            && !self.pipeline.is_in_sequence()
            && is_request(tag)
            && tag != b'S'
            && !self.pipeline.stays_in_block()
    }

    /// Ends the client's sequence behind the end of a block, as far as this server is concerned, where it goes on with this: that
    /// is another transaction in any case.
    fn leave_block(&mut self, tag: u8) {
        let goes_on = matches!(tag, b'P' | b'B' | b'E' | b'Q' | b'F') && !self.pipeline.is_skipping();
        if goes_on && self.pipeline.is_in_sequence() {
            put(self.splice.insert(), b'S', |_| {});
            self.pipeline.sent(Owed::Aside(None));
            self.tenancy.sequence_ends();
        }
    }

    fn is_answered_by(&mut self, tags: &[u8]) {
        tags.iter().for_each(|tag| self.pipeline.sent(Owed::Ours(*tag)));
    }
}
