//! What must be with the server before a text of the client's, because SQL depends on it.

use super::{Conduct, For, Frontend, Owed, Passage, Residue, Sequences, Text, Undo, Unnamed, put, put_cstr};
use crate::sql::touches::Kinds;

impl Frontend {
    /// Makes SQL find what it names. A statement that the client has prepared by the protocol the server knows under a
    /// name of ours: where `EXECUTE`, `DEALLOCATE` or `PREPARE` name it, the server gets it under its true name first.
    #[inline]
    pub(super) fn provide(&self, conduct: Conduct, text: Text<'_>, passage: &mut Passage<'_, '_>) {
        if conduct.residue == Residue::Dirt {
            self.provide_for(text, passage);
        }
        let (Text::Whole(text) | Text::Prefix(text)) = text;
        passage.provide_told(text);
    }

    /// The same before the client's unnamed statement is bound, which it may have parsed elsewhere.
    #[inline]
    pub(super) fn provide_for_unnamed(&self, passage: &mut Passage<'_, '_>) {
        if let Unnamed::Text(unnamed) = &self.unnamed
            && unnamed.conduct.residue == Residue::Dirt
            && let Some((text, _)) = unnamed.parts()
        {
            self.provide_for(Text::Whole(text), passage);
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
            let undo = Undo::UnderOurName(name.clone());
            if passage.pipeline.is_in_sequence() {
                passage.pipeline.sent(Owed::Parse(For::Us, undo, None));
            } else {
                // Should it fail, what follows is not skipped.
                put(out, b'S', |_| {});
                passage.pipeline.sent(Owed::Aside(Some(undo)));
            }
        }
    }
}

impl Passage<'_, '_> {
    /// Before the first statement of a lease that reads what its session last drew from a sequence: nobody else's draws
    /// are answered, but the server's own error. What this client itself has drawn in its transaction stays.
    fn forget_sequences(&mut self) {
        if self.terms.sequences == Sequences::Own || self.tenancy.draws == Sequences::Own {
            return;
        }
        self.tenancy.draws = Sequences::Own;
        let sql = if self.tenancy.has_only_looked() { FORGET } else { FORGET_UNLESS_DRAWN };
        self.run_aside(sql, Some(Undo::DrawsOfOthers));
    }

    /// Has the server run a statement of ours that yields no rows, in front of what comes next of the client's.
    pub(super) fn run_aside(&mut self, sql: &[u8], undo: Option<Undo>) {
        let out = self.splice.insert();
        if !self.pipeline.is_in_sequence() {
            put(out, b'Q', |out| put_cstr(out, sql));
            self.pipeline.sent(Owed::Aside(undo));
            self.tenancy.loses_unnamed();
            return;
        }
        put(out, b'P', |out| {
            put_cstr(out, OURS);
            put_cstr(out, sql);
            out.extend_from_slice(&[0; 2]);
        });
        put(out, b'B', |out| {
            put_cstr(out, OURS);
            put_cstr(out, OURS);
            out.extend_from_slice(&[0; 6]);
        });
        put(out, b'E', |out| {
            put_cstr(out, OURS);
            out.extend_from_slice(&[0; 4]);
        });
        for kind in *b"PS" {
            put(out, b'C', |out| {
                out.push(kind);
                put_cstr(out, OURS);
            });
        }
        b"12C33".iter().for_each(|tag| self.pipeline.sent(Owed::Ours(*tag)));
        if let Some(undo) = undo {
            self.pipeline.sent(Owed::Note(undo));
        }
    }
}

/// The name of a statement and a portal of ours, for a moment.
pub(super) const OURS: &[u8] = b"pgsteer_aside";

const FORGET: &[u8] = b"DISCARD SEQUENCES";

/// Who draws from a sequence has it locked up to the end of the transaction (`lock_and_open_sequence`).
const FORGET_UNLESS_DRAWN: &[u8] =
    b"DO $pgsteer$BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS l, \
    pg_catalog.pg_class AS c WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
    AND l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock' AND c.oid OPERATOR(pg_catalog.=) l.relation \
    AND c.relkind OPERATOR(pg_catalog.=) 'S') THEN DISCARD SEQUENCES; END IF; END$pgsteer$";
