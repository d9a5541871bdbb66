//! What the messages of one stretch bring about: in the server's session, in its statements, in what is owed.

use crate::{
    session::reading::Text,
    sql::touches::{FunctionNames, Kinds, Touches},
};

use super::{
    Awaited, Conduct, Followed, For, HEADER_BYTES, Hygiene, Lexicon, Owed, PgError, Pipeline, Prepare,
    Reading, Residue, ServerConn, Settings, Sharing, Splice, SqlState, Statement, Tenancy, Terms, Undo,
    Vigilance, put_close,
};

/// One stretch of the client's bytes on its way.
pub(super) struct Passage<'a, 'p> {
    pub(super) splice: Splice<'a>,
    pub(super) conn: &'p mut ServerConn,
    pub(super) pipeline: &'p mut Pipeline,
    pub(super) tenancy: &'p mut Tenancy,
    pub(super) terms: &'p Terms<'p>,
}

impl Passage<'_, '_> {
    /// Takes note of what a statement that is about to run leaves in the session.
    pub(super) fn heed(&mut self, reading: Reading, text: Text<'_>) -> Result<(), PgError> {
        self.may_run(reading)?;
        self.heed_conduct(reading.conduct, text);
        Ok(())
    }

    /// Refuses what could lift the ban on writes.
    pub(super) fn may_run(&self, reading: Reading) -> Result<(), PgError> {
        if self.terms.read_only && reading.unlocks_writes {
            return Err(PgError::fatal(
                SqlState::FEATURE_NOT_SUPPORTED,
                "this statement could allow writes, and no replica qualifies to run it",
            )
            .detail("The read route has fallen back on the leader, where sessions stay read-only.")
            .hint("Connect to the write route, or wait until a replica qualifies again."));
        }
        Ok(())
    }

    /// Takes note of what a statement that is about to run, or may be, leaves in the session.
    #[inline]
    pub(super) fn heed_conduct(&mut self, conduct: Conduct, text: Text<'_>) {
        if conduct.residue != Residue::None || self.terms.vigilance == Vigilance::All {
            self.touch(conduct, text);
        }
        if conduct.followed != Followed::Kept && !self.conn.parameters.all_are_reported() {
            // An older server: what it does not report cannot follow the client.
            self.conn.hygiene = Hygiene::Dirty;
        }
    }

    #[cold]
    fn touch(&mut self, conduct: Conduct, text: Text<'_>) {
        let terms = self.terms;
        let policy = terms.opaque;
        let names = policy.map_or(FunctionNames::NONE, |policy| &policy.names);
        let mut touches = text.touches(self.lexicon(), names);
        for name in std::mem::take(&mut touches.statements) {
            if touches.kinds.has(Kinds::USES_PREPARED) {
                touches.merge(self.used(&name));
            }
        }
        self.note(touches, conduct.followed);
    }

    /// A statement that was prepared by SQL is bound.
    #[cold]
    pub(super) fn touch_prepared(&mut self, name: &[u8]) {
        let touches = self.used(name);
        self.note(touches, Followed::Kept);
    }

    /// What running a statement touches that was prepared by SQL. One of this lease has been seen.
    fn used(&self, name: &[u8]) -> Touches {
        const SELF: Kinds = Kinds::PREPARED.and(Kinds::USES_PREPARED);
        let terms = self.terms;
        let Some(prepared) = terms.state.get().and_then(|state| state.statement(name)) else {
            return Touches::default();
        };
        let names = terms.opaque.map_or(FunctionNames::NONE, |policy| &policy.names);
        let touches = Text::Whole(&prepared.text).touches(self.lexicon(), names);
        Touches { kinds: touches.kinds.without(SELF), settings: touches.settings, statements: Vec::new() }
    }

    /// A function is called by its number: what it leaves behind is known of the large objects' alone.
    pub(super) fn heed_call(&mut self, message: &[u8]) {
        if !is_large_object_call(message) {
            self.note(Touches::anything(), Followed::Kept);
        }
    }

    fn note(&mut self, touches: Touches, followed: Followed) {
        if touches.kinds.has(Kinds::OPAQUE) {
            // Not even asking finds everything.
            self.conn.hygiene = Hygiene::Dirty;
        }
        self.tenancy.touch(touches, followed, &self.conn.parameters, self.terms.opaque);
    }

    /// By which rules the text of the next statement is read.
    pub(super) fn lexicon(&self) -> Lexicon {
        match self.tenancy.awaited {
            Awaited::Nothing => self.terms.lexicon,
            Awaited::Answer(_) | Awaited::Report => Lexicon::Unknown,
        }
    }

    /// Makes sure that the server has a statement prepared when what follows arrives.
    pub(super) fn prepare(&mut self, statement: &Statement) {
        match self.conn.statements.use_statement(statement.id(), self.terms.max_prepared_statements) {
            Prepare::Ready => return,
            Prepare::Parse => {}
            Prepare::CloseThenParse(oldest) => self.close_oldest(oldest),
        }
        statement.put_parse(self.splice.insert());
        self.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(statement.id()), None));
    }

    pub(super) fn close_oldest(&mut self, oldest: u64) {
        put_close(self.splice.insert(), oldest);
        self.pipeline.sent(Owed::Close(For::Us, Some(Undo::ServerKeeps(oldest))));
    }

    pub(super) fn sharing(&self, reading: Reading) -> Sharing {
        match (self.tenancy.settings, self.tenancy.awaited) {
            (Settings::Followed, Awaited::Nothing) => reading.sharing,
            _ => Sharing::Nobody,
        }
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
