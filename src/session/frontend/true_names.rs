//! What must be with the server before a text of the client's, because SQL depends on it.

use super::{
    Arc, Conduct, Copy, Form, Frontend, Named, Owed, Parsed, Passage, Prepared, Residue, Statement, Text,
    TransactionStatus, Unnamed, put,
};
use crate::sql::touches::{Kinds, Touches};

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
    /// Something has it that is not to be run.
    Hold,
    /// The server gets it.
    Give,
    /// The server gets it, and is to say what it yields.
    Ask,
    /// It is refused: in what words, if not those of a result that has changed.
    Refuse(Option<Arc<[u8]>>),
}

/// What a text does with a statement that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It prepares or deallocates one of this name.
    Named,
    /// It may run it.
    Run,
    /// The same, and it must yield what it did.
    Held,
}

/// A statement of the client's, and what a text does with it.
struct Meant {
    name: Box<[u8]>,
    statement: Arc<Statement>,
    parsed: Parsed,
    use_of: Use,
}

/// The names in a text, each with whether it may run what has it.
fn names_in(touches: Touches) -> impl Iterator<Item = (Box<[u8]>, bool)> {
    let runs = touches.kinds.has(Kinds::USES_PREPARED);
    touches.statements.into_iter().map(move |name| (name, runs))
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
        let is_dirt = conduct.residue == Residue::Dirt;
        if by == By::Query
            && passage.must_close_sequence(is_dirt, text)
            && passage.close_sequence() == Prepared::Checking
        {
            return Prepared::Checking;
        }
        let prepared = if is_dirt { self.provide_for(text, by, passage) } else { Prepared::Ready };
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
        // A query fails by itself where it comes to what it cannot run; whatever else is sent, nothing else comes of it.
        let apart = ahead && by == By::Query;
        // Nor is a query of the client's skipped for what is ours.
        let first = !ahead && by == By::Query;
        let (mut prepared, mut secured) = (Prepared::Ready, None);
        let kinds = touches.kinds;
        let meant = self.meant(touches, passage);
        if meant.iter().any(|one| passage.awaits_copy(&one.name)) {
            return Prepared::Checking;
        }
        for Meant { name, statement, parsed, use_of } in &meant {
            passage.touch_statement(statement);
            match passage.step(name, by, *use_of) {
                Step::Nothing if *parsed == Parsed::ForAnother && *use_of != Use::Named => {
                    self.statements.used(name)
                }
                Step::Nothing => {}
                Step::Ask if by == By::Parse => prepared = Prepared::Refused,
                Step::Hold | Step::Give | Step::Ask if busy => {
                    // Whether a block is open then is not known before, nor whether the server skips what comes, up to the
                    // client's own Sync.
                    passage.tenancy.await_answers();
                    return Prepared::Checking;
                }
                step @ (Step::Hold | Step::Give) => {
                    match step {
                        Step::Hold => passage.hold(name),
                        _ => passage.give(name, statement),
                    }
                    if first {
                        return passage.await_for_query();
                    }
                }
                // Whatever comes is refused.
                Step::Ask if apart && passage.pipeline.status() == TransactionStatus::Failed => {}
                Step::Ask if apart => {
                    secured = secured.or_else(|| Some(passage.secure_block()));
                    passage.ask_apart(name, statement);
                }
                Step::Ask => {
                    passage.ask(name, statement);
                    return if first { passage.await_for_query() } else { passage.await_check(ahead) };
                }
                Step::Refuse(said) if by == By::Query => passage.stand_in(name, statement, said),
                Step::Refuse(_) => prepared = Prepared::Refused,
            }
        }
        if let Some(secured) = secured {
            return passage.await_copies(secured);
        }
        if kinds.has_any(Kinds::PREPARED.and(Kinds::USES_PREPARED)) {
            self.deallocates(text, by, &meant, passage);
        }
        prepared
    }

    /// The statements of the client's that a text means by their names, and those that the text of one means which it runs.
    fn meant(&self, touches: Touches, passage: &Passage<'_, '_>) -> Vec<Meant> {
        let mut named: Vec<_> = names_in(touches).collect();
        let (mut meant, mut next) = (Vec::new(), 0);
        while let Some((name, runs)) = named.get(next).cloned() {
            next += 1;
            let Some(Named { statement, parsed, .. }) = self.statements.get(&name).cloned() else { continue };
            let use_of = match (runs, statement.form()) {
                (false, _) => Use::Named,
                (true, Form::Planned) => Use::Held,
                (true, _) => Use::Run,
            };
            if use_of == Use::Run {
                for within in names_in(passage.touches(Text::Whole(statement.query()))) {
                    if !named.contains(&within) {
                        named.push(within);
                    }
                }
            }
            meant.push(Meant { name, statement, parsed, use_of });
        }
        meant
    }

    /// What the text deallocates the client has no more once the server says so; a text that it runs may deallocate all.
    fn deallocates(&self, text: Text<'_>, by: By, meant: &[Meant], passage: &mut Passage<'_, '_>) {
        let lexicon = passage.lexicon();
        let mut names = text.deallocated(lexicon);
        let run = || meant.iter().filter(|one| one.use_of == Use::Run).map(|one| one.statement.query());
        if names.is_empty() {
            names = run().flat_map(|text| Text::Whole(text).deallocated(lexicon)).collect();
        }
        let within = run().any(|text| passage.touches(Text::Whole(text)).kinds.has(Kinds::PREPARED));
        if !within && !names.iter().any(|name| self.statements.get(name).is_some()) {
            return;
        }
        match by {
            By::Query => passage.tenancy.deallocates(names),
            By::Use => passage.tenancy.binds_deallocation(Some(names.pop().unwrap_or_default())),
            By::Parse => {}
        }
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

    /// What becomes of a name of the client's statement.
    fn step(&mut self, name: &[u8], by: By, use_of: Use) -> Step {
        let copy = self.tenancy.copies().and_then(|copies| copies.get(name));
        match copy {
            Some(Copy::Alike) => Step::Nothing,
            None | Some(Copy::Refused(_)) if use_of == Use::Named => Step::Hold,
            None | Some(Copy::Placeholder) if use_of == Use::Run => Step::Give,
            Some(_) if use_of != Use::Held => Step::Nothing,
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
            None | Some(Copy::Unasked | Copy::Placeholder | Copy::Refused(_) | Copy::StandIn(_)) => Step::Ask,
        }
    }

    /// What is asked next is refused without failing the client's transaction, if it has one open.
    fn secure_block(&mut self) -> Secured {
        if self.pipeline.status() != TransactionStatus::InBlock {
            return Secured::No;
        }
        self.run_aside(SAVEPOINT, None);
        Secured::Yes
    }

    /// The client's query, which comes in a sequence, waits for what it needs.
    fn await_for_query(&mut self) -> Prepared {
        put(self.splice.insert(), b'H', |_| {});
        self.tenancy.await_for_query();
        Prepared::Checking
    }

    /// What the client's query needs has failed, and the client has heard so: what is left of the answer is that it may go on.
    pub(super) fn end_for_query(&mut self) {
        put(self.splice.insert(), b'S', |_| {});
        self.pipeline.sent(Owed::Sync);
        self.tenancy.sequence_ends();
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
}

const SAVEPOINT: &[u8] = b"SAVEPOINT pgsteer_aside";
const BACK: &[u8] = b"ROLLBACK TO SAVEPOINT pgsteer_aside; RELEASE SAVEPOINT pgsteer_aside";
