//! What must be with the server before a text of the client's, because SQL depends on it.

use super::{
    Arc, Conduct, Copy, For, Form, Frontend, Owed, Parsed, Passage, Prepared, Residue, Sequences, Statement,
    Text, TransactionStatus, Undo, Unnamed, put, put_cstr,
};
use crate::{
    sql::touches::Kinds,
    wire::statements::{put_close_as, put_describe_as},
};

/// By which message SQL names a statement of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Query, which runs what else stands in its text.
    Query,
    /// Parse, which cannot fail for it.
    Parse,
    /// Bind or Describe.
    Use,
}

/// What becomes of a name.
enum Step {
    /// Nothing: the server has it as it is to be, or says itself what is the matter.
    Nothing,
    /// The server gets it.
    Give,
    /// The server gets it, and is to say what it yields.
    Ask,
    /// It is refused: in what words, if not those of a result that has changed.
    Refuse(Option<Arc<[u8]>>),
}

/// Whether what follows is behind a savepoint of ours: outside a block there is none, and no need of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secured {
    Yes,
    No,
}

impl Frontend {
    /// Makes SQL find what it names. A statement that the client has prepared by the protocol the server knows under a
    /// name of ours: where `EXECUTE`, `DEALLOCATE` or `PREPARE` name it, the server gets it under its true name first. What
    /// `EXECUTE` runs must yield there what it did where its client prepared it.
    #[inline]
    pub(super) fn provide(
        &mut self,
        conduct: Conduct,
        text: Text<'_>,
        by: By,
        passage: &mut Passage<'_, '_>,
    ) -> Prepared {
        let prepared = if conduct.residue == Residue::Dirt {
            self.provide_for(text, by, passage)
        } else {
            Prepared::Ready
        };
        if prepared != Prepared::Checking {
            let (Text::Whole(text) | Text::Prefix(text)) = text;
            passage.provide_told(text);
        }
        prepared
    }

    /// The same before a statement is parsed, or described: only `EXECUTE` is described as what it names.
    #[inline]
    pub(super) fn provide_for_description(
        &mut self,
        (form, conduct): (Form, Conduct),
        text: Text<'_>,
        by: By,
        passage: &mut Passage<'_, '_>,
    ) -> Prepared {
        if form == Form::Runs {
            return self.provide(conduct, text, by, passage);
        }
        let (Text::Whole(text) | Text::Prefix(text)) = text;
        passage.provide_told(text);
        Prepared::Ready
    }

    /// The same before the client's unnamed statement is used, which it may have parsed elsewhere.
    #[inline]
    pub(super) fn provide_for_unnamed(&mut self, passage: &mut Passage<'_, '_>) -> Prepared {
        match &self.unnamed {
            Unnamed::Text(unnamed) if unnamed.conduct.residue == Residue::Dirt => {
                let text: Option<Box<[u8]>> = unnamed.parts().map(|(text, _)| text.into());
                text.map_or(Prepared::Ready, |text| self.provide_for(Text::Whole(&text), By::Use, passage))
            }
            _ => Prepared::Ready,
        }
    }

    #[cold]
    fn provide_for(&mut self, text: Text<'_>, by: By, passage: &mut Passage<'_, '_>) -> Prepared {
        let touches = passage.touches(text);
        if !touches.statements.is_empty() && passage.pipeline.statements_are_unsettled() {
            // Which statements there are is not known before.
            passage.tenancy.await_answers();
            return Prepared::Checking;
        }
        let ahead = passage.pipeline.may_sync();
        let busy = ahead && !passage.pipeline.is_empty();
        if touches.kinds.has(Kinds::SEQUENCES) {
            passage.forget_sequences();
        }
        let runs = touches.kinds.has(Kinds::USES_PREPARED);
        // A query fails by itself where it comes to what it cannot run; whatever else is sent, nothing else comes of it.
        let apart = ahead && by == By::Query;
        let (mut prepared, mut secured) = (Prepared::Ready, None);
        for name in &touches.statements {
            let Some(named) = self.statements.get(name) else { continue };
            let (statement, parsed) = (named.statement.clone(), named.parsed);
            passage.touch_statement(&statement);
            match passage.step(name, by, runs && statement.form() == Form::Planned) {
                Step::Nothing if parsed == Parsed::ForAnother && runs => self.statements.used(name),
                Step::Nothing => {}
                Step::Ask if by == By::Parse => prepared = Prepared::Refused,
                Step::Give | Step::Ask if busy => {
                    // Whether a block is open then is not known before, nor whether the server skips what comes, up to the
                    // client's own Sync.
                    passage.tenancy.await_answers();
                    return Prepared::Checking;
                }
                Step::Give => passage.give(name, &statement),
                // Whatever comes is refused.
                Step::Ask if apart && passage.pipeline.status() == TransactionStatus::Failed => {}
                Step::Ask if apart => {
                    secured = secured.or_else(|| Some(passage.secure_block()));
                    passage.ask_apart(name, &statement);
                }
                Step::Ask => {
                    passage.ask(name, &statement);
                    return passage.await_check(ahead);
                }
                Step::Refuse(said) if by == By::Query => passage.stand_in(name, &statement, said),
                Step::Refuse(_) => prepared = Prepared::Refused,
            }
        }
        secured.map_or(prepared, |secured| passage.await_copies(secured))
    }
}

impl Passage<'_, '_> {
    /// A statement was parsed without what it is to run, and is to be parsed again when it is used next.
    pub(super) fn is_of_nothing(&mut self, statement: &Statement) {
        self.conn.statements.spoil(statement.id());
    }

    /// Prepares a statement, if what it names is there.
    pub(super) fn prepare_with(&mut self, provided: Prepared, statement: &Arc<Statement>) -> Prepared {
        let prepared = provided.and(|| self.prepare(statement));
        if provided == Prepared::Refused {
            self.is_of_nothing(statement);
        }
        prepared
    }

    /// What becomes of a name of the client's statement; `held`: it is to yield what it did.
    fn step(&mut self, name: &[u8], by: By, held: bool) -> Step {
        let copy = self.tenancy.copies().and_then(|copies| copies.get(name));
        match copy {
            Some(Copy::Alike) => Step::Nothing,
            Some(_) if !held => Step::Nothing,
            None if !held => Step::Give,
            // Asked just now for this very message. With the next one it is tried again.
            Some(Copy::Changed) => {
                self.tenancy.copies_mut().put(name, Copy::Unasked);
                Step::Refuse(None)
            }
            Some(Copy::Refused(said)) if by == By::Query => {
                let said = said.clone();
                self.tenancy.copies_mut().remove(name);
                said.map_or(Step::Nothing, |said| Step::Refuse(Some(said)))
            }
            None | Some(Copy::Unasked | Copy::Refused(_) | Copy::StandIn(_)) => Step::Ask,
        }
    }

    /// The server gets a statement of the client's under its true name.
    fn give(&mut self, name: &[u8], statement: &Statement) {
        self.tenancy.copies_mut().put(name, Copy::Unasked);
        let out = self.splice.insert();
        statement.put_parse_as(name, out);
        let undo = Undo::UnderOurName(name.into());
        if self.pipeline.is_in_sequence() {
            self.pipeline.sent(Owed::Parse(For::Us, undo, None));
        } else {
            // Should it fail, what follows is not skipped.
            put(out, b'S', |_| {});
            self.pipeline.sent(Owed::Aside(Some(undo)));
        }
    }

    /// The same, and it says what that yields. Should it fail, so does the client's sequence.
    fn ask(&mut self, name: &[u8], statement: &Arc<Statement>) {
        self.close_copy(name);
        self.tenancy.copies_mut().put(name, Copy::Unasked);
        let out = self.splice.insert();
        statement.put_parse_as(name, out);
        put_describe_as(name, out);
        self.pipeline.sent(Owed::Parse(For::Us, Undo::UnderOurName(name.into()), None));
        self.pipeline.sent(Owed::Copy(name.into(), statement.clone()));
    }

    /// The same in a sequence of its own. Should it fail, that is noted.
    fn ask_apart(&mut self, name: &[u8], statement: &Arc<Statement>) {
        let is_there = self.tenancy.copies().is_some_and(|copies| copies.get(name).is_some());
        self.tenancy.copies_mut().put(name, Copy::Unasked);
        let out = self.splice.insert();
        if is_there {
            put_close_as(name, out);
        }
        statement.put_parse_as(name, out);
        put_describe_as(name, out);
        put(out, b'S', |_| {});
        self.pipeline.sent(Owed::Provide(name.into(), statement.clone()));
    }

    /// What is asked next is refused without failing the client's transaction, if it has one open.
    fn secure_block(&mut self) -> Secured {
        if self.pipeline.status() != TransactionStatus::InBlock {
            return Secured::No;
        }
        self.run_aside(SAVEPOINT, None);
        Secured::Yes
    }

    /// The client's query waits for what is said of all copies that its text needs.
    fn await_copies(&mut self, secured: Secured) -> Prepared {
        if secured == Secured::Yes {
            self.run_aside(BACK, None);
        }
        self.pipeline.holds_on();
        self.tenancy.await_check_ahead();
        Prepared::Checking
    }

    /// Something has the name that fails where the statement would.
    fn stand_in(&mut self, name: &[u8], statement: &Statement, said: Option<Arc<[u8]>>) {
        self.close_copy(name);
        let stand_in = self.tenancy.copies_mut().stand_in(name, said);
        stand_in.put_copy(name, statement.types(), self.splice.insert());
        self.pipeline.sent(Owed::Parse(For::Us, Undo::UnderOurName(name.into()), None));
    }

    /// The server has nothing any more under a true name of the client's.
    pub(super) fn close_copy(&mut self, name: &[u8]) {
        let copy = self.tenancy.copies().and_then(|copies| copies.get(name));
        if !matches!(copy, None | Some(Copy::Refused(_))) {
            self.tenancy.copies_mut().remove(name);
            put_close_as(name, self.splice.insert());
            self.pipeline.sent(Owed::Close(For::Us, Some(Undo::UnderTrueName(name.into()))));
        }
    }

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

const SAVEPOINT: &[u8] = b"SAVEPOINT pgsteer_aside";
const BACK: &[u8] = b"ROLLBACK TO SAVEPOINT pgsteer_aside; RELEASE SAVEPOINT pgsteer_aside";

const FORGET: &[u8] = b"DISCARD SEQUENCES";

/// Who draws from a sequence has it locked up to the end of the transaction (`lock_and_open_sequence`).
const FORGET_UNLESS_DRAWN: &[u8] =
    b"DO $pgsteer$BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS l, \
    pg_catalog.pg_class AS c WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
    AND l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock' AND c.oid OPERATOR(pg_catalog.=) l.relation \
    AND c.relkind OPERATOR(pg_catalog.=) 'S') THEN DISCARD SEQUENCES; END IF; END$pgsteer$";
