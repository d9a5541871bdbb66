//! The replies that a server owes for what was sent to it, and what that means for the connection.
//!
//! One entry for each message that is answered, in the order of the messages (documentation, "Message Flow"). From
//! it follows which of the server's messages are the client's, where answers of our own belong between them, when
//! the server is free, and what a cut-off would leave open.

use std::{collections::VecDeque, sync::Arc};

pub use super::conduct::{
    Acting, Block, Conduct, Copying, Followed, Form, Outlook, Parsing, Residue, Step, TransactionStatus,
};
use again::Again;
use failing::Unsettled;
use implied::Implied;

use super::{named::Serial, statements::Statement};

/// One message that is answered.
#[derive(Clone, Debug)]
pub enum Owed {
    /// Parse: ParseComplete.
    Parse(For, Undo, Option<Undo>),
    /// Parse under a name that the client has in use: the server's error, with the client's name in it.
    ParseTwice(Box<[u8]>),
    /// Bind of this statement: BindComplete.
    Bind(Serial),
    /// Bind of this statement, behind which a refusal comes: BindComplete, for us.
    OwnBind(Serial),
    /// Close: CloseComplete.
    Close(For, Option<Undo>),
    /// Describe of this statement, or of a portal: RowDescription or NoData.
    Describe(Serial),
    /// The same, of a statement of which it is not known what it yields.
    Tell(Serial, Subject),
    /// Describe of ours of such a statement: the same, for us.
    Learn(Subject),
    /// Describe of ours of a statement, by which it is seen whether it yields what it did: the same, for us.
    Check(Arc<Statement>),
    /// Describe of ours of a statement of the client's under this name, which is its true one: the same, for us.
    Copy(Box<[u8]>, Arc<Statement>),
    /// Parse of such a one, Describe and Sync: anything up to ReadyForQuery, for us.
    Provide(Box<[u8]>, Arc<Statement>),
    /// Describe of a statement for its parameters alone: ParameterDescription, and the rest for us.
    Parameters,
    /// Bind or Describe of what the client calls so, which nobody has: the server's error, with that name in it.
    Unknown(Box<[u8]>),
    /// A message of a sequence that is not laid out as its type says: the server's error.
    Malformed,
    /// A message that is sure to fail: the server's error, told as this one.
    Refuse(Refusal),
    /// Execute: CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Block),
    /// Query: anything, up to ReadyForQuery.
    Query(Block),
    /// FunctionCall: up to ReadyForQuery.
    FunctionCall,
    /// Sync: ReadyForQuery.
    Sync,
    /// Nothing, but behind an error this is undone with the rest.
    Note(Undo),
    /// CopyDone or CopyFail: nothing, but a Sync before it was swallowed by the copy.
    CopyEnd,
    /// Anything of ours up to ReadyForQuery: a request, or a Sync alone.
    Aside(Option<Undo>),
    /// A query of ours for the position of the log, outside any block: anything up to ReadyForQuery, for us.
    Position,
    /// A query of ours ahead of a COMMIT, in its block: anything up to ReadyForQuery, for us; an error is the COMMIT's.
    Evidence,
    /// The same in a sequence, Execute: a row or none, and CommandComplete, for us.
    EvidenceRow,
    /// The Query of a COMMIT that was refused by an error before it, which the client has: up to ReadyForQuery, and that
    /// alone is the client's.
    Refused,
    /// A message of ours that is answered by one of this tag.
    Ours(u8),
    /// An answer of our own.
    Own(OwnAnswer, Option<Undo>),
}

/// What becomes of a message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is the client's.
    Pass,
    /// It answers us.
    Swallow,
    /// It answers our question for the position of the log.
    Position,
    /// It answers what we have asked a transaction about itself.
    Evidence,
    /// It is an error that must name the client's statement instead of ours.
    NameTwice(Box<[u8]>),
    /// It is an error that may name our statement where this one of the client's is meant.
    Name(Serial),
    /// It is an error that stands for this one.
    Instead(Refusal),
    /// The same, for this message.
    Meant(Arc<[u8]>),
}

/// The server sent something that answers nothing it was asked: the connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message `{tag}` from the server answers nothing that was asked", tag = .tag.escape_ascii())]
pub struct Unexpected {
    /// The message's tag.
    pub tag: u8,
}

/// What the client's messages have left open, up to the next Sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    /// Nothing.
    #[default]
    Closed,
    /// Extended messages without their Sync.
    Open,
    /// Nothing of the client's so far: a message of its waits for what is said to one of ours.
    Held,
    /// An error: the server skips everything up to Sync.
    Skipping,
}

/// Whether the server takes a client's data (COPY … FROM STDIN).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CopyIn {
    /// No.
    #[default]
    No,
    /// Yes, and it has none so far: it ignores Sync (documentation, "COPY Operations").
    Begun,
    /// Yes, and it may have stumbled over some of it: then it does not ignore Sync.
    Fed,
    /// Yes, and a Sync was left out meanwhile.
    SyncLeftOut,
    /// No more: it failed, and the Sync that was left out must come after all.
    SyncDue,
}

/// Replies owed for which there is room from one lease to the next.
const OWED_KEPT: usize = 64;

/// The replies owed by one server.
#[derive(Debug, Default)]
pub struct Pipeline {
    owed: VecDeque<Owed>,
    /// Of these, those whose outcome decides which named statements there are.
    unsettled: Unsettled,
    /// And those that decide which the unnamed one is.
    unnamed_unsettled: Unsettled,
    status: TransactionStatus,
    sequence: Sequence,
    /// What was answered since the last ReadyForQuery has come to.
    ran: Outlook,
    copy: CopyIn,
    implied: Implied,
    /// What was sent, where it can be sent once more.
    again: Again,
}

impl Pipeline {
    /// The transaction status as of the last ReadyForQuery.
    pub const fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Messages that await an answer.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether no answer is awaited.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether extended messages are open without their Sync.
    pub fn is_in_sequence(&self) -> bool {
        self.sequence != Sequence::Closed
    }

    /// Whether the server skips what is sent to it, up to Sync.
    pub fn is_skipping(&self) -> bool {
        self.sequence == Sequence::Skipping
    }

    /// Whether everything sent is answered and no transaction is open.
    #[inline]
    pub fn may_release(&self) -> bool {
        self.owed.is_empty() && self.status == TransactionStatus::Idle && self.sequence == Sequence::Closed
    }

    /// Whether the server is yet to say ReadyForQuery to something that it was sent.
    pub fn owes_ready(&self) -> bool {
        self.owed.iter().any(Owed::ends_sequence)
    }

    /// Whether the server waits for the client: nothing is owed, but a transaction or a sequence is open.
    pub fn awaits_client(&self) -> bool {
        self.owed.is_empty() && !self.may_release()
    }

    /// Whether the server is between messages in a transaction block, so that ROLLBACK can be sent to it.
    pub fn is_between_messages(&self) -> bool {
        self.owed.is_empty() && self.sequence == Sequence::Closed
    }

    /// The client was told that its transaction has failed, and the server will be.
    pub const fn must_fail(&mut self) {
        if matches!(self.status, TransactionStatus::InBlock) {
            self.status = TransactionStatus::Failed;
            self.ran = Outlook::Safe(self.status);
        }
    }

    /// Ready for the next lease, keeping its memory if that is little.
    pub fn reset(&mut self) {
        let Self { owed, unsettled, unnamed_unsettled, status, sequence, ran, copy, implied, again } = self;
        if !owed.is_empty() {
            owed.clear();
        }
        if owed.capacity() > OWED_KEPT {
            owed.shrink_to(OWED_KEPT);
        }
        (*unsettled, *unnamed_unsettled, *status, *sequence, *ran, *copy, *implied) = Default::default();
        again.reset();
    }

    /// A message goes to the server. Where it stands in the code says of which kind it is, so that little is left of this there.
    #[inline(always)]
    pub fn sent(&mut self, message: Owed) {
        match message {
            Owed::Sync => {
                self.sequence = Sequence::Closed;
                self.implied = Implied::No;
            }
            _ if self.sequence == Sequence::Skipping => return,
            Owed::Query(_) | Owed::FunctionCall if self.sequence == Sequence::Open => {
                self.sequence = Sequence::Closed;
                self.implied = Implied::Asked;
            }
            Owed::Query(_)
            | Owed::FunctionCall
            | Owed::Aside(_)
            | Owed::Provide(..)
            | Owed::Position
            | Owed::Evidence => self.sequence = Sequence::Closed,
            // Nothing is being copied: the server ignores it.
            Owed::CopyEnd | Owed::Note(_) if self.owed.is_empty() => return,
            Owed::CopyEnd => {}
            _ => self.sequence = Sequence::Open,
        }
        self.owe(message);
    }

    /// What was sent last is ours alone, up to the Sync of its own, and a message of the client's waits for what is said of it:
    /// the client has a sequence open.
    pub fn sent_ahead(&mut self) {
        self.sent(Owed::Aside(None));
        self.sequence = Sequence::Open;
    }

    /// A query of the client's waits for what is said of what was sent last.
    pub const fn holds_on(&mut self) {
        self.sequence = Sequence::Held;
    }

    /// Whether a Sync that comes now is one, and ends nothing of the client's.
    pub fn may_sync(&self) -> bool {
        self.sequence == Sequence::Closed && self.copy == CopyIn::No
    }

    #[inline(always)]
    fn owe(&mut self, message: Owed) {
        self.unsettled.sent(message.decides());
        self.unnamed_unsettled.sent(message.decides_unnamed());
        if message.ends_sequence() {
            self.unsettled.sequence_ends();
            self.unnamed_unsettled.sequence_ends();
        }
        self.owed.push_back(message);
    }

    /// Whether work that was sent and not confirmed by ReadyForQuery may have been committed, or may yet be.
    ///
    /// Outside a block whatever runs commits by itself; inside one only a statement that ends it can.
    pub fn may_have_committed(&self) -> bool {
        self.owed.iter().filter_map(Owed::step).fold(self.ran, Outlook::after).is_open()
    }

    /// The same of a server that was in recovery at its last ReadyForQuery.
    pub fn may_have_committed_on_standby(&self) -> bool {
        self.owed.iter().filter_map(Owed::step).fold(self.ran, Outlook::after_on_standby).is_open()
    }
}

mod again;
mod answers;
mod copying;
mod deciding;
mod failing;
mod implied;
mod owed;
mod own;
mod placing;
mod refusal;

pub use deciding::{Behind, Commit, Unsaid};
pub use owed::{Described, For, Subject, Undo, Whose};
pub use own::OwnAnswer;
pub use refusal::Refusal;

#[cfg(test)]
mod tests;
