//! The replies that a server owes for what was sent to it, and what that means for the connection.
//!
//! One entry for each message that is answered, in the order of the messages (documentation, "Message Flow"). From
//! it follows which of the server's messages are the client's, where answers of our own belong between them, when
//! the server is free, and what a cut-off would leave open.

use std::{collections::VecDeque, sync::Arc};

use super::statements::Statement;

/// What running a statement may do, as far as pooling must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conduct {
    /// What it does to a transaction block.
    pub block: Block,
    /// What it leaves in its session.
    pub residue: Residue,
}

/// What a statement does to a transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Block {
    /// Nothing: inside a block it stays inside.
    #[default]
    Stays,
    /// Begins one, and does nothing else.
    Begins,
    /// Rolls the block back, and does nothing else.
    RollsBack,
    /// May commit: COMMIT, CALL, several statements, or not known.
    MayCommit,
}

/// What a statement leaves in its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Residue {
    /// Nothing, or what the server reports.
    #[default]
    None,
    /// State that is not followed: the server must be reset before another client gets it.
    Dirt,
    /// Settings go back to their reset values (`RESET`, `SET … TO DEFAULT`).
    Resets,
    /// Statements or the whole session are discarded (`DEALLOCATE ALL`, `DISCARD ALL`); the command tag tells.
    Discards,
    /// The same, beside a statement that leaves state.
    DirtAndDiscards,
}

/// Undoes what was noted for a message that the server then did not carry out.
#[derive(Clone, Debug)]
pub enum Undo {
    /// The client has no statement of this name.
    ClientForgets(Box<[u8]>),
    /// The client still has this statement.
    ClientKeeps(Box<[u8]>, Arc<Statement>),
    /// The server has no such statement.
    ServerForgets(u64),
    /// The server still has this statement.
    ServerKeeps(u64),
    /// The server's unnamed statement is not the client's.
    UnnamedLost,
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The client, who sent the message.
    Client,
    /// Us: the message was ours.
    Us,
}

/// An answer that we give ourselves, as the protocol lets a proxy that maps statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// ParseComplete: the server has the statement already.
    ParseComplete,
    /// CloseComplete: the statement was the client's, not the server's.
    CloseComplete,
}

/// One message that is answered.
#[derive(Clone, Debug)]
pub enum Owed {
    /// Parse: ParseComplete.
    Parse(For, Undo, Option<Undo>),
    /// Parse under a name that the client has in use: the server's error, with the client's name in it.
    ParseTwice(Box<[u8]>),
    /// Bind: BindComplete.
    Bind,
    /// Close: CloseComplete.
    Close(For, Option<Undo>),
    /// Describe: RowDescription or NoData.
    Describe,
    /// Execute: CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Block),
    /// Query: anything, up to ReadyForQuery.
    Query(Block),
    /// FunctionCall: up to ReadyForQuery.
    FunctionCall,
    /// Sync: ReadyForQuery.
    Sync,
    /// CopyDone or CopyFail: nothing, but a Sync before it was swallowed by the copy.
    CopyEnd,
    /// An answer of our own.
    Own(OwnAnswer, Option<Undo>),
}

/// The transaction status that ReadyForQuery reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    #[default]
    Idle,
    /// `T`: in a block.
    InBlock,
    /// `E`: in a failed block.
    Failed,
}

impl TransactionStatus {
    /// The status byte of ReadyForQuery.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InBlock),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What becomes of a message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is the client's.
    Pass,
    /// It answers us.
    Swallow,
    /// It is an error that must name the client's statement instead of ours.
    NameTwice(Box<[u8]>),
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
    /// An error: the server skips everything up to Sync.
    Skipping,
}

/// The replies owed by one server.
#[derive(Debug, Default)]
pub struct Pipeline {
    owed: VecDeque<Owed>,
    status: TransactionStatus,
    sequence: Sequence,
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

    /// Whether the server skips what is sent to it, up to Sync.
    pub fn is_skipping(&self) -> bool {
        self.sequence == Sequence::Skipping
    }

    /// Whether everything sent is answered and no transaction is open.
    #[inline]
    pub fn may_release(&self) -> bool {
        self.owed.is_empty() && self.status == TransactionStatus::Idle && self.sequence == Sequence::Closed
    }

    /// Whether the server waits for the client: nothing is owed, but a transaction or a sequence is open.
    pub fn awaits_client(&self) -> bool {
        self.owed.is_empty() && !self.may_release()
    }

    /// Whether the server is between messages in a transaction block, so that ROLLBACK can be sent to it.
    pub fn is_between_messages(&self) -> bool {
        self.owed.is_empty() && self.sequence == Sequence::Closed
    }

    /// Ready for the next lease, keeping its memory if that is little.
    pub fn reset(&mut self) {
        self.owed.clear();
        self.owed.shrink_to(64);
        self.status = TransactionStatus::Idle;
        self.sequence = Sequence::Closed;
    }

    /// A message goes to the server.
    #[inline]
    pub fn sent(&mut self, message: Owed) {
        match message {
            Owed::Sync => self.sequence = Sequence::Closed,
            _ if self.sequence == Sequence::Skipping => return,
            Owed::Query(_) | Owed::FunctionCall => self.sequence = Sequence::Closed,
            // Nothing is being copied: the server ignores it.
            Owed::CopyEnd if self.owed.is_empty() => return,
            Owed::CopyEnd => {}
            _ => self.sequence = Sequence::Open,
        }
        self.owed.push_back(message);
    }

    /// Flush goes to the server: without Sync it leaves the sequence open.
    pub fn flushed(&mut self) {
        if self.sequence == Sequence::Closed {
            self.sequence = Sequence::Open;
        }
    }

    /// The next answer of our own, if it is due now: nothing of the server's comes before it.
    #[inline]
    pub fn own_answer_due(&mut self) -> Option<OwnAnswer> {
        match self.owed.front() {
            Some(Owed::Own(answer, _)) => {
                let answer = *answer;
                self.owed.pop_front();
                Some(answer)
            }
            _ => None,
        }
    }

    /// Whether answers of our own are all that is owed, so that nothing from the server will bring them along.
    pub fn only_own_answers(&self) -> bool {
        !self.owed.is_empty() && self.owed.iter().all(|owed| matches!(owed, Owed::Own(..)))
    }

    /// A message came from the server; `status` is ReadyForQuery's byte. What must be undone goes to `undo`.
    #[inline]
    pub fn received(
        &mut self,
        tag: u8,
        status: Option<u8>,
        undo: &mut dyn FnMut(Undo),
    ) -> Result<Passage, Unexpected> {
        let unexpected = Err(Unexpected { tag });
        match (tag, self.owed.front()) {
            // Data rows, copy data, descriptions inside a query, notices, notifications, settings.
            (b'D' | b'd' | b'c' | b't' | b'H' | b'W' | b'V' | b'N' | b'A' | b'S', _) => Ok(Passage::Pass),
            (b'Z', _) => self.ready(status).ok_or(Unexpected { tag }),
            (b'E', _) => Ok(self.failed(undo)),
            (b'G', _) => {
                self.copy_in_begins();
                Ok(Passage::Pass)
            }
            (b'T' | b'C' | b'I', Some(Owed::Query(_))) => Ok(Passage::Pass),
            (b'1', Some(Owed::Parse(whom, ..))) | (b'3', Some(Owed::Close(whom, _))) => {
                let whom = *whom;
                self.owed.pop_front();
                Ok(if whom == For::Us { Passage::Swallow } else { Passage::Pass })
            }
            (b'2', Some(Owed::Bind))
            | (b'T' | b'n', Some(Owed::Describe))
            | (b'C' | b'I' | b's', Some(Owed::Execute(_))) => {
                self.owed.pop_front();
                self.drop_copy_ends();
                Ok(Passage::Pass)
            }
            _ => unexpected,
        }
    }

    fn ready(&mut self, status: Option<u8>) -> Option<Passage> {
        self.status = TransactionStatus::from_byte(status?)?;
        let answered = self.owed.pop_front();
        self.drop_copy_ends();
        match answered {
            Some(Owed::Query(_) | Owed::FunctionCall | Owed::Sync) => Some(Passage::Pass),
            _ => None,
        }
    }

    /// The copy that they ended is over.
    fn drop_copy_ends(&mut self) {
        while matches!(self.owed.front(), Some(Owed::CopyEnd)) {
            self.owed.pop_front();
        }
    }

    /// ErrorResponse: inside a query ReadyForQuery follows; otherwise the server skips to the next Sync.
    fn failed(&mut self, undo: &mut dyn FnMut(Undo)) -> Passage {
        let passage = match self.owed.front() {
            // Said of itself: the server is about to close.
            None | Some(Owed::Query(_) | Owed::FunctionCall) => return Passage::Pass,
            Some(Owed::ParseTwice(name)) => Passage::NameTwice(name.clone()),
            Some(_) => Passage::Pass,
        };
        while let Some(owed) = self.owed.front() {
            if matches!(owed, Owed::Sync) {
                return passage;
            }
            if let Some(owed) = self.owed.pop_front() {
                owed.undo(undo);
            }
        }
        self.sequence = Sequence::Skipping;
        passage
    }

    /// CopyInResponse: until the copy ends the server ignores Sync (documentation, "COPY Operations"), so those
    /// sent before the end of the copy are never answered.
    fn copy_in_begins(&mut self) {
        let end = self.owed.iter().position(|owed| matches!(owed, Owed::CopyEnd)).unwrap_or(self.owed.len());
        let mut place = 0;
        let mut swallowed = false;
        self.owed.retain(|owed| {
            let keep = place == 0 || place > end || !matches!(owed, Owed::Sync);
            swallowed |= !keep;
            place += 1;
            keep
        });
        let extended = matches!(self.owed.front(), Some(Owed::Execute(_)));
        if swallowed && extended && !self.owed.iter().any(|owed| matches!(owed, Owed::Sync)) {
            self.sequence = Sequence::Open;
        }
    }

    /// Whether work that was sent and not answered may have been committed, or may yet be.
    ///
    /// Follows the transaction status through what is owed: outside a block whatever runs commits by itself;
    /// inside one only a statement that ends it can.
    pub fn may_have_committed(&self) -> bool {
        let mut status = self.status;
        // In an implicit block of extended messages it is the Sync that commits.
        let mut executed = false;
        for owed in &self.owed {
            let block = match owed {
                Owed::Query(block) | Owed::Execute(block) => *block,
                Owed::FunctionCall if status == TransactionStatus::Idle => return true,
                Owed::Sync if executed && status == TransactionStatus::Idle => return true,
                _ => continue,
            };
            match (status, block) {
                (TransactionStatus::Idle, Block::Begins) => status = TransactionStatus::InBlock,
                (TransactionStatus::Idle, _) if matches!(owed, Owed::Query(_)) => return true,
                (TransactionStatus::Idle, _) => executed = true,
                (TransactionStatus::InBlock, Block::MayCommit) => return true,
                (TransactionStatus::Failed, Block::MayCommit) => status = TransactionStatus::Idle,
                (TransactionStatus::InBlock | TransactionStatus::Failed, Block::RollsBack) => {
                    status = TransactionStatus::Idle;
                }
                (TransactionStatus::InBlock | TransactionStatus::Failed, _) => {}
            }
        }
        executed
    }
}

impl Owed {
    fn undo(self, undo: &mut dyn FnMut(Undo)) {
        match self {
            Self::Parse(_, first, second) => {
                undo(first);
                if let Some(second) = second {
                    undo(second);
                }
            }
            Self::Close(_, Some(one)) | Self::Own(_, Some(one)) => undo(one),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
