//! Asking for the position of the log behind what a client has sent: when that may be done, and what is owed then.

use super::{Block, CopyIn, Outlook, Owed, Pipeline, Sequence, Step, TransactionStatus};

/// Replies owed that are looked through, at most.
const LOOK_MAX: usize = 64;

/// Where what comes next is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Outside any block.
    Outside,
    /// In one.
    InBlock,
}

impl Next {
    /// Behind one more message; `None`: that is not known.
    const fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (_, Step::Query(Block::MayCommit) | Step::Execute(Block::MayCommit)) => None,
            (_, Step::Query(Block::Begins) | Step::Execute(Block::Begins)) => Some(Self::InBlock),
            (
                _,
                Step::Query(Block::Commits | Block::RollsBack)
                | Step::Execute(Block::Commits | Block::RollsBack),
            ) => Some(Self::Outside),
            (next, _) => Some(next),
        }
    }
}

impl Pipeline {
    /// Whether what was sent so far is sure to leave no transaction open that has not failed, so that a query of ours behind it
    /// neither becomes part of one nor gets in the way of a copy.
    pub fn ends_outside(&self) -> bool {
        if self.sequence != Sequence::Closed || self.copy != CopyIn::No || self.owed.len() > LOOK_MAX {
            return false;
        }
        if self.may_skip_queries() {
            return false;
        }
        let begins = match self.ran {
            Outlook::Safe(TransactionStatus::Idle) | Outlook::Implicit => Next::Outside,
            Outlook::Safe(TransactionStatus::InBlock | TransactionStatus::Failed) => Next::InBlock,
            Outlook::Open => return false,
        };
        let ends = self.owed.iter().filter_map(Owed::step).try_fold(begins, Next::after);
        ends == Some(Next::Outside)
    }

    /// Whether what comes next is sure to be part of a transaction block that is open now, should it have failed or not.
    pub fn stays_in_block(&self) -> bool {
        let is_open =
            matches!(self.ran, Outlook::Safe(TransactionStatus::InBlock | TransactionStatus::Failed));
        let stays = |step| match step {
            Step::Query(block) | Step::Execute(block) => matches!(block, Block::Stays | Block::Begins),
            Step::FunctionCall | Step::Sync => true,
        };
        is_open && self.owed.len() <= LOOK_MAX && self.owed.iter().filter_map(Owed::step).all(stays)
    }

    /// Whether a query that comes next may be skipped: something was sent before another one without a Sync behind it, and should
    /// that fail, the server reads nothing before the next Sync.
    fn may_skip_queries(&self) -> bool {
        let unended = self.owed.iter().rev().take_while(|owed| !matches!(owed, Owed::Sync));
        let cannot_fail = |owed: &Owed| matches!(owed, Owed::Own(..) | Owed::Note(_) | Owed::CopyEnd);
        unended.into_iter().any(|owed| !(owed.ends_sequence() || cannot_fail(owed)))
    }

    /// Whether the server can do nothing more before the client sends something: in a transaction, in a sequence, in a copy.
    pub fn needs_client(&self) -> bool {
        self.awaits_client() || self.copy != CopyIn::No
    }

    /// Whether a statement whose end was answered since the last ReadyForQuery may be committed by now. In a sequence it is with
    /// Sync, unless it commits by itself.
    pub fn may_be_committed(&self) -> bool {
        self.ran == Outlook::Open || matches!(self.owed.front(), Some(Owed::Query(_) | Owed::FunctionCall))
    }

    /// Whether the answer to such a question is what comes next.
    #[inline]
    pub fn awaits_position(&self) -> bool {
        matches!(self.owed.front(), Some(Owed::Position))
    }

    /// Whether a row that comes next answers a question of ours.
    #[inline]
    pub fn awaits_row(&self) -> bool {
        matches!(self.owed.front(), Some(Owed::Position | Owed::Evidence | Owed::EvidenceRow))
    }

    /// Whether the client has every answer, no transaction is open, and only we wait for something.
    pub fn only_awaits_position(&self) -> bool {
        let ours = !self.owed.is_empty() && self.owed.iter().all(|owed| matches!(owed, Owed::Position));
        ours && self.status == TransactionStatus::Idle && self.sequence == Sequence::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::in_status as pipeline, *};
    use crate::wire::pipeline::Passage;

    #[test]
    fn what_stays_in_a_block() {
        use Block::*;
        let (query, execute) = (Owed::Query, Owed::Execute);
        for (status, owed, expected) in [
            (b'I', vec![], false),
            (b'T', vec![], true),
            (b'E', vec![], true),
            // Should it fail there is none.
            (b'I', vec![query(Begins)], false),
            (b'T', vec![query(Stays), query(Begins), Owed::FunctionCall], true),
            (b'T', vec![Owed::Bind(0), execute(Stays), Owed::Sync, query(Stays)], true),
            (b'T', vec![query(Stays), query(Commits)], false),
            (b'E', vec![query(RollsBack)], false),
            (b'T', vec![query(MayCommit)], false),
            (b'T', vec![query(Commits), query(Begins)], false),
            (b'T', vec![execute(Commits), Owed::Sync], false),
        ] {
            let shown = format!("{} {owed:?}", char::from(status));
            assert_eq!(pipeline(status, owed).stays_in_block(), expected, "{shown}");
        }
        // Nor where the end was answered without its ReadyForQuery.
        let mut over = pipeline(b'T', vec![Owed::Execute(Commits), Owed::Sync]);
        over.received(b'C', None, &mut |_| {}).unwrap();
        assert!(!over.stays_in_block());
    }

    #[test]
    fn where_a_question_may_be_asked() {
        use Block::*;
        let (query, execute) = (Owed::Query, Owed::Execute);
        for (status, owed, expected) in [
            (b'I', vec![], true),
            (b'I', vec![query(Stays)], true),
            (b'I', vec![query(MayCommit)], false),
            (b'I', vec![query(Begins)], false),
            (b'I', vec![query(Begins), query(Stays)], false),
            (b'I', vec![query(Begins), query(Stays), query(Commits)], true),
            (b'T', vec![query(Stays)], false),
            (b'T', vec![query(Commits)], true),
            (b'E', vec![query(RollsBack)], true),
            (b'T', vec![query(Commits), query(Begins)], false),
            (b'I', vec![execute(Stays)], false),
            (b'I', vec![execute(Stays), Owed::Sync], true),
            (b'I', vec![execute(Begins), execute(Stays), Owed::Sync], false),
            (b'I', vec![Owed::FunctionCall], true),
            (b'T', vec![Owed::FunctionCall], false),
            // Should it fail, the server skips what is behind it, up to a Sync.
            (b'I', vec![execute(Stays), query(Stays)], false),
            (b'I', vec![execute(Stays), query(Stays), Owed::FunctionCall], false),
            (b'I', vec![execute(Stays), query(Stays), Owed::Sync], true),
            (b'I', vec![execute(Stays), Owed::Sync, query(Stays)], true),
            (b'I', vec![query(Stays), Owed::Position, query(Stays)], true),
        ] {
            let shown = format!("{} {owed:?}", char::from(status));
            assert_eq!(pipeline(status, owed).ends_outside(), expected, "{shown}");
        }
        // What was answered counts, too.
        let mut begun = pipeline(b'I', vec![Owed::Execute(Begins), Owed::Execute(Stays)]);
        begun.received(b'C', None, &mut |_| {}).unwrap();
        begun.sent(Owed::Sync);
        assert!(!begun.ends_outside());
        // A copy takes what it is sent.
        let mut copying = pipeline(b'I', vec![Owed::Query(Stays)]);
        copying.received(b'G', None, &mut |_| {}).unwrap();
        assert!(!copying.ends_outside());
    }

    #[test]
    fn the_answer_is_ours() {
        let mut pipeline = pipeline(b'I', vec![Owed::Query(Block::Stays), Owed::Position]);
        let mut received = |tag, status| {
            let passage = pipeline.received(tag, status, &mut |_| {});
            (passage.unwrap(), pipeline.only_awaits_position(), pipeline.may_release())
        };
        assert_eq!(received(b'C', None), (Passage::Pass, false, false));
        assert_eq!(received(b'Z', Some(b'I')), (Passage::Pass, true, false));
        for tag in *b"TDC" {
            assert_eq!(received(tag, None), (Passage::Position, true, false));
        }
        assert_eq!(received(b'S', None), (Passage::Pass, true, false));
        assert_eq!(received(b'Z', Some(b'I')), (Passage::Position, false, true));
    }
}
