//! Whether what a client has committed on its server is bounded by a position of the log.
//!
//! The position is asked for behind the client's own messages, in the same stretch of bytes, so that the answer comes along
//! with theirs: `pg_current_wal_insert_lsn()`, which nothing that was committed before ends behind, flushed or not.

use crate::{
    cluster::ids::Lsn,
    wire::frame::{HEADER_BYTES, put, put_cstr},
};

/// The question.
pub const QUESTION: &[u8] = b"SELECT pg_catalog.pg_current_wal_insert_lsn()";

/// What is known of the commits of one lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    state: State,
    /// Questions without an answer.
    asked: u32,
    /// What the answer that is under way has said.
    row: Option<Lsn>,
    /// The newest answer.
    position: Option<Lsn>,
    /// What no answer bounds.
    open: Open,
}

/// What may have been committed that no answer bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Open {
    /// Perhaps more than one transaction.
    #[default]
    Several,
    /// One transaction at most.
    One,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody wants to know.
    #[default]
    Off,
    /// Nothing was committed that no answer bounds.
    Bounded,
    /// Something may have been, or may yet be by what was sent, and a question is under way behind it.
    Asked,
    /// The same, and there is no question behind it.
    Due,
    /// The server does not say.
    Unanswered,
}

impl Placing {
    /// From here on it matters what is committed.
    pub fn begin(&mut self) {
        self.state = State::Bounded;
    }

    /// Something in this lease may be committed already of which nothing is known.
    pub fn begin_unbounded(&mut self) {
        (self.state, self.open) = (State::Due, Open::Several);
    }

    /// Whether it matters what is committed.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.state != State::Off
    }

    /// Something was sent that may commit.
    pub fn may_commit(&mut self, what: Open) {
        if self.is_on() {
            self.open = if self.state == State::Bounded { what } else { Open::Several };
            self.state = State::Due;
        }
    }

    /// Something was sent once more that may commit.
    pub fn may_commit_more(&mut self) {
        self.may_commit(Open::Several);
    }

    /// The question was sent behind all else.
    pub fn asks(&mut self) {
        self.asked = self.asked.saturating_add(1);
        self.state = State::Asked;
    }

    /// Whether something may have been committed that nobody has asked about.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.state == State::Due
    }

    /// Whether something may have been committed of which it is not known where it ends.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Asked | State::Due | State::Unanswered)
    }

    /// Whether there is no use in asking.
    pub fn is_unanswered(&self) -> bool {
        self.state == State::Unanswered
    }

    /// A message that belongs to the answer.
    pub fn hear(&mut self, tag: u8, message: &[u8]) {
        match tag {
            b'D' => self.row = position(message),
            b'E' => self.row = None,
            b'Z' => {
                self.asked = self.asked.saturating_sub(1);
                let row = self.row.take();
                self.position = self.position.max(row);
                if row.is_none() {
                    self.failed();
                } else if self.asked == 0 && self.state == State::Asked {
                    self.state = State::Bounded;
                }
            }
            _ => {}
        }
    }

    /// The server was asked after all was over.
    pub fn answered(&mut self, position: Option<Lsn>) {
        self.position = self.position.max(position);
        self.state = if position.is_some() { State::Bounded } else { State::Unanswered };
    }

    /// A question has come to nothing.
    fn failed(&mut self) {
        if self.state == State::Asked {
            // Perhaps because its transaction has failed: then nothing was committed, and the next answer says so, too.
            self.state = State::Due;
        }
    }

    /// What this lease comes to so far: everything committed in it ends here at the latest. Taken once.
    pub fn take(&mut self) -> Outcome {
        match (self.state, self.position.take()) {
            (State::Off, _) | (State::Bounded, None) => Outcome::Nothing,
            (State::Bounded, Some(lsn)) => Outcome::Placed(lsn),
            (State::Asked | State::Due | State::Unanswered, position) => {
                self.position = position;
                Outcome::Unplaced(self.open)
            }
        }
    }
}

/// What is known of what a lease has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing new.
    Nothing,
    /// It ends here at the latest.
    Placed(Lsn),
    /// Nothing: there may be more.
    Unplaced(Open),
}

/// Appends the question.
pub fn put_question(out: &mut Vec<u8>) {
    put(out, b'Q', |out| put_cstr(out, QUESTION));
}

/// The position in a DataRow of one column.
fn position(message: &[u8]) -> Option<Lsn> {
    let value = message.get(HEADER_BYTES + 6..)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[u8] = b"D\0\0\0\x13\0\x01\0\0\0\x090/3000148";
    const NULL: &[u8] = b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff";
    const OLDER: &[u8] = b"D\0\0\0\x13\0\x01\0\0\0\x090/2000148";
    const LSN: Lsn = Lsn(0x300_0148);

    /// Plays a lease: `c` something may commit, `1` one transaction may, `q` asks, `D`, `o` (an older one), `N` (none), `E`, `Z` are answered,
    /// `!` asked at the end, `-` in vain.
    fn check(story: &str, due: bool, outcome: Outcome) {
        let mut placing = Placing::default();
        placing.begin();
        for step in story.bytes() {
            match step {
                b'c' => placing.may_commit(Open::Several),
                b'1' => placing.may_commit(Open::One),
                b'q' => placing.asks(),
                b'D' => placing.hear(b'D', ROW),
                b'o' => placing.hear(b'D', OLDER),
                b'N' => placing.hear(b'D', NULL),
                b'!' => placing.answered(Some(LSN)),
                b'-' => placing.answered(None),
                tag => placing.hear(tag, b""),
            }
        }
        assert_eq!((placing.is_due(), placing.take()), (due, outcome), "{story}");
    }

    #[test]
    fn leases() {
        use Outcome::{Nothing, Placed};
        const UNPLACED: Outcome = Outcome::Unplaced(Open::Several);
        const ONE: Outcome = Outcome::Unplaced(Open::One);
        for (story, due, outcome) in [
            ("", false, Nothing),
            ("c", true, UNPLACED),
            ("cq", false, UNPLACED),
            ("cqTD", false, UNPLACED),
            ("cqTDCZ", false, Placed(LSN)),
            // Once more before the first is answered: only the last answer bounds both.
            ("cqcqTDCZ", false, UNPLACED),
            ("cqcqTDCZToCZ", false, Placed(LSN)),
            // An answer that says nothing is none; nor does it make anything of the one before.
            ("cqTCZ", true, UNPLACED),
            ("cqNZ", true, UNPLACED),
            ("cqDEZ", true, UNPLACED),
            ("cqDCZcqCZ", true, UNPLACED),
            ("cqDCZcqCZ!", false, Placed(LSN)),
            // What could not be asked about.
            ("cqcTDCZ", true, UNPLACED),
            ("cqTDCZc", true, UNPLACED),
            ("c!", false, Placed(LSN)),
            ("c-", false, UNPLACED),
            ("cqEZ", true, UNPLACED),
            ("cqEZ!", false, Placed(LSN)),
            ("cqEZ-", false, UNPLACED),
            // One transaction, and nothing else.
            ("1", true, ONE),
            ("1qTD", false, ONE),
            ("1qEZ-", false, ONE),
            ("1q1q", false, UNPLACED),
            ("c1q", false, UNPLACED),
            ("1c", true, UNPLACED),
            ("1qTDCZ1q", false, ONE),
            ("1q1qTDCZ", false, UNPLACED),
            ("cqTDCZ1", true, ONE),
        ] {
            check(story, due, outcome);
        }
        let mut off = Placing::default();
        off.may_commit(Open::One);
        assert_eq!((off.is_on(), off.is_due(), off.take()), (false, false, Nothing));
    }

    #[test]
    fn what_is_asked() {
        let mut out = Vec::new();
        put_question(&mut out);
        assert!(out.starts_with(b"Q\0\0\0") && out.ends_with(b"()\0"), "{}", out.escape_ascii());
    }
}
