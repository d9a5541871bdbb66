//! The client's own statements, as the server at hand is to have them.

use super::{
    Arc, Awaited, Frontend, HEADER_BYTES, Header, Named, Parsed, Passage, SERVER_PREFIX, Serial, Settings,
    Sharing, Statement, Unnamed,
};

impl Frontend {
    /// The client's statement of this name, as the server is to have it.
    pub(super) fn known(&mut self, name: &[u8], passage: &Passage<'_, '_>) -> Option<Named> {
        if name.is_empty() {
            let Unnamed::Shared(statement, parsed) = &self.unnamed else { return None };
            let (statement, parsed) = (statement.clone(), *parsed);
            let keep = |this: &mut Self, now| this.unnamed = Unnamed::Shared(now, parsed);
            let statement = self.of_now(statement, passage, keep);
            return Some(Named { statement, serial: 0, parsed });
        }
        let Named { statement, serial, parsed } = self.statements.get(name)?.clone();
        let keep =
            |this: &mut Self, now| this.statements.restore(name, Named { statement: now, serial, parsed });
        Some(Named { statement: self.of_now(statement, passage, keep), serial, parsed })
    }

    /// A statement of the client's, if the server has it: what it meant when it was parsed, it means for good, as
    /// everywhere in PostgreSQL. Otherwise made for the settings of now.
    fn of_now(
        &mut self,
        statement: Arc<Statement>,
        passage: &Passage<'_, '_>,
        keep: impl FnOnce(&mut Self, Arc<Statement>),
    ) -> Arc<Statement> {
        let terms = passage.terms;
        if passage.conn.statements.has(statement.id()) || passage.tenancy.is_refused(statement.id()) {
            return statement;
        }
        let now =
            if passage.tenancy.settings == Settings::Changed || passage.tenancy.awaited == Awaited::Report {
                // Parsed now, it may mean something else than elsewhere: it is the client's own from here on.
                terms.catalog.rescoped(&statement, terms.scope, Sharing::Nobody, None)
            } else if let Some(last) = terms.catalog.last(&statement, terms.scope) {
                last
            } else if statement.is_of(terms.scope) {
                return statement;
            } else {
                let sharing = passage.sharing(passage.read(statement.query()));
                terms.catalog.rescoped(&statement, terms.scope, sharing, passage.when())
            };
        keep(self, now.clone());
        now
    }

    /// The client uses for the first time what was parsed for another, on a server that has it: if that finds it too old, it is
    /// parsed for this client.
    pub(super) fn uses(&mut self, name: &[u8], serial: Serial, passage: &mut Passage<'_, '_>) {
        match &mut self.unnamed {
            Unnamed::Shared(_, parsed) if name.is_empty() => *parsed = Parsed::Now,
            _ => self.statements.used(name),
        }
        passage.pipeline.keep_sequence(serial);
    }

    /// What nobody has parsed for the client so far, and has this number, is another from now on, in the same words: whether
    /// there is any such.
    pub fn replace_unused(&mut self, id: u64, next: impl FnOnce() -> Arc<Statement>) -> bool {
        let unnamed = match &mut self.unnamed {
            Unnamed::Shared(statement, Parsed::ForAnother) if statement.id() == id => Some(statement),
            _ => None,
        };
        let unused = unnamed.is_some() || self.statements.has_unused(id);
        if unused {
            let next = next();
            self.statements.replace_unused(id, &next);
            if let Some(unnamed) = unnamed {
                *unnamed = next;
            }
        }
        unused
    }

    /// Passes a message on with another name than the one at `place`, which could be one of ours: so that the server says
    /// that it does not exist.
    pub(super) fn disguise(
        &mut self,
        header: Header,
        message: &[u8],
        place: usize,
        name: &[u8],
        passage: &mut Passage<'_, '_>,
    ) {
        let length = header.total - 1 - name.len() + SERVER_PREFIX.len();
        let out = passage.splice.insert();
        out.push(header.tag);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&message[HEADER_BYTES..place]);
        out.extend_from_slice(SERVER_PREFIX);
        out.extend_from_slice(&message[place + name.len()..]);
        passage.splice.skip(message.len());
        self.set_rest(super::Rest::Pass(header.total - message.len()));
    }
}
