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
}

impl Stint {
    /// Whether what comes next outside a transaction is another lease's.
    #[inline]
    pub const fn ends(self, tenancy: &Tenancy) -> bool {
        match self {
            Self::Open => false,
            Self::Untouched => tenancy.is_touched(),
            Self::Single => true,
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

    /// A statement of a sequence runs that ends the block that was open on a replica before.
    pub const fn leave_block(&mut self) {
        if self.is_on() {
            *self = Self::Changed(Refusal::BehindBlock);
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

    /// A statement runs that does this to a transaction block; whether a block was open when its sequence began.
    #[inline]
    pub(in crate::session) fn may_end_block(&mut self, block: Block, was_open: bool) {
        let ends = matches!(block, Block::Commits | Block::RollsBack);
        if ends && was_open && self.stint == Stint::Single {
            self.sight.leave_block();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_it_is_the_last_of_its_request() {
        const SETTLED: Sight = Sight::Settled;
        // `b` a statement that sets it is bound, `r` one runs, `c` a block is over by it, `q` a query comes, `s` one of several
        // statements, `e` the request ends; what is refused.
        for (begins, story, expected) in [
            (SETTLED, "rrbr", "..."),
            (SETTLED, "brr", ".n"),
            (SETTLED, "brbr", ".n"),
            (SETTLED, "brerr", "..."),
            (SETTLED, "brebrr", "..n"),
            (SETTLED, "qsbqs", "...n"),
            (SETTLED, "brqs", ".nn"),
            (SETTLED, "rcrqbrer", ".xxx."),
            (Sight::Off, "rerrcqsr", "......"),
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
                    b'c' => {
                        sight.leave_block();
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
}
