//! What a server is given under the true names of the client's statements, for SQL to find.

use super::{Arc, Copy, For, Owed, Passage, Statement, Undo, put};
use crate::wire::statements::{put_close_as, put_describe_as, put_parse_as};

impl Passage<'_, '_> {
    /// The server gets a statement of the client's under its true name.
    pub(super) fn give(&mut self, name: &[u8], statement: &Statement) {
        self.parse_copy(name, Copy::Unasked, |out| statement.put_parse_as(name, out));
    }

    /// The server gets something that can be parsed in any state of a transaction and of the schema.
    pub(super) fn hold(&mut self, name: &[u8]) {
        self.parse_copy(name, Copy::Placeholder, |out| put_parse_as(name, b"", &[0; 2], out));
    }

    /// The server gets this in the place of what it has under a true name. Where the client has no sequence open it is one of
    /// its own, the Close included: should it fail, what follows is not skipped.
    fn parse_copy(&mut self, name: &[u8], copy: Copy, put_parse: impl FnOnce(&mut Vec<u8>)) {
        let undo = Undo::UnderOurName(name.into());
        if self.pipeline.is_in_sequence() {
            self.close_copy(name);
            put_parse(self.splice.insert());
            self.pipeline.sent(Owed::Parse(For::Us, undo, None));
        } else {
            let is_there = self.has_copy(name);
            let out = self.splice.insert();
            if is_there {
                put_close_as(name, out);
            }
            put_parse(out);
            put(out, b'S', |_| {});
            self.pipeline.sent(Owed::Aside(Some(undo)));
        }
        self.tenancy.copies_mut().put(name, copy);
    }

    /// Whether the server has something under a true name of the client's.
    fn has_copy(&self, name: &[u8]) -> bool {
        let copy = self.tenancy.copies().and_then(|copies| copies.get(name));
        !matches!(copy, None | Some(Copy::Refused(_)))
    }

    /// The same, and it says what that yields. Should it fail, so does the client's sequence.
    pub(super) fn ask(&mut self, name: &[u8], statement: &Arc<Statement>) {
        self.close_copy(name);
        self.tenancy.copies_mut().put(name, Copy::Unasked);
        let out = self.splice.insert();
        statement.put_parse_as(name, out);
        put_describe_as(name, out);
        self.pipeline.sent(Owed::Parse(For::Us, Undo::UnderOurName(name.into()), None));
        self.pipeline.sent(Owed::Copy(name.into(), statement.clone()));
    }

    /// The same in a sequence of its own. Should it fail, that is noted.
    pub(super) fn ask_apart(&mut self, name: &[u8], statement: &Arc<Statement>) {
        let is_there = self.has_copy(name);
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

    /// Something has the name that fails where the statement would.
    pub(super) fn stand_in(&mut self, name: &[u8], statement: &Statement, said: Option<Arc<[u8]>>) {
        let stand_in = self.tenancy.copies_mut().next_stand_in(said);
        let copy = Copy::StandIn(stand_in.clone());
        self.parse_copy(name, copy, |out| stand_in.put_copy(name, statement.types(), out));
    }

    /// The server has nothing any more under a true name of the client's.
    pub(super) fn close_copy(&mut self, name: &[u8]) {
        if self.has_copy(name) {
            self.tenancy.copies_mut().remove(name);
            put_close_as(name, self.splice.insert());
            self.pipeline.sent(Owed::Close(For::Us, Some(Undo::UnderTrueName(name.into()))));
        }
    }

    /// What was given under this name in a sequence of its own may be refused yet, in a transaction that has failed: what
    /// depends on it waits.
    pub(super) fn awaits_copy(&mut self, name: &[u8]) -> bool {
        let copy = self.tenancy.copies().and_then(|copies| copies.get(name));
        if copy != Some(&Copy::Unasked) || !self.pipeline.gives_copy(name) {
            return false;
        }
        if self.pipeline.is_in_sequence() {
            put(self.splice.insert(), b'H', |_| {});
        }
        self.tenancy.await_answers();
        true
    }
}
