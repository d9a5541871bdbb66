//! Whether a statement yields on a server what it did where it was parsed first.

use super::{Awaited, CopyAwaited, Tenancy};
use crate::wire::statements::UnnamedAt;

/// Whether a statement is held against what it yielded where it was parsed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Check {
    #[default]
    None,
    /// It is: nothing is read from the client before the server has described it.
    Awaited,
    /// The same, and before it is ready for more. What yields something else, if that is known by now.
    AwaitedReady(Option<u64>),
    /// What was sent before is to be answered first.
    AwaitedAnswers,
    /// What a Query needs is to be answered first, in the sequence in which that comes.
    AwaitedForQuery,
    /// That has failed, and with it the sequence: the server would skip the Query.
    QueryFails,
    /// This one yields something else there.
    Refused(u64),
}

impl Check {
    #[inline]
    pub(super) const fn is_awaited(self) -> bool {
        matches!(self, Self::Awaited | Self::AwaitedReady(_) | Self::AwaitedAnswers | Self::AwaitedForQuery)
    }

    const fn said(refused: Option<u64>) -> Self {
        match refused {
            Some(id) => Self::Refused(id),
            None => Self::None,
        }
    }
}

impl Tenancy {
    /// The server is to say what a statement yields there before anything else.
    pub(in crate::session) const fn await_check(&mut self) {
        self.check = Check::Awaited;
    }

    /// The same, in a sequence of its own.
    pub(in crate::session) const fn await_check_ahead(&mut self) {
        self.check = Check::AwaitedReady(None);
    }

    /// The server has said what a statement yields there: as it did where it was parsed first, or not.
    pub(in crate::session) fn checked(&mut self, refused: Option<u64>) {
        self.check = match self.check {
            Check::AwaitedReady(_) => Check::AwaitedReady(refused),
            _ => Check::said(refused),
        };
        if refused.is_some() {
            // It may be the unnamed one, which is to be checked again then.
            self.unnamed = UnnamedAt::Unknown;
        }
    }

    /// Everything that was sent is to be answered before anything else is.
    pub(in crate::session) const fn await_answers(&mut self) {
        self.check = Check::AwaitedAnswers;
    }

    /// What a Query needs is to be answered before it is sent: in a sequence the server would skip it with what fails there.
    pub(in crate::session) const fn await_for_query(&mut self) {
        self.check = Check::AwaitedForQuery;
    }

    /// What was sent of ours for SQL to find has failed.
    pub(in crate::session) fn copy_fails(&mut self) {
        if self.check == Check::AwaitedForQuery {
            self.check = Check::QueryFails;
        }
    }

    /// Whether a Query has failed by what it needs.
    pub(in crate::session) fn query_has_failed(&self) -> bool {
        self.check == Check::QueryFails
    }

    /// An error has taken what was to be said along.
    pub(in crate::session) const fn check_fails(&mut self) {
        if self.check.is_awaited() {
            self.check = Check::None;
        }
    }

    /// A sequence of ours is over.
    pub(in crate::session) const fn check_ends(&mut self) {
        if let Check::AwaitedReady(refused) = self.check {
            self.check = Check::said(refused);
        }
    }

    /// Whether a statement was found to yield something else in this sequence.
    #[inline]
    pub(in crate::session) fn is_refused(&self, id: u64) -> bool {
        self.check == Check::Refused(id)
    }

    /// Everything sent is answered.
    pub(in crate::session) fn answered(&mut self, sequence_is_open: bool) {
        self.copy = CopyAwaited::No;
        self.stint.answered();
        if matches!(self.check, Check::AwaitedAnswers | Check::AwaitedForQuery) {
            self.check = Check::None;
        }
        if self.awaited != Awaited::Nothing {
            self.awaited = if sequence_is_open { Awaited::Report } else { Awaited::Nothing };
            if let Some(touched) = &mut self.touched {
                touched.deallocating.answered();
            }
        }
    }
}
