//! An error in the middle: what the server skips then, and what cannot be relied on before it is known to be fine.

use super::{
    super::{conduct::Step, statements::Unnamed},
    Block, CopyIn, Owed, Passage, Pipeline, Sequence, TransactionStatus, Undo,
};

/// Replies owed that are looked through for what may have become of a transaction.
const LOOK_MAX: usize = 64;

impl Pipeline {
    /// Whether a Parse that comes next is sure not to meet a failed transaction block, where the server would refuse it.
    #[inline]
    pub fn accepts_parse(&self) -> bool {
        if self.owed.is_empty() {
            return self.status != TransactionStatus::Failed;
        }
        // An error up to the next Sync takes the Parse with it. Beyond one, a block that is open may have failed.
        let mut steps = self.owed.iter().filter_map(Owed::step);
        let ends = |step| matches!(step, Step::Sync | Step::Query(_) | Step::FunctionCall);
        let begins = |step| {
            matches!(
                step,
                Step::Query(Block::Begins | Block::MayCommit)
                    | Step::Execute(Block::Begins | Block::MayCommit)
            )
        };
        match self.status {
            _ if self.owed.len() > LOOK_MAX => false,
            TransactionStatus::Idle => !steps.clone().any(begins) || !steps.any(ends),
            TransactionStatus::InBlock => !steps.any(ends),
            TransactionStatus::Failed => false,
        }
    }

    /// ErrorResponse: inside a query ReadyForQuery follows; otherwise the server skips to the next Sync. What it
    /// skips is undone, the last first.
    pub(super) fn failed(&mut self, undo: &mut dyn FnMut(Undo)) -> Passage {
        let passage = match self.owed.front_mut() {
            // Said of itself: the server is about to close.
            None | Some(Owed::Query(_) | Owed::FunctionCall) => return Passage::Pass,
            Some(Owed::ParseTwice(name)) => Passage::NameTwice(std::mem::take(name)),
            Some(Owed::Bind(serial) | Owed::Describe(serial)) => Passage::Name(*serial),
            Some(owed) => {
                // The server drops its unnamed statement before it parses another.
                if let Some(unnamed) = owed.unnamed_mut() {
                    *unnamed = Unnamed::None;
                }
                Passage::Pass
            }
        };
        self.ran = self.ran.after_error();
        let sync = self.owed.iter().position(|owed| matches!(owed, Owed::Sync));
        let skipped = self.owed.drain(..sync.unwrap_or(self.owed.len()));
        let mut unnamed = None;
        for owed in skipped.rev() {
            self.unsettled -= usize::from(owed.decides());
            self.unnamed_unsettled -= usize::from(owed.decides_unnamed());
            owed.undo(&mut |one| match one {
                Undo::Unnamed(one) => unnamed = Some(one),
                one => undo(one),
            });
        }
        if let Some(unnamed) = unnamed {
            self.give_back_unnamed(unnamed, undo);
        }
        if sync.is_none() {
            self.sequence = Sequence::Skipping;
        }
        self.copy = match self.copy {
            CopyIn::SyncLeftOut if sync.is_none() => CopyIn::SyncDue,
            _ => CopyIn::No,
        };
        passage
    }

    /// The client still has this unnamed statement; or had it, when what was sent meanwhile replaced it.
    fn give_back_unnamed(&mut self, unnamed: Unnamed, undo: &mut dyn FnMut(Undo)) {
        for owed in &mut self.owed {
            if matches!(owed, Owed::Query(_)) {
                return;
            }
            if let Some(before) = owed.unnamed_mut() {
                *before = unnamed;
                return;
            }
        }
        undo(Undo::Unnamed(unnamed));
    }
}
