//! A block that nobody has begun.
//!
//! Behind an Execute and without a Sync between, PostgreSQL 18 and later run a Query in the same transaction, and answer it by
//! ReadyForQuery with status `T` (`start_xact_command`); Sync ends that block. But where Sync comes right behind such a
//! Query, it commits nothing, though it is answered as ever: the transaction stays open, and whatever is run next there fails,
//! whoever has sent it (XX000, "unexpected state STARTED"), and what the client was told to be done is undone. A message
//! that begins a command before that Sync makes it commit, as it does everywhere else.

use super::{Block, CopyIn, Outlook, Owed, Pipeline, Sequence, TransactionStatus};

/// Whether a Query, or FunctionCall, was made part of the sequence that it was sent in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Implied {
    /// It was not.
    #[default]
    No,
    /// Its ReadyForQuery tells, before anything else is sent.
    Asked,
    /// It was: the sequence is still open.
    Yes,
}

impl Pipeline {
    /// Whether what is asked for next must wait until it is known which transaction it is part of.
    #[inline]
    pub fn block_is_unclear(&self) -> bool {
        self.implied == Implied::Asked && !self.is_taking_data()
    }

    /// Whether Sync is to end a block that a Query was made part of: then a command must have begun since.
    #[inline]
    pub fn sync_must_commit(&self) -> bool {
        self.implied == Implied::Yes
    }

    /// Whether a sequence is open in which the client has executed nothing, and perhaps no block: then a Query that comes now ends it, on
    /// any server. Once all is answered it is certain.
    pub fn has_executed_nothing(&self) -> bool {
        let behind = self.owed.iter().rev();
        let executed = behind.take_while(|owed| !owed.ends_sequence()).any(|owed| owed.step().is_some());
        let is_outside = self.status == TransactionStatus::Idle && self.ran == Outlook::START;
        let is_certain = !self.owed.iter().any(Owed::ends_sequence);
        self.sequence == Sequence::Open
            && self.implied == Implied::No
            && !executed
            && (is_outside || !is_certain)
    }

    /// ReadyForQuery of this status, of what is owed first.
    #[cold]
    pub(super) fn implied_is_answered(&mut self, status: TransactionStatus) {
        if self.owed.iter().skip(1).any(Owed::ends_sequence) {
            // Of something before it.
            return;
        }
        let begun = matches!(self.owed.front(), Some(Owed::Query(Block::Begins)))
            || matches!(self.ran, Outlook::Safe(TransactionStatus::InBlock | TransactionStatus::Failed));
        self.implied = Implied::No;
        if status == TransactionStatus::InBlock && !begun {
            self.implied = Implied::Yes;
            self.sequence = Sequence::Open;
        }
    }

    /// Whether the server takes a copy's data, the end of which was not sent.
    pub fn is_taking_data(&self) -> bool {
        self.copy != CopyIn::No && !self.owed.iter().any(|owed| matches!(owed, Owed::CopyEnd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Block::{Begins, Stays};

    /// What is sent, and the server's answers: whether what comes next waits, and whether a Sync must commit.
    fn check(sent: &[Owed], answers: &[(u8, u8)], expected: [bool; 2]) -> Pipeline {
        let mut pipeline = Pipeline::default();
        for owed in sent {
            pipeline.sent(owed.clone());
        }
        for (tag, status) in answers {
            let status = (*tag == b'Z').then_some(*status);
            pipeline.received(*tag, status, &mut |_| {}).unwrap();
        }
        let told = [pipeline.block_is_unclear(), pipeline.sync_must_commit()];
        assert_eq!(told, expected, "{sent:?} {answers:?}");
        pipeline
    }

    #[test]
    fn who_has_executed_nothing() {
        let executed = |sent: &[Owed], status| {
            let mut pipeline = check(&[Owed::Sync], &[(b'Z', status)], [false, false]);
            sent.iter().for_each(|owed| pipeline.sent(owed.clone()));
            !pipeline.has_executed_nothing()
        };
        let (bind, execute) = (Owed::Bind(0), Owed::Execute(Stays));
        let earlier = [bind.clone(), execute.clone(), Owed::Sync];
        for (sent, status, expected) in [
            (vec![bind.clone()], b'I', false),
            (vec![bind.clone()], b'T', true),
            (vec![bind.clone(), execute.clone()], b'I', true),
            (vec![Owed::Ours(b'2'), Owed::Ours(b'C'), bind.clone()], b'I', false),
            ([&earlier[..], std::slice::from_ref(&bind)].concat(), b'I', false),
            // It may have been a block that is over.
            ([&earlier[..], std::slice::from_ref(&bind)].concat(), b'T', false),
            ([&earlier[..], &earlier[..2]].concat(), b'I', true),
            // None is open.
            (vec![], b'I', true),
            (earlier.to_vec(), b'I', true),
        ] {
            assert_eq!(executed(&sent, status), expected, "{sent:?} {}", char::from(status));
        }
    }

    #[test]
    fn a_query_inside_a_sequence_may_be_made_part_of_it() {
        let (execute, query) = (Owed::Execute(Stays), Owed::Query(Stays));
        let said = |status| [(b'C', 0), (b'C', 0), (b'Z', status)];
        check(&[execute.clone(), query.clone()], &[], [true, false]);
        check(&[execute.clone(), query.clone()], &said(b'T')[..2], [true, false]);
        check(&[execute.clone(), query.clone()], &said(b'I'), [false, false]);
        check(&[execute.clone(), Owed::FunctionCall], &[(b'C', 0), (b'Z', b'T')], [false, true]);
        // Alone, or behind a Sync, it is not.
        check(std::slice::from_ref(&query), &[], [false, false]);
        check(&[execute.clone(), Owed::Sync, query.clone()], &[], [false, false]);
        // What is answered first may be something before it.
        let before = [query.clone(), execute.clone(), query.clone()];
        check(&before, &[(b'C', 0), (b'Z', b'I')], [true, false]);
        // It fails, or is skipped.
        check(&[execute.clone(), query.clone()], &[(b'C', 0), (b'E', 0), (b'Z', b'I')], [false, false]);
        let skipped = check(&[execute.clone(), query.clone()], &[(b'E', 0)], [false, false]);
        assert!(skipped.is_skipping() && skipped.is_empty());
        // A block that was begun is no such one.
        check(&[execute.clone(), Owed::Query(Begins)], &said(b'T'), [false, false]);
        check(&[Owed::Execute(Begins), query.clone()], &said(b'T'), [false, false]);

        let mut pipeline = check(&[execute, query.clone()], &said(b'T'), [false, true]);
        assert!(pipeline.is_in_sequence() && !pipeline.may_release() && pipeline.awaits_client());
        pipeline.sent(query);
        assert!(pipeline.block_is_unclear());
        said(b'T')[1..].iter().for_each(|(tag, status)| {
            pipeline.received(*tag, (*tag == b'Z').then_some(*status), &mut |_| {}).unwrap();
        });
        // It is committed by Sync, and not before its answer.
        assert!(pipeline.sync_must_commit() && pipeline.may_have_committed());
        pipeline.sent(Owed::Sync);
        assert!(!pipeline.sync_must_commit() && pipeline.may_have_committed());
        pipeline.received(b'Z', Some(b'I'), &mut |_| {}).unwrap();
        assert!(!pipeline.may_have_committed() && pipeline.may_release());
    }
}
