//! What the messages of one stretch bring about: in the server's session, in its statements, in what is owed.

use std::sync::atomic::Ordering;

use super::{
    Arc, Awaited, Conduct, Followed, For, Hygiene, Lexicon, Owed, Parsing, PgError, Pipeline, Prepare,
    Reading, Refusal, Residue, SERVER_PREFIX, ServerConn, Settings, Sharing, Splice, SqlState, Statement,
    Tenancy, Terms, Text, Undo, Vigilance, When, Whose, Worth, put, put_close, put_cstr,
};
use crate::{session::temp_buffers, sql::unsettling::Unsettled};

/// Whether a server has what a message of the client's is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    /// It has, or will when the message arrives.
    Ready,
    /// Whether it yields what it did when it was parsed, the server must say first: the message stays where it is.
    Checking,
    /// It yields something else.
    Refused,
}

impl Prepared {
    /// The same of what there must be besides: that is seen to where nothing is awaited.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Ready => other(),
            Self::Checking => Self::Checking,
            Self::Refused if other() == Self::Checking => Self::Checking,
            Self::Refused => Self::Refused,
        }
    }
}

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
            self.touch(text);
        }
        if conduct.parsing != Parsing::Kept {
            self.parse_otherwise(conduct.parsing, text);
        }
        if conduct.followed != Followed::Kept && !self.conn.parameters.all_are_reported() {
            // An older server: what it does not report cannot follow the client.
            self.conn.hygiene = Hygiene::Dirty;
        }
    }

    /// What is parsed behind this may mean something else: up to the end of the transaction it is the client's own.
    #[cold]
    fn parse_otherwise(&mut self, parsing: Parsing, text: Text<'_>) {
        self.tenancy.settings = Settings::Changed;
        let Parsing::ChangedForAll(change) = parsing else {
            // SET LOCAL leaves nothing behind, but needs a server that takes it.
            if let Text::Whole(text) | Text::Prefix(text) = text
                && temp_buffers::are_in(text)
            {
                self.terms.temp_buffers_are_set.store(true, Ordering::Relaxed);
            }
            return;
        };
        self.tenancy.needs_alone = text.alone(self.lexicon()).map(Box::new);
        self.conn.schema_change.get_or_insert_with(|| self.terms.schema.change()).is(change);
        let (Text::Whole(text) | Text::Prefix(text)) = text;
        if let Some(more) = Unsettled::by(text) {
            let before = self.conn.unsettled.take();
            let all = match before {
                Some(before) => before.and(more),
                None => more,
            };
            self.conn.unsettled = Some(Box::new(all));
        }
    }

    /// By which rules the text of the next statement is read.
    pub(super) fn lexicon(&self) -> Lexicon {
        match self.tenancy.awaited {
            Awaited::Nothing => self.terms.lexicon,
            Awaited::Answer(_) | Awaited::Report => Lexicon::Unknown,
        }
    }

    /// What a whole text says.
    pub(super) fn read(&self, text: &[u8]) -> Reading {
        self.terms.readings.read(text, self.lexicon())
    }

    /// Makes sure that the server has a statement prepared when what follows arrives, and that it yields there what it did
    /// when it was parsed.
    #[inline]
    pub(super) fn prepare(&mut self, statement: &Arc<Statement>) -> Prepared {
        self.prepare_as(statement, self.pipeline.may_sync())
    }

    /// `ahead`: what is ours can be a sequence of its own, with what was sent of ours just before.
    #[inline]
    pub(super) fn prepare_as(&mut self, statement: &Arc<Statement>, ahead: bool) -> Prepared {
        if self.tenancy.is_refused(statement.id()) {
            return Prepared::Refused;
        }
        if self.make_room(statement.id()) == Prepare::Ready {
            return Prepared::Ready;
        }
        self.parse_for_client(statement, ahead)
    }

    /// `ahead`: what is ours can be a sequence of its own.
    #[cold]
    fn parse_for_client(&mut self, statement: &Arc<Statement>, ahead: bool) -> Prepared {
        if statement.is_unnamed()
            && let Some(when) = self.when()
        {
            self.conn.statements.stands_for(statement.fingerprint(), statement, when);
        }
        statement.put_parse(self.splice.insert());
        self.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(statement.id()), None));
        if statement.is_told() {
            statement.put_describe(self.splice.insert());
            self.pipeline.sent(Owed::Check(statement.clone()));
            return self.await_check(ahead);
        }
        if statement.is_untold() {
            self.ask_of(statement, Whose::Nobodys);
        }
        Prepared::Ready
    }

    /// The client's message waits for what the server says of a statement. That takes a snapshot, behind which the client
    /// could not choose an isolation level any more in the same transaction: so wherever it can be it is a transaction of
    /// its own (`ahead`).
    pub(super) fn await_check(&mut self, ahead: bool) -> Prepared {
        if ahead {
            put(self.splice.insert(), b'S', |_| {});
            self.pipeline.sent_ahead();
            self.tenancy.await_check_ahead();
        } else {
            put(self.splice.insert(), b'H', |_| {});
            self.tenancy.await_check();
        }
        Prepared::Checking
    }

    /// The server is to refuse what comes here, in these words.
    #[cold]
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        put(self.splice.insert(), b'B', |out| {
            put_cstr(out, b"");
            put_cstr(out, SERVER_PREFIX);
            out.extend_from_slice(&[0; 6]);
        });
        self.pipeline.sent(Owed::Refuse(refusal));
    }

    /// The same in the place of a query, which ends what was sent before it.
    #[cold]
    pub(super) fn refuse_query(&mut self, refusal: Refusal) {
        self.refuse(refusal);
        if self.tenancy.fate.is_on() {
            self.sync_decides();
        }
        put(self.splice.insert(), b'S', |_| {});
        self.pipeline.sent(Owed::Sync);
        self.tenancy.sequence_ends();
    }

    /// When something that is parsed now is parsed; `None` while the schema changes.
    pub(super) fn when(&self) -> Option<When> {
        let generation = self.terms.schema.generation()?;
        Some(When { now: self.terms.now, generation })
    }

    /// Uses a statement of the server's; if it lacks it, there is room for it.
    pub(super) fn make_room(&mut self, id: u64) -> Prepare {
        let prepare =
            self.conn.statements.use_statement(id, self.terms.client, self.terms.max_prepared_statements);
        if let Prepare::CloseThenParse(closed, worth) = prepare {
            let undo = match worth {
                Worth::Sound => Undo::ServerKeeps(closed),
                Worth::Spoilt => Undo::ServerDistrusts(closed),
            };
            put_close(self.splice.insert(), closed);
            self.pipeline.sent(Owed::Close(For::Us, Some(undo)));
        }
        prepare
    }

    /// Closes a statement of the server's.
    pub(super) fn close(&mut self, id: u64) {
        self.conn.statements.forget(id);
        put_close(self.splice.insert(), id);
        self.pipeline.sent(Owed::Close(For::Us, Some(Undo::ServerKeeps(id))));
    }

    pub(super) fn sharing(&self, reading: Reading) -> Sharing {
        match (self.tenancy.settings, self.tenancy.awaited) {
            (Settings::Followed, Awaited::Nothing) => reading.sharing,
            _ => Sharing::Nobody,
        }
    }
}
