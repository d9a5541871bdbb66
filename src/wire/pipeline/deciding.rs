//! Asking a transaction about itself ahead of the COMMIT that decides about it: when that may be done, and what is owed then.

use super::{Block, CopyIn, For, Outlook, Owed, Passage, Pipeline, Sequence, TransactionStatus, Undo};
use crate::wire::statements::FATE;

/// Replies owed that are looked through, at most.
const LOOK_MAX: usize = 64;

/// What the client is owed of a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Its CommandComplete and ReadyForQuery, and nothing else.
    Alone,
    /// More than that.
    AmongOthers,
}

impl Pipeline {
    /// Whether a COMMIT that comes now as a query finds an open block that has not failed. Then a query before it, in that block,
    /// fails only for reasons of its own.
    pub fn may_ask_ahead(&self) -> bool {
        self.owed.is_empty()
            && self.status == TransactionStatus::InBlock
            && self.sequence == Sequence::Closed
            && self.copy == CopyIn::No
    }

    /// The same where it comes as part of a sequence: then whatever fails before it takes it along.
    pub fn may_ask_within(&self) -> bool {
        self.status == TransactionStatus::InBlock
            && self.ran == Outlook::Safe(TransactionStatus::InBlock)
            && self.sequence == Sequence::Open
            && self.copy == CopyIn::No
            && self.owed.len() <= LOOK_MAX
            && self.owed.iter().all(|owed| {
                !owed.ends_sequence()
                    && (owed.step().is_none() || matches!(owed, Owed::Execute(Block::Stays)))
            })
    }

    /// Whether the answer to such a question is what comes next.
    #[inline]
    pub fn awaits_evidence(&self) -> bool {
        match self.owed.front() {
            Some(Owed::Evidence | Owed::EvidenceRow) => true,
            Some(Owed::Parse(For::Us, Undo::ServerForgets(id), _)) => *id == FATE,
            Some(Owed::Ours(b'2')) => matches!(self.owed.get(1), Some(Owed::EvidenceRow)),
            _ => false,
        }
    }

    /// What the client is owed of a COMMIT that was asked about.
    pub fn awaits_commit(&self) -> Commit {
        let ours = |owed: &&Owed| matches!(owed, Owed::Evidence | Owed::EvidenceRow | Owed::Ours(_));
        // Behind it, what matters only where the commit is answered.
        let mut owed = self.owed.iter().skip_while(ours).filter(|owed| !matches!(owed, Owed::Position));
        match (owed.next(), owed.next(), owed.next()) {
            (Some(Owed::Query(Block::Commits)), None, None)
            | (Some(Owed::Execute(Block::Commits)), Some(Owed::Sync), None) => Commit::Alone,
            _ => Commit::AmongOthers,
        }
    }

    /// The question has failed, and with it the transaction: that is what the client hears of its COMMIT. That the COMMIT then
    /// rolls back, it need not hear, too.
    pub(super) fn evidence_failed(&mut self) -> Passage {
        if let Some(commit @ Owed::Query(_)) = self.owed.get_mut(1) {
            *commit = Owed::Refused;
        }
        Passage::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(status: u8, owed: Vec<Owed>) -> Pipeline {
        let mut pipeline = Pipeline::default();
        pipeline.sent(Owed::Sync);
        pipeline.received(b'Z', Some(status), &mut |_| {}).unwrap();
        owed.into_iter().for_each(|owed| pipeline.sent(owed));
        pipeline
    }

    #[test]
    fn where_a_transaction_may_be_asked() {
        use Block::*;
        let (query, execute) = (Owed::Query, Owed::Execute);
        for (status, owed, ahead, within) in [
            (b'I', vec![], false, false),
            (b'T', vec![], true, false),
            (b'E', vec![], false, false),
            (b'T', vec![query(Stays)], false, false),
            (b'T', vec![Owed::Bind(0)], false, true),
            (b'E', vec![Owed::Bind(0)], false, false),
            (b'I', vec![Owed::Bind(0)], false, false),
            (b'T', vec![execute(Stays), Owed::Bind(0)], false, true),
            (b'T', vec![execute(RollsBack), Owed::Bind(0)], false, false),
            (b'T', vec![execute(MayCommit), Owed::Bind(0)], false, false),
            // The sequence before may yet fail: then the question would, and the COMMIT with it, which rolls back otherwise.
            (b'T', vec![execute(Stays), Owed::Sync, Owed::Bind(0)], false, false),
            (b'T', vec![query(Stays), Owed::Bind(0)], false, false),
        ] {
            let shown = format!("{} {owed:?}", char::from(status));
            let pipeline = pipeline(status, owed);
            assert_eq!((pipeline.may_ask_ahead(), pipeline.may_ask_within()), (ahead, within), "{shown}");
        }
        // What was answered counts, too.
        let mut ended = pipeline(b'T', vec![Owed::Execute(RollsBack), Owed::Bind(0)]);
        ended.received(b'C', None, &mut |_| {}).unwrap();
        assert!(!ended.may_ask_within());
    }

    #[test]
    fn what_is_owed_of_a_commit() {
        use Block::*;
        for (owed, expected) in [
            (vec![Owed::Query(Commits)], Commit::Alone),
            (vec![Owed::Evidence, Owed::Query(Commits)], Commit::Alone),
            (vec![Owed::Execute(Commits), Owed::Sync], Commit::Alone),
            (vec![Owed::EvidenceRow, Owed::Ours(b'3'), Owed::Execute(Commits), Owed::Sync], Commit::Alone),
            (vec![Owed::Query(Commits), Owed::Position], Commit::Alone),
            (vec![Owed::Execute(Commits), Owed::Sync, Owed::Position], Commit::Alone),
            // The client may send more before it ends the sequence.
            (vec![Owed::Execute(Commits)], Commit::AmongOthers),
            (vec![Owed::Bind(0), Owed::Execute(Commits), Owed::Sync], Commit::AmongOthers),
            (vec![Owed::Query(Commits), Owed::Query(Begins)], Commit::AmongOthers),
            (vec![Owed::Query(MayCommit)], Commit::AmongOthers),
            (vec![Owed::Refused], Commit::AmongOthers),
            (vec![], Commit::AmongOthers),
        ] {
            let shown = format!("{owed:?}");
            assert_eq!(pipeline(b'T', owed).awaits_commit(), expected, "{shown}");
        }
    }

    /// Plays the server's messages: what each comes to.
    fn check(owed: Vec<Owed>, messages: &[(u8, Option<u8>, Passage)]) -> Pipeline {
        let mut pipeline = pipeline(b'T', owed);
        for (tag, status, expected) in messages {
            let passage = pipeline.received(*tag, *status, &mut |_| {}).unwrap();
            assert_eq!(passage, *expected, "{}", char::from(*tag));
        }
        pipeline
    }

    #[test]
    fn the_answer_is_ours() {
        use Passage::{Evidence, Pass, Swallow};
        let query = || vec![Owed::Evidence, Owed::Query(Block::Commits)];
        let answer = [(b'T', None, Evidence), (b'D', None, Evidence), (b'C', None, Evidence)];
        let commit = [(b'Z', Some(b'T'), Evidence), (b'C', None, Pass), (b'Z', Some(b'I'), Pass)];
        let pipeline = check(query(), &[&answer[..], &commit].concat());
        assert!(pipeline.may_release());
        // Its failure is the commit's, of which the client hears once.
        let pipeline = check(
            query(),
            &[
                (b'E', None, Pass),
                (b'Z', Some(b'E'), Evidence),
                (b'C', None, Swallow),
                (b'Z', Some(b'I'), Pass),
            ],
        );
        assert!(pipeline.may_release());
        let sequence = || {
            let ours = [Owed::Ours(b'2'), Owed::EvidenceRow, Owed::Ours(b'3')];
            ours.into_iter().chain([Owed::Execute(Block::Commits), Owed::Sync]).collect()
        };
        let row =
            [(b'2', None, Swallow), (b'D', None, Evidence), (b'C', None, Swallow), (b'3', None, Swallow)];
        let commit = [(b'C', None, Pass), (b'Z', Some(b'I'), Pass)];
        assert!(check(sequence(), &[&row[..], &commit].concat()).may_release());
        check(sequence(), &[(b'2', None, Swallow), (b'E', None, Pass), (b'Z', Some(b'E'), Pass)]);
    }
}
