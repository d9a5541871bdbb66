//! What became of a commit whose answer was lost with its server.
//!
//! Ahead of a COMMIT, in the same stretch of bytes, the transaction is asked for its number and for a position of the log
//! ([`question`]). PostgreSQL sends the answer before it looks at the COMMIT, so it is here when the server is lost in it. The
//! leader that goes on is then asked what became of that number, and is believed where it cannot mean another transaction
//! by it.
//!
//! Why it cannot: at the position there is a record in the log that bears this number or a later one, since either a later
//! transaction has ended already, which is logged before others can see it, or the question has written such a record itself
//! (`pg_logical_emit_message`; merely having a number is not logged). Whoever has replayed the log up to there assigns later
//! numbers only (`AdvanceNextFullTransactionIdPastXid`, for each record). And the record of the commit itself lies behind the
//! position: a history that has left the timeline before the position has none of it.

use crate::{
    clock::Moment,
    cluster::{
        headway::Held,
        ids::{MemberName, Timeline},
    },
    pool::commits::Commit,
};

pub use crate::pool::commits::Evidence;

pub mod question;
pub mod telling;

/// What is known about the commit that a client's server is about to be sent, or has been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Testimony {
    /// Nobody wants to know.
    #[default]
    Off,
    /// Nothing was asked.
    Wanted,
    /// The transaction was asked, at this time.
    Asked(Decision, Moment),
    /// It has answered, and nothing is known of its end.
    Given(Decision, Box<Evidence>),
    /// It has no number. A commit may yet give it one, so only the commit's own answer says what became of it.
    Unnumbered,
    /// The same, and something was sent behind it that may have ended it otherwise.
    Muddled,
    /// The client has the commit's own answer, but for ReadyForQuery: whether it is committed.
    Answered(Option<Box<Evidence>>, bool),
    /// And ReadyForQuery.
    Over(Option<Box<Evidence>>, bool),
    /// Its role may not ask, or the server does not know the question: nobody is asked any more.
    Refused,
}

/// What decides about the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A COMMIT.
    Command,
    /// The end of what was sent without a block.
    End,
}

/// Who is asked what became of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// The leader.
    pub member: &'a MemberName,
    /// The timeline it writes on.
    pub timeline: Timeline,
    /// When the connection was opened on which it is asked.
    pub opened_at: Moment,
}

/// How far a leader's word goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// By this number it can only mean this transaction.
    Firm,
    /// It may mean a later transaction, but only if this one was not committed.
    Denial,
    /// It can mean anything.
    None,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The transaction is committed.
    Committed,
    /// It is not, and never will be.
    NotCommitted,
    /// That cannot be said.
    Unknown,
}

impl Testimony {
    /// Whether anything is to be known.
    #[inline]
    pub const fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether what commits now is to be asked about.
    #[inline]
    pub const fn is_wanted(&self) -> bool {
        matches!(self, Self::Wanted | Self::Over(..))
    }

    /// Whether the question was refused in a way that will be the same the next time.
    #[inline]
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }

    /// Whether it has, and nothing was said of its commit.
    #[inline]
    pub const fn is_given(&self) -> bool {
        matches!(self, Self::Given(..))
    }

    /// Whether a transaction was asked, and nothing was said of its commit.
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Asked(..) | Self::Given(..))
    }

    /// Whether what ends a sequence commits it.
    pub const fn awaits_end(&self) -> bool {
        matches!(self, Self::Asked(Decision::End, _) | Self::Given(Decision::End, _))
    }

    /// Whether the client has the COMMIT's own answer, and it is committed. Drivers take whatever comes in the place of
    /// ReadyForQuery for the COMMIT's failure.
    pub const fn has_committed(&self) -> bool {
        matches!(self, Self::Answered(_, true))
    }

    /// What the transaction has said, if nothing was said of its commit.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            Self::Given(_, evidence) => Some(**evidence),
            _ => None,
        }
    }

    /// The question is sent.
    pub fn asks(&mut self, decision: Decision, now: Moment) {
        *self = Self::Asked(decision, now);
    }

    /// The row of the answer. Without one no number was assigned, and a commit may yet assign one (deferred triggers, cursors
    /// `WITH HOLD`): nothing is known.
    pub fn hear(&mut self, row: &[u8]) {
        if let Self::Asked(decision, asked_at) = *self
            && let Some(evidence) = question::read(row, asked_at)
        {
            *self = Self::Given(decision, Box::new(evidence));
        }
    }

    /// That is all of the answer.
    pub fn heard(&mut self) {
        if let Self::Asked(..) = self {
            *self = Self::Unnumbered;
        }
    }

    /// The question was refused, with this message.
    pub fn refused(&mut self, message: &[u8]) {
        if question::is_lasting(message) {
            *self = Self::Refused;
        }
    }

    /// Something is sent that may end the transaction otherwise than it was to be.
    pub fn muddle(&mut self) {
        if let Self::Asked(Decision::End, _) | Self::Given(Decision::End, _) = self {
            *self = Self::Muddled;
        }
    }

    /// The client gets CommandComplete.
    #[inline]
    pub fn completes(&mut self) {
        if let Self::Given(Decision::Command, _) = self {
            self.is_answered(true);
        }
    }

    /// The client gets an error: with the transaction fails the commit, whether it was asked by then or not.
    pub fn fails(&mut self) {
        if self.is_pending() || *self == Self::Unnumbered {
            self.is_answered(false);
        }
    }

    fn is_answered(&mut self, committed: bool) {
        *self = match std::mem::take(self) {
            Self::Given(_, evidence) => Self::Answered(Some(evidence), committed),
            _ => Self::Answered(None, committed),
        };
    }

    /// The client gets ReadyForQuery: what comes next is another transaction.
    #[inline]
    pub fn ends(&mut self) {
        if let Self::Asked(..) | Self::Given(..) | Self::Unnumbered | Self::Answered(..) | Self::Muddled =
            self
        {
            *self = match std::mem::take(self) {
                Self::Given(Decision::End, evidence) => Self::Over(Some(evidence), true),
                Self::Answered(evidence, committed) => Self::Over(evidence, committed),
                _ => Self::Wanted,
            };
        }
    }

    /// What is known of its end, which is then known to whom it concerns.
    pub fn take_over(&mut self) -> Option<(Option<Evidence>, bool)> {
        let (Self::Over(evidence, committed) | Self::Answered(evidence, committed)) = self else {
            return None;
        };
        let known = (evidence.as_deref().copied(), *committed);
        if let Self::Over(..) = self {
            *self = Self::Wanted;
        }
        Some(known)
    }
}

impl Commit {
    /// How far the word of a leader goes whose history holds the position, or does not.
    pub fn ground(&self, held: Held, witness: Witness<'_>) -> Ground {
        let Evidence { timeline, asked_at, .. } = self.evidence;
        let is_writer = self.writer.as_ref() == Some(witness.member);
        match held {
            Held::Yes if witness.timeline > timeline => Ground::Firm,
            // The same server. Had it crashed since, it might have lost the position, and given the number to another; but a
            // crash would have ended the connection.
            Held::Yes if is_writer && witness.opened_at <= asked_at => Ground::Firm,
            Held::Yes if is_writer => Ground::Denial,
            Held::Yes | Held::Lost(_) | Held::Foreign | Held::Unknown => Ground::None,
        }
    }
}

impl Ground {
    /// What an answer comes to; `None`: it is still open there.
    pub fn judge(self, status: Option<&[u8]>) -> Option<Fate> {
        match (self, status) {
            (Self::Firm, Some(b"committed")) => Some(Fate::Committed),
            (Self::Firm | Self::Denial, Some(b"aborted")) => Some(Fate::NotCommitted),
            // After a crash that has lost all of it.
            (Self::Denial, Some(question::IN_THE_FUTURE)) => Some(Fate::NotCommitted),
            (Self::Firm | Self::Denial, Some(b"in progress")) => None,
            _ => Some(Fate::Unknown),
        }
    }
}

impl Fate {
    /// In a word, for the count.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::NotCommitted => "not_committed",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests;
