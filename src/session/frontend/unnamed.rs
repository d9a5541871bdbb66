//! Unnamed statements that a server has prepared already.
//!
//! Most drivers send the text of a statement with every use of it. Where the server has the same text prepared under a
//! name of ours, the Parse is answered by us and that statement is bound instead; what parsing costs is saved. What must
//! not differ is what it means: so a text is shared by the rule of named statements, for [`UNNAMED_AGE_MAX`] at most and
//! no longer than the schema stays what it was. Texts that come only once are not prepared.
//!
//! [`UNNAMED_AGE_MAX`]: crate::wire::held::UNNAMED_AGE_MAX

use super::{
    Arc, Awaited, For, Frontend, HEADER_BYTES, Header, Known, Owed, OwnAnswer, Passage, Prepare, Sent,
    Settings, Statement, Undo, Unnamed, When, cstr, fingerprint,
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

impl Frontend {
    /// A Parse of the unnamed statement, whole: whether one that has a name on the server takes its place.
    #[inline]
    pub(super) fn parse_mapped(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> bool {
        let Some(when) = passage.may_map() else { return false };
        let Some((query, types)) = cstr(&message[HEADER_BYTES + 1..]) else { return false };
        let scope = passage.terms.scope;
        let sent =
            Sent { fingerprint: fingerprint(scope.fingerprint(), &[query, types]), scope, query, types };
        match passage.conn.statements.unnamed(&sent, when) {
            Known::Fresh(statement) => {
                passage.pipeline.keep_sequence();
                let before = std::mem::replace(&mut self.unnamed, Unnamed::Shared(statement));
                passage.pipeline.sent(Owed::Own(
                    OwnAnswer::ParseComplete,
                    Some(Undo::Unnamed(before, passage.tenancy.unnamed)),
                ));
            }
            Known::Stale(statement) => self.map(&statement, &sent, when, passage),
            Known::No => {
                let Some(statement) = passage.worth_preparing(&sent) else { return false };
                self.map(&statement, &sent, when, passage);
            }
        }
        self.leave_out(header, message, passage);
        true
    }

    /// Has the server parse a statement, under its name there.
    #[cold]
    fn map(
        &mut self,
        statement: &Arc<Statement>,
        sent: &Sent<'_>,
        when: When,
        passage: &mut Passage<'_, '_>,
    ) {
        if passage.make_room(statement.id()) == Prepare::Ready {
            passage.close(statement.id());
            passage.conn.statements.parsed_anew();
        }
        passage.conn.statements.stands_for(sent.fingerprint, statement, when);
        statement.put_parse(passage.splice.insert());
        let before = std::mem::replace(&mut self.unnamed, Unnamed::Shared(statement.clone()));
        let forget = Undo::ServerForgets(statement.id());
        passage.pipeline.sent(Owed::Parse(
            For::Client,
            forget,
            Some(Undo::Unnamed(before, passage.tenancy.unnamed)),
        ));
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
        let generation = if may { terms.schema.generation() } else { None };
        generation.map(|generation| When { now: terms.now, generation })
    }

    /// The statement for a text that the server has not prepared, if it should.
    fn worth_preparing(&mut self, sent: &Sent<'_>) -> Option<Arc<Statement>> {
        let terms = self.terms;
        // Its types must be what they seem, so that the server need not refuse them.
        let (count, types) = sent.types.split_first_chunk()?;
        let sound = types.len() == usize::from(u16::from_be_bytes(*count)) * 4;
        if !sound || !terms.catalog.sightings.again(sent.fingerprint) {
            return None;
        }
        let reading = self.read(sent.query);
        let admitted =
            reading.may_stand_for_unnamed() && self.conn.statements.admits(terms.max_prepared_statements);
        admitted.then(|| terms.catalog.unnamed(sent.scope, sent.query, sent.types, reading.conduct))
    }
}
