//! What of the session the statements of one stretch may touch.

use super::{HEADER_BYTES, Hygiene, Passage, Statement, Text};
use std::sync::atomic::Ordering;

use crate::{
    server::conn::Temporary,
    session::{temp_buffers::TEMP_BUFFERS, tenancy::WAIT_FOR},
    sql::{
        self,
        touches::{FunctionNames, Kinds, Touches},
    },
};

/// Which texts are looked at closely for what they touch of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vigilance {
    /// Those that may leave something behind.
    #[default]
    Suspects,
    /// All: the client has something to lose, or functions are distrusted by name.
    All,
}

impl<'p> Passage<'_, 'p> {
    pub(super) fn touches(&self, text: Text<'_>) -> Touches {
        text.touches(self.lexicon(), self.opaque_names())
    }

    /// A statement of the client's is run by SQL, or may be.
    pub(super) fn touch_statement(&mut self, statement: &Statement) {
        let touches = self.touches(Text::Whole(statement.query()));
        self.note(touches, statement.query());
    }

    #[cold]
    pub(super) fn touch(&mut self, text: Text<'_>) {
        let mut touches = self.touches(text);
        if touches.kinds.has(Kinds::USES_PREPARED) {
            for name in touches.statements.clone() {
                touches.merge(self.used(&name));
            }
        }
        let (Text::Whole(text) | Text::Prefix(text)) = text;
        self.note(touches, text);
    }

    /// A statement that was prepared by SQL is bound.
    #[cold]
    pub(super) fn touch_prepared(&mut self, name: &[u8]) {
        let touches = self.used(name);
        let prepared = self.terms.state.get().and_then(|state| state.statement(name));
        self.note(touches, prepared.map_or(b"", |prepared| &prepared.text));
    }

    /// A statement is closed that may have been prepared by SQL. One of this lease has been seen.
    pub(super) fn touch_closed(&mut self, name: &[u8]) {
        let prepared = self.terms.state.get().and_then(|state| state.statement(name));
        if let Some(prepared) = prepared {
            let statements = vec![name.into()];
            let touches = Touches { kinds: Kinds::PREPARED, statements, ..Touches::default() };
            self.note(touches, &prepared.text);
        }
    }

    /// A function is called by its number: what it leaves behind is known of the large objects' alone.
    pub(super) fn touch_by_call(&mut self, message: &[u8]) {
        if !is_large_object_call(message) {
            self.note(Touches::anything(), b"");
        }
    }

    /// What running a statement touches that was prepared by SQL. One of this lease has been seen.
    fn used(&self, name: &[u8]) -> Touches {
        const SELF: Kinds = Kinds::PREPARED.and(Kinds::USES_PREPARED);
        let prepared = self.terms.state.get().and_then(|state| state.statement(name));
        let touches = prepared.map(|prepared| {
            let touches = self.touches(Text::Whole(&prepared.text));
            Touches { kinds: touches.kinds.without(SELF), statements: Vec::new(), ..touches }
        });
        touches.unwrap_or_default()
    }

    fn opaque_names(&self) -> &'p FunctionNames {
        self.terms.opaque.map_or(FunctionNames::NONE, |policy| &policy.names)
    }

    fn note(&mut self, touches: Touches, text: &[u8]) {
        if touches.kinds.has(Kinds::OPAQUE) {
            // Not even asking finds everything.
            self.conn.hygiene = Hygiene::Dirty;
        }
        if !touches.kinds.is_empty() {
            self.tenancy.evidence.add(touches.kinds, sql::fingerprint(text, true));
        }
        if touches.kinds.has_any(Kinds::TEMP.and(Kinds::CALLS).and(Kinds::OPAQUE)) {
            self.conn.temporary = Temporary::Perhaps;
        }
        if touches.settings.iter().any(|name| **name == *TEMP_BUFFERS) {
            self.terms.temp_buffers_are_set.store(true, Ordering::Relaxed);
        }
        if self.tenancy.sight.is_on()
            && touches.settings.iter().any(|name| **name == *WAIT_FOR)
            && !self.pipeline.stays_in_block()
        {
            self.tenancy.sight.bind();
        }
        let readers = self.terms.sequences_are_read;
        if touches.kinds.has(Kinds::SEQUENCES) {
            readers.store(true, Ordering::Relaxed);
        } else if touches.kinds.has(Kinds::ADVANCES) && readers.load(Ordering::Relaxed) {
            // What it draws now it may want to read again.
            self.tenancy.pins |= Kinds::SEQUENCES;
        }
        self.tenancy.touch(touches, &self.conn.parameters, self.terms.opaque);
    }
}

/// Whether a FunctionCall calls one of the functions for large objects (`pg_proc.dat`), as libpq does: they leave
/// nothing in the session that outlives the transaction.
fn is_large_object_call(message: &[u8]) -> bool {
    const LARGE_OBJECTS: [u32; 16] =
        [715, 764, 765, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172];
    let number = message.get(HEADER_BYTES..).and_then(|body| body.first_chunk());
    number.is_some_and(|number| LARGE_OBJECTS.contains(&u32::from_be_bytes(*number)))
}
