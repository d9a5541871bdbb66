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

use crate::{
    pool::account::PoolMode,
    wire::{
        error::{ServerError, Severity, SqlState},
        frame::{HEADER_BYTES, Header},
        pipeline::Pipeline,
    },
};

/// Bytes of a request that are kept until the server says something.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// The end of a sequence.
const SYNC: &[u8] = b"S\0\0\0\x04";

/// The longest last words that are waited for, in bytes.
const WORDS_MAX: usize = 8 * 1024;

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

/// What the first words of a replica are that reads something: nothing of an answer is the client's before there is a row,
/// or an end.
fn first_words(words: &[u8]) -> Words {
    let mut at = 0;
    let mut conflict = false;
    loop {
        let left = &words[at..];
        // What cannot be read is for those to judge who pass it on.
        let Ok(header) = Header::read(left) else { return Words::Answer };
        let Some(header) = header.filter(|header| header.total <= left.len()) else {
            return if words.len() > WORDS_MAX { Words::Answer } else { Words::Unclear };
        };
        let message = &left[..header.total];
        at += header.total;
        match header.tag {
            b'Z' if conflict && at == words.len() => return Words::Lost(Loss::Conflict),
            _ if conflict => return Words::Answer,
            b'1' | b'2' | b'3' | b'n' | b't' | b'T' | b'N' | b'S' | b'A' => {}
            b'E' => match ServerError::decode(&message[HEADER_BYTES..]) {
                Some(error) if error.severity != Severity::Error => return lost_by(&error),
                Some(error) if error.code == SqlState::SERIALIZATION_FAILURE => conflict = true,
                _ => return Words::Answer,
            },
            _ => return Words::Answer,
        }
    }
}

/// What a server's last words mean for what it was to read: whatever ends it, but for what the client itself has brought about.
fn lost_by(error: &ServerError) -> Words {
    match error.code.as_str() {
        "40001" => Words::Lost(Loss::Conflict),
        code if code.starts_with("57P") => Words::Lost(Loss::Gone),
        _ => Words::Answer,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Farewell {
    Unclear,
    Said,
    SomethingElse,
}

/// Whether a server's first words are that somebody has told it to end.
fn farewell(words: &[u8]) -> Farewell {
    match words.first() {
        None => return Farewell::Unclear,
        Some(b'E') => {}
        Some(_) => return Farewell::SomethingElse,
    }
    let message = match Header::read(words) {
        Ok(None) => return Farewell::Unclear,
        Ok(Some(header)) if header.total <= WORDS_MAX => words.get(HEADER_BYTES..header.total),
        Ok(Some(_)) | Err(_) => return Farewell::SomethingElse,
    };
    let Some(body) = message else { return Farewell::Unclear };
    match ServerError::decode(body) {
        Some(error) if error.severity == Severity::Fatal && error.code == SqlState::ADMIN_SHUTDOWN => {
            Farewell::Said
        }
        _ => Farewell::SomethingElse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{error::PgError, frame::put};

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, tag, |out| out.extend_from_slice(body));
        out
    }

    fn encoded(error: &PgError) -> Vec<u8> {
        let mut bytes = Vec::new();
        error.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_replicas_first_words_at_every_byte() {
        let fatal = |code| encoded(&PgError::fatal(code, "terminating connection"));
        let conflict = encoded(&PgError::error(SqlState::SERIALIZATION_FAILURE, "conflict with recovery"));
        let (parsed, bound, described) = (message(b'1', b""), message(b'2', b""), message(b'T', b"\0\0"));
        let (row, ready) = (message(b'D', b"\0\0"), message(b'Z', b"I"));
        for (words, expected) in [
            (vec![&parsed, &bound, &described, &fatal(SqlState::ADMIN_SHUTDOWN)], Words::Lost(Loss::Gone)),
            (vec![&fatal(SqlState::CRASH_SHUTDOWN)], Words::Lost(Loss::Gone)),
            (vec![&parsed, &fatal(SqlState::SERIALIZATION_FAILURE)], Words::Lost(Loss::Conflict)),
            (vec![&described, &conflict, &ready], Words::Lost(Loss::Conflict)),
            // There was an answer; or it is the client's own doing; or more than one error is owed.
            (vec![&described, &row, &fatal(SqlState::ADMIN_SHUTDOWN)], Words::Answer),
            (vec![&fatal(SqlState::PROTOCOL_VIOLATION)], Words::Answer),
            (vec![&encoded(&PgError::error(SqlState::QUERY_CANCELED, "x")), &ready], Words::Answer),
            (vec![&conflict, &ready, &ready], Words::Answer),
            (vec![&parsed, &ready], Words::Answer),
        ] {
            let words: Vec<u8> = words.into_iter().flatten().copied().collect();
            assert_eq!(first_words(&words), expected, "{}", words.escape_ascii());
            for end in 0..words.len() {
                let so_far = first_words(&words[..end]);
                let ends_early = so_far == Words::Lost(Loss::Conflict) && expected == Words::Answer;
                assert!(so_far == Words::Unclear || so_far == expected || ends_early, "{so_far:?} at {end}");
            }
        }
    }

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
    fn only_an_order_to_end_is_a_farewell() {
        let said = |error: PgError| {
            let mut bytes = Vec::new();
            error.encode(&mut bytes);
            bytes
        };
        let shutdown = said(PgError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection"));
        assert_eq!(farewell(&shutdown), Farewell::Said);
        for length in 0..shutdown.len() {
            assert_eq!(farewell(&shutdown[..length]), Farewell::Unclear, "{length} bytes");
        }
        for other in [
            said(PgError::error(SqlState::ADMIN_SHUTDOWN, "not the end")),
            said(PgError::fatal(SqlState::PROTOCOL_VIOLATION, "what the client sent is to blame")),
            b"1\0\0\0\x04".to_vec(),
            b"N\0\0".to_vec(),
            b"E\0\0\0\x01".to_vec(),
        ] {
            assert_eq!(farewell(&other), Farewell::SomethingElse, "{}", other.escape_ascii());
        }
    }
}
