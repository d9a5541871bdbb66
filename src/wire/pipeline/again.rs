//! A sequence that can be sent once more: nothing of it has run, and the client has heard nothing of it but answers of our
//! own. That is so when the server refuses, first of all, to bind or describe a statement that we put in the place of one
//! which the client has just had parsed.

use std::sync::Arc;

use super::{CopyIn, Owed, Pipeline, Sequence, Serial, Subject, TransactionStatus, Undo, Whose};
use crate::wire::{
    conduct::Outlook,
    frame::{HEADER_BYTES, Header, cstr, put},
    pipeline::For,
    statements::{FATE_FIRST, Statement, put_close},
};

/// Bytes of a sequence that are kept so that it can be sent once more.
const KEPT_BYTES_MAX: usize = 8 * 1024;

const SYNC: &[u8] = b"S\0\0\0\x04";

/// What is kept of a sequence.
#[derive(Debug, Default)]
pub(super) struct Again {
    state: State,
    /// Of which of the client's statements the server may refuse, by its number; 0: the one without a name.
    serial: Serial,
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
    /// A sequence may begin here with a statement in another's place, the client's of this number: what is sent of it is
    /// kept.
    #[inline]
    pub fn keep_sequence(&mut self, serial: Serial) {
        let begins = self.owed.is_empty()
            && self.sequence == Sequence::Closed
            && self.status == TransactionStatus::Idle
            && self.ran == Outlook::START;
        if begins {
            self.again.bytes.clear();
            self.again.state = State::Kept;
            self.again.serial = serial;
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

    /// Whether the server refuses something that may be sent again: one sequence and no more, of a statement in another's
    /// place. The number of that.
    pub fn can_send_again(&self) -> Option<Serial> {
        let refused = match self.owed.front() {
            Some(Owed::Bind(serial) | Owed::Describe(serial) | Owed::Tell(serial, _)) => *serial,
            _ => return None,
        };
        let before_end = self.owed.len() - self.positions_asked() - usize::from(self.is_whole());
        let simple = |owed: &Owed| {
            matches!(owed, Owed::Bind(_) | Owed::Describe(_) | Owed::Tell(..) | Owed::Execute(_))
                // A question of ours, and what makes room for it.
                || matches!(owed, Owed::Ours(_) | Owed::EvidenceRow | Owed::Close(For::Us, _))
                || matches!(owed, Owed::Parse(For::Us, Undo::ServerForgets(FATE_FIRST), None))
        };
        let may = self.again.state == State::Kept
            && refused == self.again.serial
            && self.owed.iter().take(before_end).all(simple);
        may.then_some(refused)
    }

    fn is_whole(&self) -> bool {
        matches!(self.owed.iter().rev().nth(self.positions_asked()), Some(Owed::Sync))
    }

    /// Questions of ours for the position of the log, behind all else that was sent.
    fn positions_asked(&self) -> usize {
        self.owed.iter().rev().take_while(|owed| matches!(owed, Owed::Position)).count()
    }

    /// The server refuses `statement`, which it has, and skips the rest of the sequence: has `next` parsed there in its
    /// place, and the sequence sent again.
    pub fn send_again(&mut self, statement: &Statement, next: &Arc<Statement>) {
        let mut bytes = if self.is_whole() { Vec::new() } else { SYNC.to_vec() };
        put_close(&mut bytes, statement.id());
        next.put_parse(&mut bytes);
        next.put_describe(&mut bytes);
        rename(&self.again.bytes, statement, next, &mut bytes);
        self.again.bytes = bytes;
        self.again.state = State::Due;
        let asked = self.positions_asked();
        let mut sequence = std::mem::take(&mut self.owed);
        sequence.truncate(sequence.len() - asked);
        self.owe(Owed::Aside(None));
        // These are with the server already.
        (0..asked).for_each(|_| self.owe(Owed::Position));
        self.owe(Owed::Close(For::Us, None));
        self.owe(Owed::Parse(For::Us, Undo::ServerForgets(next.id()), None));
        let subject = || Subject::Statement(next.clone(), Whose::Clients(self.again.serial));
        let learn = Owed::Learn(subject());
        self.owe(learn);
        for owed in sequence {
            self.owe(match owed {
                Owed::Tell(serial, _) if serial == self.again.serial => {
                    Owed::Tell(serial, Subject::Statement(next.clone(), Whose::Clients(serial)))
                }
                owed => owed,
            });
        }
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
            && end.is_none_or(|end| end + 1 + self.positions_asked() == self.owed.len())
            && self.status == TransactionStatus::Idle
            && self.ran == Outlook::START
            && self.copy == CopyIn::No
    }

    /// What failed was ours alone, and is over; the client's message that has waited for it is not sent at all.
    pub fn skips_nothing(&mut self) {
        if self.owed.is_empty() && self.sequence == Sequence::Skipping {
            self.sequence = Sequence::Closed;
        }
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

/// Appends messages of a client's, with one statement in the place of another where they name that.
fn rename(mut messages: &[u8], statement: &Statement, next: &Statement, out: &mut Vec<u8>) {
    let mut name = Vec::new();
    statement.put_name(&mut name);
    while let Ok(Some(header)) = Header::read(messages) {
        let Some((message, behind)) = messages.split_at_checked(header.total) else { break };
        messages = behind;
        // Before the name: a portal's, or what kind it is.
        let body = &message[HEADER_BYTES..];
        let place = match header.tag {
            b'B' => cstr(body).map(|(portal, _)| portal.len() + 1),
            b'D' if body.first() == Some(&b'S') => Some(1),
            _ => None,
        };
        let named = place.and_then(|place| body.split_at_checked(place));
        match named.and_then(|(before, rest)| Some((before, rest.strip_prefix(&name[..])?))) {
            Some((before, rest)) => put(out, header.tag, |out| {
                out.extend_from_slice(before);
                next.put_name(out);
                out.extend_from_slice(rest);
            }),
            None => out.extend_from_slice(message),
        }
    }
}
