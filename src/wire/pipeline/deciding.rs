//! Asking a transaction about itself ahead of the COMMIT that decides about it: when that may be done, and what is owed then.

use super::{Block, CopyIn, For, Outlook, Owed, Passage, Pipeline, Sequence, Step, TransactionStatus, Undo};
use crate::wire::statements::{FATE, FATE_FIRST};

/// Replies owed that are looked through, at most.
const LOOK_MAX: usize = 64;

/// What the client is owed of a transaction that is being committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// CommandComplete of a COMMIT, ReadyForQuery, and then this.
    Block(Behind),
    /// Of statements without a block, and nothing else.
    Implicit(Unsaid),
    /// Anything else.
    Other,
}

/// What is owed behind a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Nothing.
    Nothing,
    /// Something; nothing of it can be committed.
    Harmless,
    /// Something that may be committed.
    Open,
}

/// What is owed of statements without a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// ReadyForQuery: the client knows what they have come to, if they are committed.
    Ready,
    /// And what they have come to.
    Results,
}

impl Commit {
    /// Whether the client can be told what became of it.
    pub const fn can_be_told(self) -> bool {
        !matches!(self, Self::Other)
    }
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

    /// Whether a statement that is executed next is the first of a sequence without a block: then a question before it is the
    /// first of the same transaction.
    pub fn may_ask_first(&self) -> bool {
        self.status == TransactionStatus::Idle
            && self.ran == Outlook::START
            && self.sequence == Sequence::Open
            && self.copy == CopyIn::No
            && self.owed.len() <= LOOK_MAX
            && self.owed.iter().all(|owed| !owed.ends_sequence() && owed.step().is_none())
    }

    /// Whether the answer to such a question is what comes next.
    #[inline]
    pub fn awaits_evidence(&self) -> bool {
        match self.owed.front() {
            Some(Owed::Evidence | Owed::EvidenceRow) => true,
            Some(Owed::Parse(For::Us, Undo::ServerForgets(id), _)) => matches!(*id, FATE | FATE_FIRST),
            Some(Owed::Ours(b'2')) => matches!(self.owed.get(1), Some(Owed::EvidenceRow)),
            _ => false,
        }
    }

    /// What the client is owed of a transaction that was asked about.
    pub fn awaits_commit(&self) -> Commit {
        if self.owed.len() > LOOK_MAX {
            return Commit::Other;
        }
        // Behind it, what matters only where the commit is answered.
        let owed = self.owed.iter().skip_while(|owed| owed.is_ours());
        let mut owed = owed.filter(|owed| !matches!(owed, Owed::Position));
        match owed.next() {
            Some(Owed::Query(Block::Commits)) => Commit::Block(behind(owed)),
            Some(Owed::Execute(Block::Commits)) => match owed.next() {
                Some(Owed::Sync) => Commit::Block(behind(owed)),
                _ => Commit::Other,
            },
            Some(Owed::Sync) if owed.next().is_none() => Commit::Implicit(Unsaid::Ready),
            Some(Owed::Execute(Block::Stays) | Owed::Bind(_) | Owed::Describe(_)) => {
                let step = |owed: &&Owed| {
                    matches!(owed, Owed::Bind(_) | Owed::Describe(_) | Owed::Execute(Block::Stays))
                };
                let end = owed.find(|owed| !step(owed));
                match (end, owed.next()) {
                    (Some(Owed::Sync), None) => Commit::Implicit(Unsaid::Results),
                    _ => Commit::Other,
                }
            }
            _ => Commit::Other,
        }
    }

    /// Whether one transaction is all that may be committed of what was sent so far, and it is of statements that leave a
    /// block, or what there is instead, alone.
    pub fn commits_one(&self) -> bool {
        if self.owed.len() > LOOK_MAX {
            return false;
        }
        let steps = self.owed.iter().filter_map(Owed::step);
        let mut steps = steps.skip_while(|step| *step == Step::Execute(Block::Stays));
        let ends = match steps.next() {
            Some(Step::Execute(Block::Commits)) => steps.next() == Some(Step::Sync),
            Some(Step::Query(Block::Commits | Block::Stays) | Step::Sync) => true,
            _ => false,
        };
        ends && steps.next().is_none()
    }

    /// Whether what was sent so far may be committed, or may yet be, as far as that is looked into.
    pub fn may_be_committing(&self) -> bool {
        self.owed.len() > LOOK_MAX || self.may_have_committed()
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

/// What follows a COMMIT, however that has ended: no block is open then.
fn behind<'o>(owed: impl Iterator<Item = &'o Owed>) -> Behind {
    let mut any = false;
    let steps = owed.inspect(|_| any = true).filter_map(Owed::step);
    let outlook = steps.fold(Outlook::START, Outlook::after);
    match any {
        false => Behind::Nothing,
        true if outlook.is_open() => Behind::Open,
        true => Behind::Harmless,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::in_status as pipeline, *};

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
        for (status, owed, first) in [
            (b'I', vec![Owed::Bind(0)], true),
            (b'I', vec![Owed::Bind(0), Owed::Describe(0)], true),
            (b'T', vec![Owed::Bind(0)], false),
            (b'E', vec![Owed::Bind(0)], false),
            (b'I', vec![], false),
            (b'I', vec![execute(Stays), Owed::Bind(0)], false),
            (b'I', vec![execute(Stays), Owed::Sync, Owed::Bind(0)], false),
            (b'I', vec![query(Begins), Owed::Bind(0)], false),
        ] {
            let shown = format!("{} {owed:?}", char::from(status));
            assert_eq!(pipeline(status, owed).may_ask_first(), first, "{shown}");
        }
        let mut second = pipeline(b'I', vec![execute(Stays), Owed::Bind(0)]);
        second.received(b'C', None, &mut |_| {}).unwrap();
        assert!(!second.may_ask_first());
        // What was answered counts, too.
        let mut ended = pipeline(b'T', vec![Owed::Execute(RollsBack), Owed::Bind(0)]);
        ended.received(b'C', None, &mut |_| {}).unwrap();
        assert!(!ended.may_ask_within());
    }

    #[test]
    fn what_is_owed_of_a_commit() {
        use Block::*;
        let [alone, harmless, open] = [Behind::Nothing, Behind::Harmless, Behind::Open].map(Commit::Block);
        let results = Commit::Implicit(Unsaid::Results);
        for (owed, expected) in [
            (vec![Owed::Query(Commits)], alone),
            (vec![Owed::Evidence, Owed::Query(Commits)], alone),
            (vec![Owed::Execute(Commits), Owed::Sync], alone),
            (vec![Owed::EvidenceRow, Owed::Ours(b'3'), Owed::Execute(Commits), Owed::Sync], alone),
            (vec![Owed::Query(Commits), Owed::Position], alone),
            (vec![Owed::Execute(Commits), Owed::Sync, Owed::Position], alone),
            // The client may send more before it ends the sequence.
            (vec![Owed::Execute(Commits)], Commit::Other),
            (vec![Owed::Bind(0), Owed::Execute(Commits), Owed::Sync], Commit::Other),
            // And behind it, what can be committed or not.
            (vec![Owed::Query(Commits), Owed::Query(Begins)], harmless),
            (vec![Owed::Query(Commits), Owed::Query(Begins), Owed::Query(Stays)], harmless),
            (vec![Owed::Execute(Commits), Owed::Sync, Owed::Bind(0)], harmless),
            (vec![Owed::Query(Commits), Owed::Query(Stays)], open),
            (vec![Owed::Query(Commits), Owed::Query(Begins), Owed::Query(Commits)], open),
            (vec![Owed::Execute(Commits), Owed::Sync, Owed::Execute(Stays)], open),
            (vec![Owed::Execute(Commits), Owed::Bind(0), Owed::Execute(Stays), Owed::Sync], Commit::Other),
            (vec![Owed::Query(MayCommit)], Commit::Other),
            (vec![Owed::Refused], Commit::Other),
            (vec![], Commit::Other),
            // Without a block.
            (vec![Owed::Sync], Commit::Implicit(Unsaid::Ready)),
            (vec![Owed::Execute(Stays), Owed::Sync], results),
            (vec![Owed::Execute(Stays), Owed::Bind(0), Owed::Execute(Stays), Owed::Sync], results),
            (vec![Owed::Bind(0), Owed::Describe(0), Owed::Execute(Stays), Owed::Sync], results),
            (vec![Owed::Execute(Stays)], Commit::Other),
            (vec![Owed::Execute(Stays), Owed::Execute(MayCommit), Owed::Sync], Commit::Other),
            (vec![Owed::Execute(Stays), Owed::Sync, Owed::Query(Stays)], Commit::Other),
            (vec![Owed::Sync, Owed::Query(Stays)], Commit::Other),
        ] {
            let shown = format!("{owed:?}");
            assert_eq!(pipeline(b'T', owed).awaits_commit(), expected, "{shown}");
        }
    }

    #[test]
    fn what_is_one_transaction() {
        use Block::*;
        let (query, execute) = (Owed::Query, Owed::Execute);
        for (owed, expected) in [
            (vec![query(Commits)], true),
            (vec![Owed::Evidence, query(Commits)], true),
            (vec![query(Stays)], true),
            (vec![Owed::Bind(0), Owed::EvidenceRow, execute(Commits), Owed::Sync], true),
            (vec![execute(Stays), Owed::Bind(0), execute(Commits), Owed::Sync, Owed::Position], true),
            (vec![execute(Stays), execute(Stays), Owed::Sync], true),
            // The client has not ended it so far.
            (vec![execute(Commits)], false),
            (vec![execute(Stays)], false),
            (vec![execute(Commits), execute(Stays), Owed::Sync], false),
            (vec![query(Commits), query(Begins)], false),
            (vec![execute(Stays), Owed::Sync, execute(Stays), Owed::Sync], false),
            (vec![query(MayCommit)], false),
            (vec![], false),
        ] {
            let shown = format!("{owed:?}");
            assert_eq!(pipeline(b'T', owed).commits_one(), expected, "{shown}");
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
