//! What a client is promised, step by step.

use super::*;

const THEN: Office = Office { epoch: 1, timeline: 4 };
const NOW: Office = Office { epoch: 2, timeline: 5 };

fn token(lsn: u64) -> Token {
    Token { system_id: 7, timeline: 4, lsn: Lsn(lsn) }
}

fn promise() -> Promise {
    *Promise::new(Consistency::Session).unwrap()
}

fn goal(promise: &mut Promise) -> Vec<Token> {
    promise.aim(None);
    promise.goal.to_vec()
}

#[test]
fn who_wants_nothing_is_promised_nothing() {
    assert!(Promise::new(Consistency::Eventual).is_none());
    let mut promise = promise();
    assert_eq!(goal(&mut promise), []);
    assert_eq!(promise.admit(NOW, &|_| Held::Lost(Lsn(0))), Ok(()));
}

#[test]
fn own_commits() {
    let mut promise = promise();
    promise.placed(Some(7), THEN, Lsn(20));
    // An older answer of another connection.
    promise.placed(Some(7), THEN, Lsn(10));
    assert_eq!((promise.token(), goal(&mut promise)), (Some(token(20)), vec![token(20)]));
    promise.unplaced(1, Open::Several);
    assert!(promise.is_unplaced() && promise.token().is_none());
    assert_eq!(promise.admit(THEN, &|_| Held::Unknown), Ok(()), "the same leader has it");
    promise.placed(None, THEN, Lsn(30));
    assert!(promise.is_unplaced(), "of which cluster?");
    promise.placed(Some(7), THEN, Lsn(30));
    assert_eq!(goal(&mut promise), [token(30)]);
    // The next leader has it: from then on there is no need to ask again.
    assert_eq!(promise.admit(NOW, &|_| Held::Yes), Ok(()));
    assert_eq!(promise.admit(NOW, &|_| Held::Lost(Lsn(0))), Ok(()));
}

#[test]
fn what_is_lost_is_told_once() {
    let said = |held: Held| {
        let mut promise = promise();
        promise.placed(Some(7), THEN, Lsn(20));
        let first = promise.admit(NOW, &|_| held);
        (first, promise.admit(NOW, &|_| held), goal(&mut promise), promise.is_unplaced())
    };
    // What came before the fork is still there to be seen.
    assert_eq!(said(Held::Lost(Lsn(15))), (Err(Loss::Lost), Ok(()), vec![token(15)], false));
    assert_eq!(said(Held::Unknown), (Err(Loss::Unknown), Ok(()), vec![], true));
    assert_eq!(said(Held::Foreign), (Err(Loss::Foreign), Ok(()), vec![], false));
    let mut promise = promise();
    promise.unplaced(1, Open::Several);
    assert_eq!(promise.admit(NOW, &|_| Held::Yes), Err(Loss::Unknown));
    assert_eq!((promise.admit(NOW, &|_| Held::Yes), promise.is_unplaced()), (Ok(()), true));
}

#[test]
fn what_was_handed_over() {
    let mut promise = promise();
    let text = token(20).to_string();
    let hand = |promise: &mut Promise, text: &str| promise.hand(Some(text.as_bytes()));
    assert_eq!(hand(&mut promise, &text), Ok(()));
    promise.placed(Some(7), THEN, Lsn(10));
    assert_eq!(goal(&mut promise), [token(10), token(20)]);
    // What is empty is nothing: that is how a setting reads that was reset.
    for nothing in [Some(&b""[..]), Some(b" "), None] {
        assert_eq!((promise.hand(nothing), goal(&mut promise)), (Ok(()), vec![token(10)]));
        assert_eq!(hand(&mut promise, &text), Ok(()));
    }
    for (held, loss, left) in [
        (Held::Lost(Lsn(15)), Loss::Lost, vec![token(10), token(15)]),
        (Held::Foreign, Loss::Foreign, vec![token(10)]),
        (Held::Unknown, Loss::Unknown, vec![]),
    ] {
        assert_eq!(hand(&mut promise, ""), Ok(()));
        assert_eq!(hand(&mut promise, &text), Ok(()));
        let holds = |asked: &Token| if asked.lsn == Lsn(20) { held } else { Held::Yes };
        assert_eq!(promise.admit(NOW, &holds), Err(loss));
        assert_eq!(hand(&mut promise, &text), Ok(()), "it is still set");
        assert_eq!((promise.admit(NOW, &holds), goal(&mut promise)), (Ok(()), left), "{held:?}");
    }
    assert_eq!(hand(&mut promise, "nonsense"), Err(Loss::Unreadable));
    assert_eq!(hand(&mut promise, "nonsense"), Ok(()), "it has been told");
    assert_eq!(hand(&mut promise, "other nonsense"), Err(Loss::Unreadable));
}

#[test]
fn words() {
    for (loss, code) in [
        (Loss::Lost, "PS001"),
        (Loss::Unknown, "PS001"),
        (Loss::Foreign, "PS001"),
        (Loss::Unreadable, "22023"),
    ] {
        assert_eq!(loss.error().code.as_str(), code);
    }
    let error = not_reached(&[token(10), token(20)]);
    assert_eq!(error.code.as_str(), "57014");
    assert!(error.detail.unwrap().contains("0/14"));
}

/// What one transaction has made unknown, its failure makes known again.
#[test]
fn what_was_not_committed_is_not_looked_for() {
    let after = |told: &[(u64, Open)], placed: bool| {
        let mut promise = promise();
        if placed {
            promise.placed(Some(7), THEN, Lsn(20));
        }
        told.iter().for_each(|(epoch, what)| promise.unplaced(*epoch, *what));
        assert!(promise.is_unplaced());
        promise.not_committed();
        (promise.is_unplaced(), promise.token())
    };
    let (one, several) = ((1, Open::One), (1, Open::Several));
    assert_eq!(after(&[one], true), (false, Some(token(20))));
    assert_eq!(after(&[one, one], true), (false, Some(token(20))));
    assert_eq!(after(&[one], false), (false, None));
    // What else may have been committed is not taken back with it.
    for told in [&[several][..], &[one, several], &[several, one], &[one, (2, Open::One)]] {
        assert_eq!(after(told, true), (true, None), "{told:?}");
    }
    // And what was there before is still to be seen.
    let mut promise = promise();
    promise.placed(Some(7), THEN, Lsn(20));
    promise.unplaced(1, Open::One);
    promise.not_committed();
    assert_eq!(promise.admit(NOW, &|_| Held::Lost(Lsn(15))), Err(Loss::Lost));
}
