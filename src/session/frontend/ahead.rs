//! What the server does ahead of a message of the client's, so that it takes that as it would have taken it from this client alone.

use super::{Owed, Passage, asides::OURS, put, put_cstr};
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

    fn is_answered_by(&mut self, tags: &[u8]) {
        tags.iter().for_each(|tag| self.pipeline.sent(Owed::Ours(*tag)));
    }
}
