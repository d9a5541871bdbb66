//! Answers of our own, between those of the server.

use super::{Owed, Pipeline};

/// An answer that we give ourselves, as the protocol lets a proxy that maps statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// ParseComplete: the server has the statement already.
    ParseComplete,
    /// CloseComplete: the statement was the client's, not the server's.
    CloseComplete,
}

impl Pipeline {
    /// Whether an answer of our own is due now: nothing of the server's comes before it.
    #[inline]
    pub fn owes_own_answer(&self) -> bool {
        matches!(self.owed.front(), Some(Owed::Own(..)))
    }

    /// That answer.
    pub fn own_answer_due(&mut self) -> Option<OwnAnswer> {
        match self.owed.front() {
            Some(Owed::Own(answer, _)) => {
                let answer = *answer;
                self.settle();
                Some(answer)
            }
            _ => None,
        }
    }

    /// Whether answers of our own are all that is owed, so that nothing from the server will bring them along.
    pub fn only_own_answers(&self) -> bool {
        !self.owed.is_empty() && self.owed.iter().all(|owed| matches!(owed, Owed::Own(..)))
    }
}
