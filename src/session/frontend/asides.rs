//! Statements of ours in front of the client's.

use super::{Owed, Passage, Prepared, Sequences, Text, Undo, put, put_cstr, token::mentioned};
use crate::sql::touches::Kinds;

impl Passage<'_, '_> {
    /// Before the first statement of a lease that reads what its session last drew from a sequence: nobody else's draws
    /// are answered, but the server's own error. What this client itself has drawn in its transaction stays.
    pub(super) fn forget_sequences(&mut self) {
        if !self.must_forget_sequences() {
            return;
        }
        self.tenancy.draws = Sequences::Own;
        let sql = if self.tenancy.has_only_looked() { FORGET } else { FORGET_UNLESS_DRAWN };
        self.run_aside(sql, Some(Undo::DrawsOfOthers));
    }

    /// Whether what is ours cannot come in the client's sequence, in front of a query: in a transaction that has failed it fails, too,
    /// and the server skips the query with it; and where the client has executed nothing the query is to be no part of a block.
    #[inline]
    pub(super) fn must_close_sequence(&self, is_dirt: bool, text: Text<'_>) -> bool {
        if !(self.pipeline.is_in_sequence() && (is_dirt || self.terms.told.is_some())) {
            return false;
        }
        self.pipeline.is_in_failed_sequence()
            || (self.pipeline.has_executed_nothing() && self.runs_aside_for(is_dirt, text))
    }

    /// Whether something of ours is to be run in front of this.
    #[cold]
    fn runs_aside_for(&self, is_dirt: bool, text: Text<'_>) -> bool {
        let (Text::Whole(bytes) | Text::Prefix(bytes)) = text;
        let is_told = self.terms.told.is_some() && mentioned(bytes).iter().any(Option::is_some);
        is_told || (is_dirt && self.must_forget_sequences() && self.touches(text).kinds.has(Kinds::SEQUENCES))
    }

    /// Ends such a sequence. What the client has sent before may yet fail; then its query is skipped.
    #[cold]
    pub(super) fn close_sequence(&mut self) -> Prepared {
        if !(self.pipeline.is_empty() || self.pipeline.only_own_answers()) {
            put(self.splice.insert(), b'H', |_| {});
            self.tenancy.await_answers();
            return Prepared::Checking;
        }
        put(self.splice.insert(), b'S', |_| {});
        self.pipeline.sent(Owed::Aside(None));
        Prepared::Ready
    }

    fn must_forget_sequences(&self) -> bool {
        self.terms.sequences != Sequences::Own && self.tenancy.draws != Sequences::Own
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
