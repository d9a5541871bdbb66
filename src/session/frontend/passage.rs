//! What the messages of one stretch bring about: in the server's session, in its statements, in what is owed.

use super::{
    Awaited, Conduct, Followed, For, Hygiene, Lexicon, Owed, PgError, Pipeline, Prepare, Reading, Residue,
    ServerConn, Settings, Sharing, Splice, SqlState, Statement, Tenancy, Terms, Undo, put_close,
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
    pub(super) fn heed(&mut self, reading: Reading) -> Result<(), PgError> {
        if self.terms.read_only && reading.unlocks_writes {
            return Err(PgError::fatal(
                SqlState::FEATURE_NOT_SUPPORTED,
                "this statement could allow writes, and no replica qualifies to run it",
            )
            .detail("The read route has fallen back on the leader, where sessions stay read-only.")
            .hint("Connect to the write route, or wait until a replica qualifies again."));
        }
        self.heed_conduct(reading.conduct);
        Ok(())
    }

    /// Takes note of what a statement that is about to run, or may be, leaves in the session.
    pub(super) fn heed_conduct(&mut self, conduct: Conduct) {
        match conduct.residue {
            Residue::None => {}
            Residue::Dirt | Residue::DirtAndDiscards => {
                self.conn.hygiene = Hygiene::Dirty;
                self.tenancy.settings = Settings::Changed;
            }
            Residue::Discards => self.conn.hygiene = Hygiene::Dirty,
        }
        if conduct.followed != Followed::Kept && !self.conn.parameters.all_are_reported() {
            // An older server: what it does not report cannot follow the client.
            self.conn.hygiene = Hygiene::Dirty;
        }
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
