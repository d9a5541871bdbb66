//! The extended query protocol: statements and portals by name.

use super::{
    By, Conduct, Description, For, Frontend, HEADER_BYTES, Header, Mapped, Named, Owed, OwnAnswer, Parsed,
    Passage, PgError, PoolMode, Prepare, Prepared, Reading, Refusal, Sharing, Source, Statement, Subject,
    TAKEN, Text, Undo, Unnamed, UnnamedAt, UnnamedText, Whose, cstr,
    malformed::{are_types, subject},
    put_cstr, put_parse_taken, put_parse_twice, taken_for_ours, too_long_to_keep,
};
use crate::wire::named::looked_at;

impl Frontend {
    pub(super) fn parse(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        let body = &message[HEADER_BYTES..];
        let whole = message.len() == header.total;
        let Some((name, rest)) = cstr(body) else { return self.pass_malformed(header, message, passage) };
        let parts = cstr(rest);
        if whole && !parts.is_some_and(|(_, types)| are_types(types)) {
            return self.pass_malformed(header, message, passage);
        }
        if name.is_empty() || passage.terms.max_prepared_statements == 0 {
            if !name.is_empty() && passage.terms.mode != PoolMode::Session {
                passage.refuse(Refusal::StatementsNotFollowed);
                self.leave_out(header, message, passage);
                return Ok(());
            }
            if name.is_empty() && whole && self.parse_mapped(header, message, parts, passage) != Mapped::No {
                return Ok(());
            }
            let (text, reading) = match parts {
                Some((text, _)) => (Text::Whole(text), passage.read(text)),
                None => (Text::Prefix(rest), Reading::of_prefix(rest, passage.lexicon())),
            };
            let provided = self.provide(reading.conduct, text, By::Parse.with(reading.form), passage);
            if provided == Prepared::Checking {
                return Ok(());
            }
            let undo = if name.is_empty() {
                // A longer one is not kept: it is lost when the client gets another server.
                let Reading { conduct, form, .. } = reading;
                self.unnamed_passed = self.unnamed_passed.wrapping_add(1);
                let number = self.unnamed_passed;
                let text = |message: &[u8]| {
                    Unnamed::Text(Box::new(UnnamedText {
                        message: message.into(),
                        conduct,
                        form,
                        number,
                        description: Description::Unasked,
                    }))
                };
                let unnamed = if whole { text(message) } else { Unnamed::None };
                // Without what it is to run it is not what it is to be.
                let there = if provided == Prepared::Ready { UnnamedAt::Ours } else { UnnamedAt::Unknown };
                let at = std::mem::replace(&mut passage.tenancy.unnamed, there);
                Undo::Unnamed(std::mem::replace(&mut self.unnamed, unnamed), at)
            } else {
                Undo::UnnamedElsewhere
            };
            passage.pipeline.sent(Owed::Parse(For::Client, undo, None));
            if !whole || !name.is_empty() {
                // Bound later without its text at hand: take it as run now.
                passage.heed(reading, text)?;
            } else if passage.terms.read_only {
                passage.may_run(reading)?;
            }
            self.pass(header, message, passage);
            return Ok(());
        }
        let Some((query, types)) = parts.filter(|_| whole) else { return Err(too_long_to_keep()) };
        self.parse_named(header, message, (name, query, types), passage)
    }

    fn parse_named(
        &mut self,
        header: Header,
        message: &[u8],
        (name, query, types): (&[u8], &[u8], &[u8]),
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        if self.statements.get(name).is_some() {
            // The name is taken. The server says so itself, or what else it has against the text, so that its
            // transaction fails as it should.
            if passage.make_room(TAKEN) != Prepare::Ready {
                put_parse_taken(passage.splice.insert());
                passage.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(TAKEN), None));
            }
            put_parse_twice(passage.splice.insert(), &message[HEADER_BYTES + name.len() + 1..]);
            passage.pipeline.sent(Owed::ParseTwice(name.into()));
            self.leave_out(header, message, passage);
            return Ok(());
        }
        if !self.statements.has_room_for(query) {
            passage.refuse(Refusal::TooManyStatements);
            self.leave_out(header, message, passage);
            return Ok(());
        }
        let reading = passage.read(query);
        passage.may_run(reading)?;
        let text = Text::Whole(query);
        let provided =
            self.provide_for_description((reading.form, reading.conduct), text, By::Parse, passage);
        if provided == Prepared::Checking {
            return Ok(());
        }
        if passage.may_be_taken(name) {
            passage.try_name(name, query, types);
        }
        let terms = passage.terms;
        let source =
            Source { scope: terms.scope, query, types, conduct: reading.conduct, form: reading.form };
        let mut statement = terms.catalog.statement(&source, passage.sharing(reading), passage.when());
        let has = passage.conn.statements.has(statement.id());
        let undo = Undo::ClientForgets(name.into());
        if has || statement.is_told() {
            if !passage.pipeline.accepts_parse() {
                // Whether it may be parsed now only the server can say.
                statement = terms.catalog.statement(&source, Sharing::Nobody, None);
            } else if has || passage.prepare(&statement) != Prepared::Checking {
                passage.make_room(statement.id());
                let serial = self.statements.insert(name, statement, Parsed::ForAnother);
                passage.pipeline.keep_sequence(serial);
                passage.pipeline.sent(Owed::Own(OwnAnswer::ParseComplete, Some(undo)));
                self.leave_out(header, message, passage);
                return Ok(());
            } else {
                return Ok(());
            }
        }
        passage.make_room(statement.id());
        if provided == Prepared::Refused {
            passage.is_of_nothing(&statement);
        }
        statement.put_parse(passage.splice.insert());
        let forget = Undo::ServerForgets(statement.id());
        let serial = self.statements.insert(name, statement.clone(), Parsed::Now);
        passage.parses(&statement, serial);
        passage.pipeline.sent(Owed::Parse(For::Client, forget, Some(undo)));
        self.leave_out(header, message, passage);
        Ok(())
    }

    pub(super) fn bind(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        let body = &message[HEADER_BYTES..];
        let names = cstr(body).and_then(|(portal, rest)| Some((portal, cstr(rest)?)));
        let Some((portal, (name, parameters))) = names else {
            return self.pass_malformed(header, message, passage);
        };
        passage.tenancy.binds_portal(portal);
        let mut unlearnt = None;
        let (conduct, serial) = match self.known(name, passage) {
            Some(Named { statement, serial, parsed }) => {
                let whole = message.len() == header.total;
                let (text, by) = (Text::Whole(statement.query()), By::Use.with(statement.form()));
                let provided = self.provide(statement.conduct(), text, by, passage);
                match passage.prepare_with(provided, &statement) {
                    Prepared::Ready if parsed == Parsed::ForAnother => self.uses(name, serial, passage),
                    Prepared::Ready => {}
                    Prepared::Checking => return Ok(()),
                    Prepared::Refused if whole => {
                        // What is wrong with the values PostgreSQL finds before that.
                        let put_name = |out: &mut Vec<u8>| statement.put_name(out);
                        self.bind_refused(header, message, (portal, parameters), put_name, passage);
                        passage.pipeline.sent(Owed::OwnBind(serial));
                        passage.refuse(Refusal::ResultChanged);
                        return Ok(());
                    }
                    Prepared::Refused => {
                        passage.refuse(Refusal::ResultChanged);
                        self.leave_out(header, message, passage);
                        return Ok(());
                    }
                }
                self.bind_prepared(header, message, (portal, parameters), &statement, passage);
                passage.heed_conduct(statement.conduct(), Text::Whole(statement.query()));
                (statement.conduct(), serial)
            }
            None => {
                let conduct = if name.is_empty() {
                    match self.provide_and_prepare_unnamed(passage) {
                        Prepared::Ready => {
                            unlearnt = self.unlearnt_unnamed();
                            self.heed_unnamed(passage)
                        }
                        Prepared::Checking => return Ok(()),
                        Prepared::Refused => {
                            if message.len() == header.total {
                                let put_name = |out: &mut Vec<u8>| put_cstr(out, b"");
                                self.bind_refused(header, message, (portal, parameters), put_name, passage);
                                passage.pipeline.sent(Owed::OwnBind(0));
                            } else {
                                self.leave_out(header, message, passage);
                            }
                            passage.refuse(Refusal::ResultChanged);
                            return Ok(());
                        }
                    }
                } else {
                    // Not ours: prepared by SQL, or the server will say that it does not exist.
                    passage.touch_prepared(name);
                    Conduct::HARMLESS
                };
                if taken_for_ours(name) {
                    passage.pipeline.sent(Owed::Unknown(name.into()));
                    self.disguise(header, message, HEADER_BYTES + portal.len() + 1, name, passage);
                    return Ok(());
                }
                self.pass(header, message, passage);
                (conduct, 0)
            }
        };
        passage.tenancy.portal_is_bound(portal);
        passage.tenancy.bind(conduct, !portal.is_empty(), unlearnt);
        passage.pipeline.sent(Owed::Bind(serial));
        Ok(())
    }

    /// Passes a Bind on with the server's name for the statement. `parameters` is what follows the names.
    fn bind_prepared(
        &mut self,
        header: Header,
        message: &[u8],
        (portal, parameters): (&[u8], &[u8]),
        statement: &Statement,
        passage: &mut Passage<'_, '_>,
    ) {
        let skipped = message.len() - parameters.len();
        let out = passage.splice.insert();
        let start = out.len();
        out.extend_from_slice(b"B\0\0\0\0");
        out.extend_from_slice(portal);
        out.push(0);
        statement.put_name(out);
        let length = header.total - skipped + out.len() - start - 1;
        out[start + 1..start + HEADER_BYTES]
            .copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        passage.splice.skip(skipped);
        passage.splice.pass(parameters.len());
        self.set_rest(super::Rest::Pass(header.total - message.len()));
    }

    pub(super) fn describe_or_close(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        let close = header.tag == b'C';
        let Some((kind, name)) = subject(&message[HEADER_BYTES..]) else {
            return self.pass_malformed(header, message, passage);
        };
        if kind == b'S' && close {
            if passage.awaits_copy(looked_at(name)) {
                return Ok(());
            }
            if let Some(named) = self.statements.remove(name) {
                if passage.tenancy.is_touched() {
                    passage.close_copy(looked_at(name));
                }
                let undo = Undo::ClientKeeps(Box::new((name.into(), named)));
                passage.pipeline.sent(Owed::Own(OwnAnswer::CloseComplete, Some(undo)));
                self.leave_out(header, message, passage);
                return Ok(());
            }
            if taken_for_ours(name) {
                // Closing what does not exist is no error, but this name would close another client's.
                passage.pipeline.sent(Owed::Own(OwnAnswer::CloseComplete, None));
                self.leave_out(header, message, passage);
                return Ok(());
            }
            if name.is_empty() {
                let at = std::mem::replace(&mut passage.tenancy.unnamed, UnnamedAt::Ours);
                let undo = Undo::Unnamed(std::mem::take(&mut self.unnamed), at);
                passage.pipeline.sent(Owed::Close(For::Client, Some(undo)));
                self.pass(header, message, passage);
                return Ok(());
            }
            passage.touch_closed(name);
        } else if kind == b'S' {
            if let Some(named) = self.known(name, passage) {
                self.describe_named(name, named, header, message, passage);
                return Ok(());
            }
            if name.is_empty() {
                return self.describe_unnamed(header, message, passage);
            }
            if taken_for_ours(name) {
                passage.pipeline.sent(Owed::Unknown(name.into()));
                self.disguise(header, message, HEADER_BYTES + 1, name, passage);
                return Ok(());
            }
        } else if !close
            && name.is_empty()
            && passage.tenancy.unlearnt_portal.is_some()
            && let bound = passage.tenancy.unlearnt_portal.take()
            && let Some(subject) = self.asks_of_portal(bound)
        {
            passage.pipeline.sent(Owed::Tell(0, subject));
            self.pass(header, message, passage);
            return Ok(());
        }
        passage.pipeline.sent(if close { Owed::Close(For::Client, None) } else { Owed::Describe(0) });
        self.pass(header, message, passage);
        Ok(())
    }

    /// Describe of a statement that the client has named.
    fn describe_named(
        &mut self,
        name: &[u8],
        Named { statement, serial, parsed }: Named,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) {
        let (form, text) = ((statement.form(), statement.conduct()), Text::Whole(statement.query()));
        let provided = self.provide_for_description(form, text, By::Use, passage);
        let prepared = passage.prepare_with(provided, &statement);
        if prepared == Prepared::Checking {
            return;
        }
        if prepared == Prepared::Ready && parsed == Parsed::ForAnother {
            self.uses(name, serial, passage);
        }
        statement.put_describe(passage.splice.insert());
        match prepared {
            // PostgreSQL tells the parameters before it finds that the result has changed.
            Prepared::Refused => {
                passage.pipeline.sent(Owed::Parameters);
                passage.refuse(Refusal::ResultChanged);
            }
            _ if statement.is_untold() => {
                let subject = Subject::Statement(statement, Whose::Clients(serial));
                passage.pipeline.sent(Owed::Tell(serial, subject));
            }
            _ => passage.pipeline.sent(Owed::Describe(serial)),
        }
        self.leave_out(header, message, passage);
    }
}
