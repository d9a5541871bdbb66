//! Asking a transaction about itself ahead of its COMMIT.

use super::{Block, Conduct, For, Owed, Passage, Prepare, Undo};
use crate::{
    session::fate::{
        Decision,
        question::{put_execute, put_prepare, put_query},
    },
    wire::statements::FATE,
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
        if conduct.block != Block::Stays {
            self.tenancy.fate.muddle();
        }
        if conduct.block == Block::Commits && self.tenancy.fate.is_wanted() {
            self.ask_within();
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

    /// A COMMIT is executed next. A query would replace what the client has prepared and bound without a name, and cannot be
    /// sent inside a sequence: what is asked has names of its own.
    fn ask_within(&mut self) {
        if self.terms.max_prepared_statements == 0 || !self.pipeline.may_ask_within() {
            return;
        }
        if self.make_room(FATE) != Prepare::Ready {
            put_prepare(self.splice.insert());
            self.pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(FATE), None));
        }
        put_execute(self.splice.insert());
        for owed in [Owed::Ours(b'2'), Owed::EvidenceRow, Owed::Ours(b'3')] {
            self.pipeline.sent(owed);
        }
        self.tenancy.fate.asks(Decision::Command, self.terms.now);
    }
}
