//! What a server turned away before it began with any of it.
//!
//! "Terminating connection due to administrator command" (57P01) proves by itself nothing about the statement that it
//! answers: PostgreSQL may say so while it waits for a message, and just as well in the middle of running one. But each
//! message of the extended protocol puts its own answer (ParseComplete, BindComplete, …) into the buffer that the error
//! goes through as well, before the next message is looked at (`exec_parse_message`, `exec_bind_message`; the buffer is
//! flushed with the error, in order). So where the first message of a request was a Parse, Bind, Describe or Close, and the
//! error comes without the answer to it, no Execute behind it was begun. Then the request is the client's to send as if it
//! never had been, to another server. Of a simple query nothing of the kind can be known.
//!
//! On a read route more can be done for what proves to read only ([`super::rereading`]): another replica may run it again,
//! whatever the first one has done of it, as long as nothing of an answer has reached the client.

use crate::{pool::account::PoolMode, wire::pipeline::Pipeline};

/// Bytes of a request that are kept until the server says something.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// The end of a sequence.
const SYNC: &[u8] = b"S\0\0\0\x04";

/// What the client has sent since it got its server, as it sent it, as long as the server has said nothing.
#[derive(Debug, Default)]
pub(super) struct Untried {
    state: State,
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    #[default]
    Unsent,
    /// All of it is here.
    Kept,
    /// It is not known any more: it was answered, is too long, or would not do.
    Over,
    /// The server has turned it away.
    TurnedAway,
    /// A replica was lost under it, or has given up on it.
    Lost(Loss),
}

/// For what it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A server may turn it away before it begins.
    #[default]
    Request,
    /// A replica runs it, and another may run it again if it proves to read only.
    Read,
    /// The same, where it has been lost once.
    LastRead,
}

/// How a replica was lost under a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The connection broke, or the server said that it ends.
    Gone,
    /// The member was given up.
    CutOff,
    /// What it read was in the way of what it replays (40001).
    Conflict,
}

impl Loss {
    /// What it is counted under.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gone => "server_gone",
            Self::CutOff => "cut_off",
            Self::Conflict => "conflict",
        }
    }
}

/// What a server's first words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// More of them must come.
    Unclear,
    /// The client's.
    Answer,
    /// That it has begun nothing of it.
    TurnedAway,
    /// That it has given up, perhaps in the middle of it.
    Lost(Loss),
}

impl Untried {
    /// Nothing was sent to a new server, with what memory there was.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        (self.state, self.kind) = (State::Unsent, Kind::Request);
    }

    /// What will be sent is kept for this.
    pub(super) const fn keep_for(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// These bytes of the client's were passed on.
    #[inline]
    pub(super) fn sent(&mut self, bytes: &[u8], mode: PoolMode, pipeline: &Pipeline) {
        match self.state {
            State::Over | State::TurnedAway | State::Lost(_) => return,
            // It waits for something of ours first.
            State::Unsent if bytes.is_empty() => return,
            State::Unsent => {
                let known = match bytes.first() {
                    Some(b'P' | b'B' | b'C' | b'D') => true,
                    Some(b'Q') => self.kind == Kind::Read,
                    _ => false,
                };
                // Where nothing is owed, all of it was answered here.
                let will_do = known && mode != PoolMode::Session && !pipeline.is_empty();
                self.state = if will_do { State::Kept } else { State::Over };
            }
            State::Kept => {}
        }
        if self.state == State::Kept {
            if self.bytes.len() + bytes.len() <= KEPT_BYTES_MAX {
                self.bytes.extend_from_slice(bytes);
            } else {
                self.state = State::Over;
            }
        }
    }

    /// The client has been told something of it.
    #[inline]
    pub(super) fn answered(&mut self) {
        if self.state == State::Kept {
            self.state = State::Over;
        }
    }

    /// Whether nothing of the client's was passed on to this server, or answered: what it is asked so far is ours.
    #[inline]
    pub(super) fn is_unsent(&self) -> bool {
        self.state == State::Unsent
    }

    /// The same of what is a replica's to read, and another's if this one is lost.
    pub(super) fn is_unsent_read(&self) -> bool {
        self.is_unsent() && self.kind == Kind::Read
    }

    /// Whether what the server says first must be looked at.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.state == State::Kept
    }

    /// What a replica was to read that another might read again, if all of it is here.
    pub(super) fn read(&self) -> Option<&[u8]> {
        (self.state == State::Kept && self.kind == Kind::Read).then_some(&self.bytes)
    }

    /// Whether another server is to have it.
    #[inline]
    pub(super) const fn is_turned_away(&self) -> bool {
        matches!(self.state, State::TurnedAway | State::Lost(_))
    }

    /// A replica was lost under it, and another is to read it again.
    pub(super) const fn lost(&mut self, loss: Loss) {
        self.state = State::Lost(loss);
    }

    /// How a replica was lost under it, if that is why another server is to have it.
    pub(super) const fn loss(&self) -> Option<Loss> {
        match self.state {
            State::Lost(loss) => Some(loss),
            _ => None,
        }
    }

    /// The server has said its first words; what they are. `whole`: nothing of the client's is under way.
    pub(super) fn heard(&mut self, words: &[u8], pipeline: &Pipeline, whole: bool) -> Words {
        let Some(words) = pipeline.behind_asides(words) else { return Words::Answer };
        let heard = match farewell(words) {
            Farewell::Unclear => Words::Unclear,
            Farewell::Said if whole && pipeline.has_begun_nothing() => Words::TurnedAway,
            Farewell::Said | Farewell::SomethingElse if self.kind == Kind::Read => {
                // What comes before all of it is there answers messages of ours.
                if whole && self.is_request() { first_words(words) } else { Words::Answer }
            }
            Farewell::Said | Farewell::SomethingElse => Words::Answer,
        };
        match heard {
            // Whether it may be read again is for those to say who know what it reads.
            Words::Unclear | Words::Lost(_) => {}
            // What the client gets of it, if anything, is yet to be seen.
            Words::Answer if self.kind == Kind::Read => {}
            Words::Answer => self.state = State::Over,
            Words::TurnedAway => self.state = State::TurnedAway,
        }
        heard
    }

    /// Whether all of a request was sent.
    fn is_request(&self) -> bool {
        self.bytes.first() == Some(&b'Q') || self.bytes.ends_with(SYNC)
    }

    /// What the client has sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

mod words;

pub(super) use words::ends;
use words::{Farewell, farewell, first_words};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::message;

    #[test]
    fn what_is_kept_and_for_whom() {
        let check = |kind, request: &[u8], mode, expected: bool| {
            let mut untried = Untried::default();
            untried.keep_for(kind);
            let mut pipeline = Pipeline::default();
            pipeline.sent(crate::wire::pipeline::Owed::Sync);
            untried.sent(request, mode, &pipeline);
            assert_eq!(untried.read().is_some(), expected, "{kind:?} {}", request.escape_ascii());
            untried.answered();
            assert_eq!(untried.read(), None);
        };
        let transaction = PoolMode::Transaction;
        check(Kind::Read, b"Q\0\0\0\x0dselect 1\0", transaction, true);
        check(Kind::Read, b"P\0\0\0\x10\0select 1\0\0\0", transaction, true);
        check(Kind::Read, b"F\0\0\0\x04", transaction, false);
        check(Kind::Read, b"Q\0\0\0\x0dselect 1\0", PoolMode::Session, false);
        check(Kind::Read, &[b'Q'; KEPT_BYTES_MAX + 1], transaction, false);
        check(Kind::LastRead, b"Q\0\0\0\x0dselect 1\0", transaction, false);
        check(Kind::Request, b"Q\0\0\0\x0dselect 1\0", transaction, false);
    }

    #[test]
    fn what_comes_before_all_of_it_is_there_is_not_held_back() {
        let mut untried = Untried::default();
        untried.keep_for(Kind::Read);
        let mut pipeline = Pipeline::default();
        pipeline.sent(crate::wire::pipeline::Owed::Sync);
        let execute = message(b'E', b"\0\0\0\0\0");
        untried.sent(b"", PoolMode::Transaction, &pipeline);
        untried.sent(b"B\0\0\0\x04", PoolMode::Transaction, &pipeline);
        let parsed = message(b'1', b"");
        assert_eq!((untried.heard(&parsed, &pipeline, true), untried.is_kept()), (Words::Answer, true));
        untried.sent(&[execute, SYNC.to_vec()].concat(), PoolMode::Transaction, &pipeline);
        assert_eq!((untried.heard(&parsed, &pipeline, true), untried.is_kept()), (Words::Unclear, true));
        untried.answered();
        assert!(!untried.is_kept());
    }

    #[test]
    fn what_was_run_ahead_of_it_says_nothing_of_it() {
        let mut untried = Untried::default();
        untried.keep_for(Kind::Read);
        let mut pipeline = Pipeline::default();
        pipeline.sent(crate::wire::pipeline::Owed::Aside(None));
        pipeline.sent(crate::wire::pipeline::Owed::Query(crate::wire::pipeline::Block::Stays));
        untried.sent(b"Q\0\0\0\x0dselect 1\0", PoolMode::Transaction, &pipeline);
        let aside = [message(b'C', b"SET\0"), message(b'Z', b"I")].concat();
        let conflict = [message(b'E', b"SERROR\0VERROR\0C40001\0Mm\0\0"), message(b'Z', b"I")].concat();
        assert_eq!(untried.heard(&aside, &pipeline, true), Words::Answer);
        assert_eq!(untried.heard(&[aside, conflict].concat(), &pipeline, true), Words::Lost(Loss::Conflict));
    }
}
