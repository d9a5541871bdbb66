//! What must be with the server before a text of the client's, because SQL depends on it.

use super::{Conduct, For, Frontend, Owed, Passage, Residue, Text, Undo, put, put_cstr, touching::Sequences};
use crate::sql::touches::Kinds;

impl Frontend {
    /// Makes SQL find what it names. A statement that the client has prepared by the protocol the server knows under a
    /// name of ours: where `EXECUTE`, `DEALLOCATE` or `PREPARE` name it, the server gets it under its true name first.
    #[inline]
    pub(super) fn provide(&self, conduct: Conduct, text: Text<'_>, passage: &mut Passage<'_, '_>) {
        if conduct.residue == Residue::Dirt {
            self.provide_for(text, passage);
        }
    }

    #[cold]
    fn provide_for(&self, text: Text<'_>, passage: &mut Passage<'_, '_>) {
        let touches = passage.touches(text);
        if touches.kinds.has(Kinds::SEQUENCES) {
            passage.forget_sequences();
        }
        for name in &touches.statements {
            let Some(named) = self.statements.get(name) else { continue };
            let statement = named.statement.clone();
            passage.touch_statement(&statement);
            if !passage.tenancy.name_truly(name) {
                continue;
            }
            let out = passage.splice.insert();
            statement.put_parse_as(name, out);
            if passage.pipeline.is_in_sequence() {
                passage.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(0), None));
            } else {
                // Should it fail, what follows is not skipped.
                put(out, b'S', |_| {});
                passage.pipeline.sent(Owed::Aside);
            }
        }
    }
}

impl Passage<'_, '_> {
    /// Before the first statement of a lease that reads what its session last drew from a sequence: nobody else's draws
    /// are answered, but the server's own error.
    fn forget_sequences(&mut self) {
        if self.terms.sequences == Sequences::MayBeOthers
            && self.tenancy.has_run_nothing()
            && !self.pipeline.is_in_sequence()
        {
            put(self.splice.insert(), b'Q', |out| put_cstr(out, b"DISCARD SEQUENCES"));
            self.pipeline.sent(Owed::Aside);
        }
    }
}
