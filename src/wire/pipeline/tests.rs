//! What the pipeline makes of messages and answers.

use super::*;
use crate::wire::statements::{Unnamed, UnnamedAt};

/// Messages sent, then the server's answers by tag (`Z` takes the next byte as its status); what is left.
fn check(sent: &[Owed], answers: &[u8], left: usize, release: bool) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for message in sent {
        pipeline.sent(message.clone());
    }
    let mut answers = answers.iter();
    while let Some(tag) = answers.next() {
        let status = if *tag == b'Z' { answers.next().copied() } else { None };
        while pipeline.own_answer_due().is_some() {}
        pipeline.received(*tag, status, &mut |_| {}).unwrap();
    }
    while pipeline.own_answer_due().is_some() {}
    assert_eq!((pipeline.len(), pipeline.may_release()), (left, release), "{sent:?} {:?}", pipeline);
    pipeline
}

/// Behind a ReadyForQuery with this status, owing these.
pub(super) fn in_status(status: u8, owed: Vec<Owed>) -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.sent(Owed::Sync);
    pipeline.received(b'Z', Some(status), &mut |_| {}).unwrap();
    owed.into_iter().for_each(|owed| pipeline.sent(owed));
    pipeline
}

const PARSE: Owed = Owed::Parse(For::Client, Undo::Unnamed(Unnamed::None, UnnamedAt::Unknown), None);
const BIND: Owed = Owed::Bind(0);
const DESCRIBE: Owed = Owed::Describe(0);
const OWN: Owed = Owed::Own(OwnAnswer::ParseComplete, None);

#[test]
fn answers_settle_what_is_owed() {
    let query = Owed::Query(Block::Stays);
    let execute = Owed::Execute(Block::Stays);
    check(std::slice::from_ref(&query), b"TDDCZI", 0, true);
    check(std::slice::from_ref(&query), b"CZT", 0, false);
    check(std::slice::from_ref(&query), b"EZI", 0, true);
    check(std::slice::from_ref(&query), b"TD", 1, false);
    check(&[query.clone(), query.clone()], b"CZI", 1, false);
    check(&[PARSE, BIND, DESCRIBE, execute.clone(), Owed::Sync], b"12TDCZI", 0, true);
    check(&[OWN, BIND, execute.clone(), Owed::Sync], b"2CZI", 0, true);
    check(&[PARSE, BIND, execute.clone(), Owed::Sync], b"EZI", 0, true);
    // Flush without Sync: answered, but not free.
    check(&[PARSE, BIND], b"12", 0, false);
    // An error and no Sync so far: everything up to it is skipped.
    let mut pipeline = check(&[PARSE, BIND], b"E", 0, false);
    pipeline.sent(execute.clone());
    assert!(pipeline.is_empty() && pipeline.is_skipping());
    pipeline.sent(Owed::Sync);
    assert_eq!(pipeline.received(b'Z', Some(b'I'), &mut |_| {}), Ok(Passage::Pass));
    assert!(pipeline.may_release());
    check(&[Owed::FunctionCall], b"VZI", 0, true);
}

#[test]
fn a_sync_before_the_end_of_a_copy_is_never_answered() {
    let execute = Owed::Execute(Block::Stays);
    let mut pipeline = check(&[BIND, execute.clone(), Owed::Sync], b"2G", 1, false);
    pipeline.sent(Owed::CopyEnd);
    pipeline.sent(Owed::Sync);
    for (tag, status) in [(b'C', None), (b'Z', Some(b'I'))] {
        pipeline.received(tag, status, &mut |_| {}).unwrap();
    }
    assert!(pipeline.may_release(), "{pipeline:?}");
    // All sent before the server said a word: only the Sync behind the end counts.
    check(&[BIND, execute, Owed::CopyEnd, Owed::Sync], b"2GCZI", 0, true);
    check(&[Owed::Query(Block::Stays), Owed::CopyEnd], b"GCZI", 0, true);
}

#[test]
fn nonsense_is_noticed() {
    let mut pipeline = Pipeline::default();
    for tag in *b"12CTZGQ" {
        let expected = tag == b'G';
        assert_eq!(pipeline.received(tag, None, &mut |_| {}).is_ok(), expected, "{}", tag as char);
    }
    pipeline.sent(BIND);
    assert!(pipeline.received(b'1', None, &mut |_| {}).is_err());
    assert!(pipeline.received(b'Z', Some(b'I'), &mut |_| {}).is_err());
}

#[test]
fn an_error_undoes_what_was_not_carried_out() {
    let mut pipeline = Pipeline::default();
    pipeline.sent(BIND);
    pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(7), Some(Undo::ClientForgets((*b"a").into()))));
    pipeline.sent(Owed::Close(For::Us, Some(Undo::ServerKeeps(8))));
    pipeline.sent(Owed::Sync);
    pipeline.sent(Owed::Parse(For::Us, Undo::ServerForgets(9), None));
    let mut undone = Vec::new();
    pipeline.received(b'E', None, &mut |undo| undone.push(format!("{undo:?}"))).unwrap();
    // The last first: what was noted twice ends as it was before.
    assert_eq!(undone, ["ServerKeeps(8)", "ServerForgets(7)", "ClientForgets([97])"]);
    assert_eq!(pipeline.len(), 2);
}

#[test]
fn what_a_cut_off_leaves_open() {
    use Block::{Begins, Commits, MayCommit, RollsBack, Stays};
    let query = Owed::Query;
    let execute = Owed::Execute;
    for (status, owed, open) in [
        (b'I', vec![], false),
        (b'I', vec![query(Stays)], true),
        (b'I', vec![query(Begins)], false),
        (b'I', vec![query(Begins), query(Stays)], false),
        (b'I', vec![query(Begins), query(Stays), query(MayCommit)], true),
        (b'I', vec![PARSE, Owed::Sync], false),
        (b'I', vec![PARSE, BIND, execute(Stays), Owed::Sync], true),
        (b'I', vec![Owed::FunctionCall], true),
        (b'T', vec![query(Stays)], false),
        (b'T', vec![execute(Stays), Owed::Sync], false),
        (b'T', vec![execute(MayCommit), Owed::Sync], true),
        (b'T', vec![query(MayCommit)], true),
        (b'T', vec![query(RollsBack)], false),
        (b'T', vec![query(RollsBack), query(Stays)], true),
        // COMMIT rolls a failed block back; several statements may end it and begin anew.
        (b'E', vec![query(Commits)], false),
        (b'E', vec![query(Commits), query(Stays)], true),
        (b'E', vec![query(MayCommit)], true),
        // It may have been ROLLBACK TO SAVEPOINT.
        (b'E', vec![query(Stays), query(Commits)], true),
        (b'T', vec![query(Commits)], true),
        (b'T', vec![execute(Commits), Owed::Sync], true),
    ] {
        let mut pipeline = Pipeline::default();
        pipeline.sent(query(Stays));
        pipeline.received(b'Z', Some(status), &mut |_| {}).unwrap();
        for message in &owed {
            pipeline.sent(message.clone());
        }
        assert_eq!(pipeline.may_have_committed(), open, "{} {owed:?}", status as char);
    }
}

#[test]
fn what_was_done_is_not_committed_before_ready_for_query() {
    use Block::{Commits, MayCommit, Stays};
    for (before, executed, answers, open) in [
        (b'I', Stays, &b"12C"[..], true),
        (b'I', Stays, b"12", true),
        (b'I', Stays, b"12E", false),
        (b'I', Stays, b"12CZI", false),
        (b'I', MayCommit, b"12C", true),
        (b'T', Stays, b"12C", false),
        (b'T', Commits, b"12C", true),
        (b'T', Commits, b"12E", false),
        (b'E', Commits, b"12C", false),
    ] {
        let mut pipeline = Pipeline::default();
        pipeline.sent(Owed::Query(Stays));
        pipeline.received(b'Z', Some(before), &mut |_| {}).unwrap();
        for message in [PARSE, BIND, Owed::Execute(executed), Owed::Sync] {
            pipeline.sent(message);
        }
        let mut answers = answers.iter();
        while let Some(tag) = answers.next() {
            let status = if *tag == b'Z' { answers.next().copied() } else { None };
            pipeline.received(*tag, status, &mut |_| {}).unwrap();
        }
        assert_eq!(pipeline.may_have_committed(), open, "{} {executed:?} {answers:?}", before as char);
    }
}

#[test]
fn a_sync_in_the_middle_of_a_copy_is_left_out_until_the_copy_fails() {
    let copying = || check(&[BIND, Owed::Execute(Block::Stays)], b"2G", 1, false);
    let mut pipeline = copying();
    assert!(pipeline.leaves_out_sync());
    pipeline.sent(Owed::CopyEnd);
    assert!(!pipeline.leaves_out_sync(), "behind its end the copy is over, one way or another");
    pipeline.sent(Owed::Sync);
    for (tag, status) in [(b'C', None), (b'Z', Some(b'I'))] {
        assert!(!pipeline.sync_is_due());
        pipeline.received(tag, status, &mut |_| {}).unwrap();
    }
    assert!(pipeline.may_release());
    // The server had failed already: it waits for the Sync.
    let mut pipeline = copying();
    pipeline.sent_data();
    assert!(pipeline.leaves_out_sync());
    pipeline.received(b'E', None, &mut |_| {}).unwrap();
    assert!(pipeline.sync_is_due() && !pipeline.sync_is_due());
    pipeline.received(b'Z', Some(b'I'), &mut |_| {}).unwrap();
    assert!(pipeline.may_release());
    // Before any data it cannot have failed: the Sync was ignored for good, and the next one ends the sequence.
    let mut pipeline = copying();
    assert!(pipeline.leaves_out_sync());
    pipeline.sent_data();
    pipeline.received(b'E', None, &mut |_| {}).unwrap();
    assert!(!pipeline.sync_is_due() && !pipeline.may_release());
    pipeline.sent(Owed::Sync);
    pipeline.received(b'Z', Some(b'I'), &mut |_| {}).unwrap();
    assert!(pipeline.may_release());
    // Another came behind the end: that one it is.
    let mut pipeline = copying();
    assert!(pipeline.leaves_out_sync());
    pipeline.sent(Owed::CopyEnd);
    pipeline.sent(Owed::Sync);
    pipeline.received(b'E', None, &mut |_| {}).unwrap();
    assert!(!pipeline.sync_is_due());
    pipeline.received(b'Z', Some(b'I'), &mut |_| {}).unwrap();
    assert!(pipeline.may_release());
}

#[test]
fn the_end_of_no_copy_is_ignored() {
    let execute = Owed::Execute(Block::Stays);
    check(&[PARSE, Owed::CopyEnd, BIND, execute.clone(), Owed::CopyEnd, Owed::Sync], b"12CZI", 0, true);
    check(&[OWN, Owed::CopyEnd, BIND, execute, Owed::Sync, Owed::CopyEnd], b"2CZI", 0, true);
    check(&[Owed::CopyEnd, Owed::Query(Block::Stays)], b"CZI", 0, true);
}

#[test]
fn what_passes_without_a_look_would_pass_with_one() {
    let fronts = [
        Owed::Query(Block::MayCommit),
        PARSE,
        BIND,
        DESCRIBE,
        Owed::OwnBind(1),
        Owed::Parameters,
        Owed::Execute(Block::Stays),
        Owed::Sync,
        Owed::FunctionCall,
        Owed::Aside(None),
        Owed::Ours(b'C'),
        Owed::Close(For::Us, None),
        Owed::Position,
        Owed::Evidence,
        Owed::EvidenceRow,
        Owed::Refused,
    ];
    let mut passed = 0;
    for front in fronts {
        for tag in 0..=u8::MAX {
            let mut pipeline = Pipeline::default();
            pipeline.sent(front.clone());
            let before = format!("{pipeline:?}");
            if pipeline.is_unmoved_by(tag) {
                assert_eq!(pipeline.received(tag, None, &mut |_| {}), Ok(Passage::Pass), "{front:?} {tag}");
                assert_eq!(format!("{pipeline:?}"), before, "{front:?} {tag}");
                passed += 1;
            }
        }
    }
    // Copied data always, rows unless they answer us, and what describes and completes a simple query.
    assert_eq!(passed, 16 + 13 + 2);
    let mut kept = Pipeline::default();
    kept.keep_sequence(0);
    kept.sent(BIND);
    assert!(!kept.is_unmoved_by(b'D'), "what is kept to be sent again must be dropped first");
    kept.sent(Owed::Sync);
    assert!(!kept.settles_with(b'2'), "what is kept to be sent again must be dropped first");
}

#[test]
fn what_settles_without_a_look_would_settle_with_one() {
    let fronts = [
        Owed::Query(Block::MayCommit),
        PARSE,
        OWN,
        BIND,
        DESCRIBE,
        Owed::Tell(0, Subject::Unnamed(1)),
        Owed::Learn(Subject::Unnamed(1)),
        Owed::OwnBind(1),
        Owed::Parameters,
        Owed::Execute(Block::Stays),
        Owed::Execute(Block::Begins),
        Owed::Execute(Block::MayCommit),
        Owed::Sync,
        Owed::FunctionCall,
        Owed::Aside(None),
        Owed::Ours(b'C'),
        Owed::Close(For::Us, None),
        Owed::Close(For::Client, None),
        Owed::Position,
        Owed::Evidence,
        Owed::EvidenceRow,
        Owed::Refused,
    ];
    let mut settled = 0;
    for front in fronts {
        for tag in 0..=u8::MAX {
            let owing = |behind: &[Owed]| {
                let mut pipeline = Pipeline::default();
                [front.clone()].iter().chain(behind).for_each(|owed| pipeline.sent(owed.clone()));
                pipeline
            };
            assert!(!owing(&[]).settles_with(tag), "{front:?} {tag}: that all is answered is to be noted");
            for behind in [&[Owed::Sync][..], &[Owed::CopyEnd, OWN, Owed::Sync], &[PARSE, BIND]] {
                let [mut unlooked, mut looked] = [owing(behind), owing(behind)];
                if unlooked.settles_with(tag) {
                    let passage = looked.received(tag, None, &mut |_| {});
                    assert_eq!(passage, Ok(Passage::Pass), "{front:?} {tag}");
                    assert_eq!(format!("{unlooked:?}"), format!("{looked:?}"), "{front:?} {tag}");
                    settled += 1;
                }
            }
        }
    }
    // Bind, Describe in two ways, and three kinds of Execute, each before three others.
    assert_eq!(settled, 6 * 3);
}
