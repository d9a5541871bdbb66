//! Unnamed statements that a server has prepared already.
//!
//! Most drivers send the text of a statement with every use of it. Where the server has the same text prepared under a
//! name of ours, the Parse is answered by us and that statement is bound instead; what parsing costs is saved. What must
//! not differ is what it means: so a text is shared by the rule of named statements, for [`PARSED_AGE_MAX`] at most and
//! no longer than the schema stays what it was. Texts that come only once are not prepared.
//!
//! [`PARSED_AGE_MAX`]: crate::wire::schema::PARSED_AGE_MAX

use super::{
    Arc, Awaited, Conduct, For, Form, Frontend, Header, Known, Owed, OwnAnswer, Parsed, Passage, PgError,
    Prepared, Refusal, Rest, Sent, Settings, Source, Statement, Text, Undo, Unnamed, UnnamedAt, When,
    fingerprint,
    learning::{known, learn_unnamed},
    put,
};

/// What is done with unnamed statements (`map_unnamed_statements`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnnamedPolicy {
    /// They are passed on.
    #[default]
    PassOn,
    /// Where it can be, one that a server has prepared is used instead.
    Map,
}

/// What became of a Parse of the unnamed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapped {
    /// Another takes its place.
    Yes,
    /// It is to be looked at again when the server has answered.
    Later,
    /// It is the server's.
    No,
}

impl Frontend {
    /// The statement that stands for the client's unnamed one, if one does and no message is on its way in part.
    pub fn stand_in(&self) -> Option<&Arc<Statement>> {
        match &self.unnamed {
            Unnamed::Shared(statement, _) if self.rest == Rest::None => Some(statement),
            _ => None,
        }
    }

    /// A Parse of the unnamed statement, whole, with the text and types that are in it: whether one that has a name on the server takes its place.
    #[inline]
    pub(super) fn parse_mapped(
        &mut self,
        header: Header,
        message: &[u8],
        parts: Option<(&[u8], &[u8])>,
        passage: &mut Passage<'_, '_>,
    ) -> Mapped {
        let Some(((query, types), when)) = parts.zip(passage.may_map()) else { return Mapped::No };
        let scope = passage.terms.scope;
        let sent =
            Sent { fingerprint: fingerprint(scope.fingerprint(), &[query, types]), scope, query, types };
        match passage.conn.statements.unnamed(&sent, when) {
            Known::Fresh(statement) => {
                passage.pipeline.keep_sequence(0);
                self.answer_parse(statement, passage);
            }
            Known::Stale(old) => {
                let (conduct, form) = (old.conduct(), Form::Planned);
                let source = Source { scope, query, types, conduct, form };
                let statement = passage.terms.catalog.unnamed(&source, when);
                let ahead = passage.pipeline.may_sync();
                if statement.id() != old.id() {
                    passage.close(old.id());
                }
                if !self.map(statement, &sent, (when, ahead), passage) {
                    return Mapped::Later;
                }
            }
            Known::No => {
                let Some(statement) = passage.worth_preparing(&sent, when) else { return Mapped::No };
                let ahead = passage.pipeline.may_sync();
                if !self.map(statement, &sent, (when, ahead), passage) {
                    return Mapped::Later;
                }
            }
        }
        self.leave_out(header, message, passage);
        Mapped::Yes
    }

    /// Another statement takes the place of the client's, and the server need not be asked.
    fn answer_parse(&mut self, statement: Arc<Statement>, passage: &mut Passage<'_, '_>) {
        let unnamed = Unnamed::Shared(statement, Parsed::ForAnother);
        let before = std::mem::replace(&mut self.unnamed, unnamed);
        passage
            .pipeline
            .sent(Owed::Own(OwnAnswer::ParseComplete, Some(Undo::Unnamed(before, passage.tenancy.unnamed))));
    }

    /// Has the server parse a statement, under its name there. False: of others it is known what it yields, so the server
    /// must say first whether it does so there. `ahead`: what is ours can be a sequence of its own.
    #[cold]
    fn map(
        &mut self,
        statement: Arc<Statement>,
        sent: &Sent<'_>,
        (when, ahead): (When, bool),
        passage: &mut Passage<'_, '_>,
    ) -> bool {
        let has = passage.conn.statements.has(statement.id());
        if has || statement.is_told() {
            if !has && passage.prepare_as(&statement, ahead) == Prepared::Checking {
                return false;
            }
            passage.make_room(statement.id());
            // What the server has it may have had for as long.
            let since = statement.parsed().filter(|_| has).unwrap_or(when);
            passage.conn.statements.stands_for(sent.fingerprint, &statement, since);
            if has {
                passage.pipeline.keep_sequence(0);
            }
            self.answer_parse(statement, passage);
            return true;
        }
        passage.make_room(statement.id());
        passage.conn.statements.stands_for(sent.fingerprint, &statement, when);
        statement.put_parse(passage.splice.insert());
        let forget = Undo::ServerForgets(statement.id());
        passage.parses(&statement, 0);
        let before = std::mem::replace(&mut self.unnamed, Unnamed::Shared(statement, Parsed::Now));
        passage.pipeline.sent(Owed::Parse(
            For::Client,
            forget,
            Some(Undo::Unnamed(before, passage.tenancy.unnamed)),
        ));
        true
    }
}

/// The client's unnamed statement where nothing takes its place.
impl Frontend {
    /// The text of the client's unnamed statement, where it is passed on.
    pub fn unnamed_text(&self) -> Option<&[u8]> {
        let Unnamed::Text(unnamed) = &self.unnamed else { return None };
        unnamed.parts().map(|(text, _)| text)
    }

    /// Makes the server's unnamed statement the client's own, if it may be another's.
    pub(super) fn prepare_unnamed(&mut self, passage: &mut Passage<'_, '_>) -> Prepared {
        if passage.tenancy.unnamed == UnnamedAt::Ours {
            return Prepared::Ready;
        }
        let Unnamed::Text(text) = &mut self.unnamed else {
            // Then the server itself says that there is none.
            put(passage.splice.insert(), b'C', |out| out.extend_from_slice(b"S\0"));
            passage.pipeline.sent(Owed::Close(For::Us, Some(Undo::UnnamedElsewhere)));
            passage.tenancy.unnamed = UnnamedAt::Ours;
            return Prepared::Ready;
        };
        let ahead = passage.pipeline.may_sync();
        let known = known(text, passage.terms);
        match &known {
            Some(known) if passage.tenancy.is_refused(known.id()) => return Prepared::Refused,
            Some(known) => known.put_parse_as(b"", passage.splice.insert()),
            None => passage.splice.insert().extend_from_slice(&text.message),
        }
        passage.pipeline.sent(Owed::Parse(For::Us, Undo::UnnamedElsewhere, None));
        passage.tenancy.unnamed = UnnamedAt::Ours;
        let Some(known) = known else {
            if text.form == Form::Planned {
                // Nobody could tell so far. From here on it is held to what it yields here.
                learn_unnamed(text, passage);
            }
            return Prepared::Ready;
        };
        put(passage.splice.insert(), b'D', |out| out.extend_from_slice(b"S\0"));
        passage.pipeline.sent(Owed::Check(known));
        passage.await_check(ahead)
    }

    /// The same, with what it names. Without that it is not what it is to be, and parsed again when it is used next.
    pub(super) fn provide_and_prepare_unnamed(&mut self, passage: &mut Passage<'_, '_>) -> Prepared {
        let provided = self.provide_for_unnamed(passage);
        let prepared = provided.and(|| self.prepare_unnamed(passage));
        if provided == Prepared::Refused {
            passage.tenancy.loses_unnamed();
        }
        prepared
    }

    /// The unnamed statement is bound: what running it may do.
    pub(super) fn heed_unnamed(&self, passage: &mut Passage<'_, '_>) -> Conduct {
        let Unnamed::Text(unnamed) = &self.unnamed else { return Conduct::UNSEEN };
        if let Some((text, _)) = unnamed.parts() {
            passage.heed_conduct(unnamed.conduct, Text::Whole(text));
        }
        unnamed.conduct
    }

    /// Describe of the unnamed statement: what the server says of it is noted, for the next one.
    #[cold]
    pub(super) fn describe_unnamed(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        let runs = matches!(&self.unnamed, Unnamed::Text(text) if text.form == Form::Runs);
        match if runs { self.provide_and_prepare_unnamed(passage) } else { self.prepare_unnamed(passage) } {
            Prepared::Ready => {}
            Prepared::Checking => return Ok(()),
            Prepared::Refused => {
                self.pass(header, message, passage);
                passage.pipeline.sent(Owed::Parameters);
                passage.refuse(Refusal::ResultChanged);
                return Ok(());
            }
        }
        let asks = self.asks_of_unnamed();
        passage.pipeline.sent(asks.map_or(Owed::Describe(0), |subject| Owed::Tell(0, subject)));
        self.pass(header, message, passage);
        Ok(())
    }
}

impl Passage<'_, '_> {
    /// Whether what is parsed now means the same as for others, and when that is.
    #[inline]
    fn may_map(&self) -> Option<When> {
        let terms = self.terms;
        let may = terms.unnamed == UnnamedPolicy::Map
            && terms.max_prepared_statements > 0
            && !terms.read_only
            && self.tenancy.settings == Settings::Followed
            && self.tenancy.awaited == Awaited::Nothing
            && self.pipeline.accepts_parse();
        if may { self.when() } else { None }
    }

    /// The statement for a text that the server has not prepared, if it should.
    fn worth_preparing(&mut self, sent: &Sent<'_>, when: When) -> Option<Arc<Statement>> {
        let terms = self.terms;
        if !terms.catalog.sightings.again(sent.fingerprint) {
            return None;
        }
        let reading = self.read(sent.query);
        let admitted =
            reading.may_stand_for_unnamed() && self.conn.statements.admits(terms.max_prepared_statements);
        let (conduct, form) = (reading.conduct, reading.form);
        let source = Source { scope: sent.scope, query: sent.query, types: sent.types, conduct, form };
        admitted.then(|| terms.catalog.unnamed(&source, when))
    }
}
