//! A sequence that can be sent once more: nothing of it has run, and the client has heard nothing of it but answers of our
//! own. That is so when the server refuses, first of all, to bind or describe a statement that we put in the place of one
//! which the client has just had parsed.

use super::{CopyIn, Owed, Pipeline, Sequence, TransactionStatus, Undo};
use crate::wire::{
    conduct::Outlook,
    pipeline::For,
    statements::{Statement, put_close},
};

/// Bytes of a sequence that are kept so that it can be sent once more.
const KEPT_BYTES_MAX: usize = 8 * 1024;

const SYNC: &[u8] = b"S\0\0\0\x04";

/// What is kept of a sequence.
#[derive(Debug, Default)]
pub(super) struct Again {
    state: State,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing.
    #[default]
    Off,
    /// All that was sent of it.
    Kept,
    /// What is to be sent now.
    Due,
}

impl Again {
    /// Empty, keeping its memory.
    pub(super) fn reset(&mut self) {
        self.state = State::Off;
        self.bytes.clear();
    }
}

impl Pipeline {
    /// A sequence may begin here with a statement in another's place: what is sent of it is kept.
    #[inline]
    pub fn keep_sequence(&mut self) {
        let begins = self.owed.is_empty()
            && self.sequence == Sequence::Closed
            && self.status == TransactionStatus::Idle
            && self.ran == Outlook::START;
        if begins {
            self.again.bytes.clear();
            self.again.state = State::Kept;
        }
    }

    /// These bytes are sent to the server.
    #[inline]
    pub fn sent_bytes(&mut self, bytes: &[u8]) {
        if self.again.state == State::Kept {
            if self.again.bytes.len() + bytes.len() > KEPT_BYTES_MAX {
                self.again.state = State::Off;
            } else {
                self.again.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// Whether what was sent is kept.
    #[inline]
    pub fn keeps_sequence(&self) -> bool {
        self.again.state == State::Kept
    }

    /// What was sent need not be kept: it is answered, or cannot be sent again.
    #[inline]
    pub const fn forget_sequence(&mut self) {
        self.again.state = State::Off;
    }

    /// The server refuses `statement`, which it has, and skips the rest of the sequence: has it parsed anew there, and the
    /// sequence sent again. False if more was sent than this one sequence, or something else is refused.
    pub fn send_again(&mut self, statement: &Statement) -> bool {
        let refused = matches!(self.owed.front(), Some(Owed::Bind(0) | Owed::Describe(0)));
        let whole = matches!(self.owed.back(), Some(Owed::Sync));
        let before_end = self.owed.len() - usize::from(whole);
        let simple = |owed: &Owed| matches!(owed, Owed::Bind(_) | Owed::Describe(_) | Owed::Execute(_));
        if self.again.state != State::Kept || !refused || !self.owed.iter().take(before_end).all(simple) {
            return false;
        }
        let mut bytes = if whole { Vec::new() } else { SYNC.to_vec() };
        put_close(&mut bytes, statement.id());
        statement.put_parse(&mut bytes);
        bytes.append(&mut self.again.bytes);
        self.again.bytes = bytes;
        self.again.state = State::Due;
        let sequence = std::mem::take(&mut self.owed);
        self.owed.push_back(Owed::OwnSync);
        self.owe(Owed::Close(For::Us, None));
        self.owe(Owed::Parse(For::Us, Undo::ServerForgets(statement.id()), None));
        sequence.into_iter().for_each(|owed| self.owe(owed));
        true
    }

    /// Whether an error that comes now comes before any statement was begun: not even the first message of one sequence, all
    /// that was sent, is answered, and that message runs nothing.
    pub fn has_begun_nothing(&self) -> bool {
        let first = self.owed.iter().find(|owed| !matches!(owed, Owed::Own(..) | Owed::Note(_)));
        let harmless = matches!(
            first,
            Some(Owed::Parse(..) | Owed::ParseTwice(_) | Owed::Bind(_) | Owed::Describe(_) | Owed::Close(..))
        );
        let end = self.owed.iter().position(Owed::ends_sequence);
        harmless
            && end.is_none_or(|end| end + 1 == self.owed.len())
            && self.status == TransactionStatus::Idle
            && self.ran == Outlook::START
            && self.copy == CopyIn::No
    }

    /// Nothing of what was sent will be carried out: what was noted for it is undone.
    pub fn take_back(&mut self, undo: &mut dyn FnMut(Undo)) {
        let _whose = self.failed(undo);
    }

    /// The bytes to be sent again, if they are due.
    #[inline]
    pub fn take_again(&mut self) -> Option<Vec<u8>> {
        if self.again.state != State::Due {
            return None;
        }
        self.again.state = State::Off;
        Some(std::mem::take(&mut self.again.bytes))
    }
}
