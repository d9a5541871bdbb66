//! Asking a transaction about itself before it is committed.

use super::{Acting, Block, Conduct, For, Owed, Passage, Prepare, Undo, put};
use crate::{
    session::fate::{
        Decision,
        question::{put_execute, put_prepare, put_query},
    },
    wire::statements::{FATE, FATE_FIRST},
};

impl Passage<'_, '_> {
    /// This comes next, as a query.
    #[cold]
    pub(super) fn query_decides(&mut self, conduct: Conduct) {
        // It ends what was sent before it without a Sync, whatever it is.
        self.tenancy.fate.muddle();
        if conduct.block == Block::Commits && self.tenancy.fate.is_wanted() {
            self.ask_ahead();
        }
    }

    /// This is executed next.
    #[cold]
    pub(super) fn execute_decides(&mut self, conduct: Conduct) {
        if conduct.acting != Acting::Changes {
            // Some commit by themselves in the middle of a sequence (VACUUM).
            self.tenancy.fate.muddle();
        }
        if !self.tenancy.fate.is_wanted() || self.terms.max_prepared_statements == 0 {
            return;
        }
        if conduct.block == Block::Commits && self.pipeline.may_ask_within() {
            self.ask_within(FATE, Decision::Command);
        } else if conduct.acting == Acting::Changes && self.pipeline.may_ask_first() {
            self.ask_within(FATE_FIRST, Decision::End);
        }
    }

    /// What ends a sequence comes next. What the statements before it have come to the client is to hear before it is committed.
    #[cold]
    pub(super) fn sync_decides(&mut self) {
        if self.tenancy.fate.awaits_end() {
            put(self.splice.insert(), b'H', |_| {});
        }
    }

    /// A COMMIT comes next, as a query.
    fn ask_ahead(&mut self) {
        if self.pipeline.may_ask_ahead() {
            put_query(self.splice.insert());
            self.pipeline.sent(Owed::Evidence);
            self.tenancy.fate.asks(Decision::Command, self.terms.now);
        }
    }

    /// Asks inside a sequence. A query would replace what the client has prepared and bound without a name, and cannot be
    /// sent inside a sequence: what is asked has names of its own.
    fn ask_within(&mut self, question: u64, decision: Decision) {
        if self.make_room(question) != Prepare::Ready {
            put_prepare(question, self.splice.insert());
            self.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(question), None));
        }
        put_execute(question, self.splice.insert());
        for owed in [Owed::Ours(b'2'), Owed::EvidenceRow, Owed::Ours(b'3')] {
            self.pipeline.sent(owed);
        }
        self.tenancy.fate.asks(decision, self.terms.now);
    }
}
