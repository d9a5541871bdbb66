//! How long a server serves its client, of what is sent without waiting for answers.
//!
//! Where a request goes, and what its server must show, is decided when it gets a server. What a client sends behind it at once
//! would have that decided with it. Where that matters, it waits instead until the transaction before it is over and the server
//! given back, and is a request of its own.

use super::Tenancy;
use crate::wire::pipeline::{Block, Refusal};

/// What of a client's one lease serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stint {
    /// Whatever comes.
    #[default]
    Open,
    /// The same, up to the end of a transaction that may have changed what the client's reads must see: it is on the leader,
    /// which shows everything but what was lost.
    Untouched,
    /// One transaction: it is on a replica, and what comes next may be the leader's, or must see more.
    Single,
    /// The same, and the end of its block was sent in a sequence that may go on: nothing is read from the client before that is
    /// answered.
    Leaving,
    /// It was answered, and that sequence is not over.
    Left,
}

impl Stint {
    /// Whether what comes next outside a transaction is another lease's.
    #[inline]
    pub const fn ends(self, tenancy: &Tenancy) -> bool {
        match self {
            Self::Open => false,
            Self::Untouched => tenancy.is_touched(),
            Self::Single | Self::Leaving | Self::Left => true,
        }
    }

    /// Whether nothing may be read from the client now.
    #[inline]
    pub(super) const fn holds_client(self) -> bool {
        matches!(self, Self::Leaving)
    }

    /// Everything sent is answered.
    #[inline]
    pub(super) const fn answered(&mut self) {
        if matches!(self, Self::Leaving) {
            *self = Self::Left;
        }
    }

    /// The client's sequence ends.
    #[inline]
    pub(super) const fn sequence_ends(&mut self) {
        if matches!(self, Self::Leaving | Self::Left) {
            *self = Self::Single;
        }
    }
}

/// The setting by which a client hands over what it was told on another connection.
pub const WAIT_FOR: &[u8] = b"pgsteer.wait_for";

/// Whether what a request must see is what its server was chosen for. What comes in the same request behind a change of that
/// would run before anybody knows what it must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// It does not matter.
    #[default]
    Off,
    /// It is.
    Settled,
    /// A statement that sets [`WAIT_FOR`] is about to run.
    Bound,
    /// It may be another from here on: what else comes in this request is refused so.
    Changed(Refusal),
}

impl Sight {
    /// Whether it matters.
    #[inline]
    pub const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// A statement that sets [`WAIT_FOR`], outside a transaction block, is to run next, or may be.
    pub const fn bind(&mut self) {
        if matches!(self, Self::Settled) {
            *self = Self::Bound;
        }
    }

    /// Why a query may not run next that is said to do this to a transaction block: several statements are not one.
    pub const fn refuses(self, block: Block) -> Option<Refusal> {
        match (self, block) {
            (Self::Changed(refusal), _) => Some(refusal),
            (Self::Bound, Block::MayCommit) => Some(Refusal::NotAlone),
            (Self::Off | Self::Settled | Self::Bound, _) => None,
        }
    }

    /// A statement of a sequence runs; or why it may not.
    #[inline]
    pub const fn run(&mut self) -> Option<Refusal> {
        match *self {
            Self::Off | Self::Settled => None,
            Self::Bound => {
                *self = Self::Changed(Refusal::NotAlone);
                None
            }
            Self::Changed(refusal) => Some(refusal),
        }
    }

    /// The request ends.
    #[inline]
    pub const fn end(&mut self) {
        if self.is_on() {
            *self = Self::Settled;
        }
    }
}

impl Tenancy {
    /// Whether what comes next outside a transaction is another lease's.
    #[inline]
    pub(in crate::session) const fn ends_its_stint(&self) -> bool {
        self.stint.ends(self)
    }

    /// A statement of a sequence runs that does this to the transaction block that was open when that began.
    pub(in crate::session) const fn runs_in_block(&mut self, block: Block) {
        if matches!((self.stint, block), (Stint::Single, Block::Commits | Block::RollsBack)) {
            self.stint = Stint::Leaving;
        }
    }

    /// Whether the block is over that was open on a replica, and its client's sequence is not.
    pub(in crate::session) const fn has_left_block(&self) -> bool {
        matches!(self.stint, Stint::Left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_it_is_the_last_of_its_request() {
        const SETTLED: Sight = Sight::Settled;
        // `b` a statement that sets it is bound, `r` one runs, `q` a query comes, `s` one of several statements, `e` the request
        // ends; what is refused.
        for (begins, story, expected) in [
            (SETTLED, "rrbr", "..."),
            (SETTLED, "brr", ".n"),
            (SETTLED, "brbr", ".n"),
            (SETTLED, "brerr", "..."),
            (SETTLED, "brebrr", "..n"),
            (SETTLED, "qsbqs", "...n"),
            (SETTLED, "brqs", ".nn"),
            (Sight::Off, "rerrqsr", "......"),
        ] {
            let mut sight = begins;
            let mut refused = String::new();
            for step in story.bytes() {
                let told = match step {
                    b'b' => {
                        sight.bind();
                        continue;
                    }
                    b'e' => {
                        sight.end();
                        continue;
                    }
                    b's' => sight.refuses(Block::MayCommit),
                    b'q' => sight.refuses(Block::Stays),
                    _ => sight.run(),
                };
                refused.push(match told {
                    None => '.',
                    Some(Refusal::NotAlone) => 'n',
                    Some(_) => 'x',
                });
            }
            assert_eq!(refused, expected, "{story}");
        }
    }

    #[test]
    fn a_sequence_that_leaves_a_block() {
        // `c` the end of a block is run, `s` something else, `a` all is answered, `e` the sequence ends: whether the client is held, and
        // whether the rest is another lease's.
        for (begins, story, held, left) in [
            (Stint::Single, "", false, false),
            (Stint::Single, "sa", false, false),
            (Stint::Single, "sc", true, false),
            (Stint::Single, "ca", false, true),
            (Stint::Single, "cae", false, false),
            (Stint::Single, "caec", true, false),
            (Stint::Untouched, "ca", false, false),
            (Stint::Open, "ca", false, false),
        ] {
            let mut tenancy = Tenancy { stint: begins, ..Tenancy::default() };
            for step in story.bytes() {
                match step {
                    b'c' => tenancy.runs_in_block(Block::Commits),
                    b's' => tenancy.runs_in_block(Block::Stays),
                    b'a' => tenancy.answered(true),
                    _ => tenancy.sequence_ends(),
                }
            }
            assert_eq!((tenancy.holds_client(), tenancy.has_left_block()), (held, left), "{story}");
            assert_eq!(tenancy.ends_its_stint(), begins == Stint::Single, "{story}");
        }
    }
}
