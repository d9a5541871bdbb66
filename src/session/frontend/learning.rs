//! What statements yield, asked where the client does not ask.
//!
//! PostgreSQL holds a statement to what it yielded when it was parsed, whether anybody was told of that or not. Another
//! server, where it is parsed later, can be held to it only if the first has described it. So a Describe of ours follows
//! the Parse, unless the client's own does. Nothing has run between the two, so what was parsed is described and nothing
//! can fail by it. A text without a name is mostly sent with every use of it; that would double its Describe. So there the
//! client has time for its own up to its first Execute.

use super::{
    Arc, Description, Frontend, HEADER_BYTES, Header, Owed, Passage, Serial, Sharing, Source, SqlState,
    Statement, Subject, Terms, Unnamed, UnnamedAt, UnnamedText, Whose, malformed::subject, put,
};
use crate::wire::{
    description::{NOTHING_YIELDS, Shape, result},
    error::ServerError,
};

impl Frontend {
    /// Before a message of the client's: whether the server must be asked now what it was given to parse.
    #[inline]
    pub(super) fn learn(&mut self, header: Header, message: &[u8], passage: &mut Passage<'_, '_>) {
        if passage.tenancy.unlearnt.is_some() {
            self.learn_statement(header, message, passage);
        }
        if matches!(header.tag, b'E' | b'S' | b'H' | b'F')
            && let Unnamed::Text(text) = &mut self.unnamed
            && text.is_unasked()
        {
            learn_unnamed(text, passage);
        }
    }

    #[cold]
    fn learn_statement(&self, header: Header, message: &[u8], passage: &mut Passage<'_, '_>) {
        let Some((statement, serial)) = passage.tenancy.unlearnt.take() else { return };
        if !(passage.pipeline.is_skipping() || self.describes(header, message, &statement)) {
            passage.ask_of(&statement, Whose::Clients(serial));
        }
    }

    /// Whether a message is a Describe of a statement.
    fn describes(&self, header: Header, message: &[u8], statement: &Statement) -> bool {
        let named = match subject(message.get(HEADER_BYTES..).unwrap_or_default()) {
            Some((b'S', b"")) if header.tag == b'D' => self.stand_in(),
            Some((b'S', name)) if header.tag == b'D' => {
                self.statements.get(name).map(|named| &named.statement)
            }
            _ => None,
        };
        named.is_some_and(|named| named.id() == statement.id())
    }

    /// A server describes the client's unnamed statement of this number, in the body of one of its messages.
    pub fn described(&mut self, number: u32, tag: u8, body: &[u8]) {
        let Unnamed::Text(text) = &mut self.unnamed else { return };
        if text.number != number {
            return;
        }
        match tag {
            b't' => text.takes(body),
            _ => {
                if let Some(result) = result(tag, body) {
                    text.yields(result);
                }
            }
        }
    }

    /// Whether the client's unnamed statement is one of which the server was asked what it yields, in a sequence that failed
    /// before that.
    #[inline]
    pub fn lacks_description(&self) -> bool {
        matches!(&self.unnamed, Unnamed::Text(text) if text.is_unanswered())
    }

    /// The server that has it was asked once more. Where it does not say what it yields, the statement is refused on others:
    /// its table has changed, as far as can be known.
    #[cold]
    pub fn describes_late(&mut self, shape: Option<&Shape>, refusal: Option<&ServerError>) {
        let Unnamed::Text(text) = &mut self.unnamed else { return };
        if let Some(shape) = shape {
            text.takes(&shape.types);
            text.yields(shape.result);
        } else if refusal.is_some_and(|error| error.code == SqlState::INVALID_SQL_STATEMENT_NAME) {
            self.unnamed = Unnamed::None;
        } else {
            text.yields(NOTHING_YIELDS);
        }
    }

    /// The number of the client's unnamed statement, if it is one of which it is not known what it yields.
    pub(super) fn unlearnt_unnamed(&self) -> Option<u32> {
        let Unnamed::Text(text) = &self.unnamed else { return None };
        text.is_unasked().then_some(text.number)
    }

    /// The client's unnamed statement, if it is one of which it is not known what it yields: it is asked for now.
    pub(super) fn asks_of_unnamed(&mut self) -> Option<Subject> {
        let Unnamed::Text(text) = &mut self.unnamed else { return None };
        text.is_unasked().then(|| asked(text))
    }

    /// The same, if it is the one that is `bound` to the portal that is described now: what it yields is told, but not what it
    /// takes. Where the server has to find that out, it is asked otherwise.
    pub(super) fn asks_of_portal(&mut self, bound: Option<u32>) -> Option<Subject> {
        let is_it = |text: &UnnamedText| bound == Some(text.number) && !text.infers_types();
        matches!(&self.unnamed, Unnamed::Text(text) if is_it(text)).then(|| self.asks_of_unnamed())?
    }
}

/// The client has not asked, and may not before it runs the statement.
#[cold]
pub(super) fn learn_unnamed(text: &mut UnnamedText, passage: &mut Passage<'_, '_>) {
    let subject = asked(text);
    if passage.tenancy.unnamed == UnnamedAt::Ours && !passage.pipeline.is_skipping() {
        put(passage.splice.insert(), b'D', |out| out.extend_from_slice(b"S\0"));
        passage.pipeline.sent(Owed::Learn(subject));
    }
}

fn asked(text: &mut UnnamedText) -> Subject {
    text.description = Description::Asked(None);
    Subject::Unnamed(text.number)
}

/// What an unnamed statement must be on a server that parses it again, if that is known.
pub(super) fn known(text: &mut UnnamedText, terms: &Terms<'_>) -> Option<Arc<Statement>> {
    if let Description::Told(types, result) = &mut text.description {
        let (types, result) = (types.take(), *result);
        let (query, sent) = text.parts()?;
        let (conduct, form) = (text.conduct, text.form);
        let source = Source { scope: terms.scope, query, types: sent, conduct, form };
        let statement = terms.catalog.statement(&source, Sharing::Nobody, None);
        if let Some(types) = types {
            statement.takes(&types);
        }
        statement.yields(result);
        text.description = Description::Must(statement);
    }
    match &text.description {
        Description::Must(statement) => Some(statement.clone()),
        _ => None,
    }
}

impl Passage<'_, '_> {
    /// The server is to say what a statement yields that it was given just now.
    pub(super) fn ask_of(&mut self, statement: &Arc<Statement>, whose: Whose) {
        statement.put_describe(self.splice.insert());
        self.pipeline.sent(Owed::Learn(Subject::Statement(statement.clone(), whose)));
    }

    /// The server is given the client's statement of this number by a message of the client's: what it yields is asked with
    /// the next one, unless that asks.
    pub(super) fn parses(&mut self, statement: &Arc<Statement>, serial: Serial) {
        if statement.is_untold() {
            self.tenancy.unlearnt = Some((statement.clone(), serial));
        }
    }
}
