//! An error in the middle: what the server skips then, and what cannot be relied on before it is known to be fine.

use super::{
    super::{
        conduct::{Outlook, Step},
        named::Serial,
        statements::{Statement, Unnamed, UnnamedAt},
    },
    Arc, Block, CopyIn, Described, For, Implied, Owed, Passage, Pipeline, Sequence, Subject,
    TransactionStatus, Undo,
};

/// Replies owed that are looked through for what may have become of a transaction.
const LOOK_MAX: usize = 64;

impl Pipeline {
    /// Whether what comes next, if it uses named statements, must wait: an earlier sequence may yet fail, and with it
    /// the preparing or closing of statements.
    #[inline]
    pub const fn statements_are_unsettled(&self) -> bool {
        self.unsettled.earlier > 0
    }

    /// The same of the unnamed statement: were what prepares it skipped, something else would be met under no name. What
    /// the same sequence has prepared is skipped only together with its use.
    #[inline]
    pub const fn unnamed_is_unsettled(&self) -> bool {
        self.unnamed_unsettled.earlier > 0 && self.unnamed_unsettled.all == self.unnamed_unsettled.earlier
    }

    /// Whether a Parse that comes next is sure not to meet a failed transaction block, where the server would refuse it.
    #[inline]
    pub fn accepts_parse(&self) -> bool {
        if self.owed.is_empty() {
            return self.status != TransactionStatus::Failed;
        }
        // An error up to the next Sync takes the Parse with it. Beyond one, a block that is open may have failed.
        let mut steps = self.owed.iter().filter_map(Owed::step);
        let begins = |step| {
            matches!(
                step,
                Step::Query(Block::Begins | Block::MayCommit)
                    | Step::Execute(Block::Begins | Block::MayCommit)
            )
        };
        match self.status {
            _ if self.owed.len() > LOOK_MAX => false,
            TransactionStatus::Idle => {
                // What began one may be answered already.
                let begun = !matches!(self.ran, Outlook::START | Outlook::Implicit);
                !(begun || steps.any(begins)) || !self.owed.iter().any(Owed::ends_sequence)
            }
            TransactionStatus::InBlock => !self.owed.iter().any(Owed::ends_sequence),
            TransactionStatus::Failed => false,
        }
    }

    /// What the server tells next of a statement, if that is to be noted.
    #[inline]
    pub fn described(&self) -> Option<Described<'_>> {
        self.owed.front()?.described()
    }

    /// What the server tells is of this one, in the same words as what was thought.
    pub fn describes_instead(&mut self, next: &Arc<Statement>) {
        if let Some(Owed::Tell(_, subject) | Owed::Learn(subject)) = self.owed.front_mut()
            && let Subject::Statement(statement, _) = subject
        {
            *statement = next.clone();
        }
    }

    /// Whether a description is owed that a message of the client's waits for.
    pub fn awaits_check(&self) -> bool {
        self.owed.iter().any(|owed| matches!(owed, Owed::Check(_) | Owed::Copy(..) | Owed::Provide(..)))
    }

    /// The true name under which the server is given a copy of a client's statement, in a sequence of its own.
    #[inline]
    pub fn provides(&self) -> Option<&[u8]> {
        match self.owed.front() {
            Some(Owed::Provide(name, _)) => Some(name),
            _ => None,
        }
    }

    /// Whether the server reads now what it is given under a client's true name in the client's sequence.
    #[inline]
    pub fn provides_in_sequence(&self) -> bool {
        matches!(self.owed.front(), Some(Owed::Copy(..) | Owed::Parse(For::Us, Undo::UnderOurName(_), _)))
    }

    /// Whether the server is still to read a copy of a client's statement that it was given under this true name.
    pub fn gives_copy(&self, name: &[u8]) -> bool {
        let gives =
            |owed: &Owed| matches!(owed, Owed::Aside(Some(Undo::UnderOurName(given))) if **given == *name);
        self.owed.iter().any(gives)
    }

    /// Whether a sequence is open in a transaction that has failed, as far as is known, and nothing was sent that could end
    /// that: what a Sync does then is done already.
    pub fn is_in_failed_sequence(&self) -> bool {
        self.sequence == Sequence::Open
            && self.status == TransactionStatus::Failed
            && self.ran == Outlook::Safe(TransactionStatus::Failed)
            && self.owed.iter().all(|owed| owed.step().is_none())
    }

    /// The name under which the client has parsed what the server reads now.
    pub fn parses(&self) -> Option<&[u8]> {
        match self.owed.front() {
            Some(Owed::Parse(For::Client, _, Some(Undo::ClientForgets(name)))) => Some(name),
            Some(Owed::Parse(For::Client, ..)) => Some(b""),
            _ => None,
        }
    }

    /// The name of a client's statement that was closed by a message which the server has not come to.
    pub fn name_of(&self, serial: Serial) -> Option<&[u8]> {
        self.owed.iter().find_map(|owed| match owed {
            Owed::Own(_, Some(Undo::ClientKeeps(kept))) => match &**kept {
                (name, named) if named.serial == serial => Some(&**name),
                _ => None,
            },
            _ => None,
        })
    }

    /// ErrorResponse to a request of ours.
    #[cold]
    pub(super) fn aside_failed(&mut self, undo: &mut dyn FnMut(Undo)) -> Passage {
        if let Some(Owed::Aside(undone)) = self.owed.front_mut()
            && let Some(undone) = undone.take()
        {
            undo(undone);
        }
        Passage::Swallow
    }

    /// ErrorResponse: inside a query ReadyForQuery follows; otherwise the server skips to the next Sync. What it
    /// skips is undone, the last first.
    #[cold]
    pub(super) fn failed(&mut self, undo: &mut dyn FnMut(Undo)) -> Passage {
        let passage = match self.owed.front_mut() {
            // Said of itself: the server is about to close.
            None | Some(Owed::Query(_) | Owed::FunctionCall | Owed::Refused) => return Passage::Pass,
            Some(Owed::ParseTwice(name)) => Passage::NameTwice(std::mem::take(name)),
            Some(Owed::Unknown(name)) => Passage::NameTwice(std::mem::take(name)),
            Some(Owed::Refuse(refusal)) => Passage::Instead(*refusal),
            Some(
                Owed::Bind(serial) | Owed::OwnBind(serial) | Owed::Describe(serial) | Owed::Tell(serial, _),
            ) => Passage::Name(*serial),
            Some(owed) => {
                // The server drops its unnamed statement before it parses another; one that it was to parse under a name
                // leaves it what it was.
                let named = matches!(owed, Owed::Parse(_, Undo::ServerForgets(_), _));
                if let Some((unnamed, at)) = owed.unnamed_mut() {
                    *unnamed = Unnamed::None;
                    *at = if named { UnnamedAt::Unknown } else { UnnamedAt::Ours };
                }
                Passage::Pass
            }
        };
        self.ran = self.ran.after_error();
        let end = self.owed.iter().position(|owed| matches!(owed, Owed::Sync | Owed::Aside(_)));
        let skipped = self.owed.drain(..end.unwrap_or(self.owed.len()));
        let mut unnamed = Before::Untouched;
        for owed in skipped.rev() {
            self.unsettled.settle(owed.decides());
            self.unnamed_unsettled.settle(owed.decides_unnamed());
            owed.undo(&mut |one| match (one, &mut unnamed) {
                (Undo::Unnamed(one, at), unnamed) => *unnamed = Before::Was(one, at),
                (Undo::UnnamedElsewhere, Before::Was(_, at)) => *at = UnnamedAt::Unknown,
                (Undo::UnnamedElsewhere, unnamed) => *unnamed = Before::Elsewhere,
                (one, _) => undo(one),
            });
        }
        self.give_back_unnamed(unnamed, undo);
        // What failed ahead of the client's message takes that with it, up to the client's own Sync.
        let ahead = self.owed.len() == 1 && matches!(self.owed.front(), Some(Owed::Aside(_)));
        if end.is_none() || ahead {
            self.sequence = Sequence::Skipping;
            self.implied = Implied::No;
        }
        self.copy = match self.copy {
            CopyIn::SyncLeftOut if end.is_none() => CopyIn::SyncDue,
            _ => CopyIn::No,
        };
        passage
    }

    /// The unnamed statement is what it was before; or was so, when what was sent meanwhile replaced it. A query of ours that was
    /// sent meanwhile drops it on the server.
    fn give_back_unnamed(&mut self, mut unnamed: Before, undo: &mut dyn FnMut(Undo)) {
        if matches!(unnamed, Before::Untouched) {
            return;
        }
        for owed in &mut self.owed {
            match (&*owed, &mut unnamed) {
                (Owed::Query(_), _) => return,
                (Owed::Position | Owed::Aside(_), Before::Was(_, at)) => *at = UnnamedAt::Unknown,
                _ => {}
            }
            if let Some((before, before_at)) = owed.unnamed_mut() {
                match unnamed {
                    Before::Was(unnamed, at) => (*before, *before_at) = (unnamed, at),
                    Before::Elsewhere | Before::Untouched => *before_at = UnnamedAt::Unknown,
                }
                return;
            }
        }
        match unnamed {
            Before::Was(unnamed, at) => undo(Undo::Unnamed(unnamed, at)),
            Before::Elsewhere | Before::Untouched => undo(Undo::UnnamedElsewhere),
        }
    }
}

/// What the unnamed statement was before messages that the server skips.
enum Before {
    /// What it is.
    Untouched,
    /// The client's is what it is, but not on the server.
    Elsewhere,
    Was(Unnamed, UnnamedAt),
}

/// How many messages are owed whose outcome decides something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsettled {
    all: usize,
    /// Of these, those of sequences that were sent whole.
    earlier: usize,
}

impl Unsettled {
    #[inline]
    pub(super) fn sent(&mut self, decides: bool) {
        self.all += usize::from(decides);
    }

    /// What was sent so far is a whole sequence.
    #[inline]
    pub(super) const fn sequence_ends(&mut self) {
        self.earlier = self.all;
    }

    /// Whether there are any.
    #[inline]
    pub(super) const fn is_any(&self) -> bool {
        self.all > 0
    }

    /// The oldest is settled first.
    #[inline]
    pub(super) fn settle(&mut self, decides: bool) {
        self.all -= usize::from(decides);
        self.earlier = self.earlier.saturating_sub(usize::from(decides));
    }
}
