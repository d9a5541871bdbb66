//! What is followed of a client's transactions, and what is kept of it, as tables.

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn commit(xid: u64) -> Commit {
    let evidence = Evidence { xid, timeline: 3, lsn: Lsn(0x151_74F0), asked_at: at(1) };
    Commit { evidence, writer: Some("a".into()), system_id: 7 }
}

/// Plays what is sent and heard, a second each: `a` something that acts, inside a block; `A` the same, and may be committed;
/// `c` what commits, alone; `C` that and more; `r` a read in a block, `R` one outside; `n` the number; `+` and `-` it is committed, or not.
fn check(story: &str, stage: Option<Stage>, since: u64) {
    let mut followed = Followed::new(1);
    for (second, step) in (1..).zip(story.bytes()) {
        let mut sent = |acts, commits| followed.sent(Sent { acts, commits }, at(second));
        match step {
            b'a' => sent(true, None),
            b'A' => sent(true, Some(Company::None)),
            b'B' => sent(true, Some(Company::Others)),
            b'c' | b'R' => sent(false, Some(Company::None)),
            b'C' => sent(false, Some(Company::Others)),
            b'r' => sent(false, None),
            b'n' => followed.asked(&commit(727), at(second)),
            b'+' => followed.decided(true),
            _ => followed.decided(false),
        }
    }
    assert_eq!(followed.last, stage.map(|stage| Last { stage, since: at(since) }), "{story}");
}

#[test]
fn a_transaction_is_followed() {
    use Stage::*;
    for (story, stage, since) in [
        ("", None, 0),
        ("rR", None, 0),
        ("a", Some(Begun), 1),
        ("ara", Some(Begun), 3),
        ("ac", Some(Sent(Company::None)), 2),
        ("acn", Some(Asked(commit(727))), 2),
        ("acnn+", Some(Committed(commit(727))), 2),
        // It is heard of twice.
        ("acn+n+", Some(Committed(commit(727))), 2),
        ("acn-", Some(NotCommitted(Some(commit(727)))), 2),
        // It was proven without its number.
        ("ac-", Some(NotCommitted(None)), 2),
        // Without its number nothing proves that it is.
        ("ac+", Some(Sent(Company::None)), 2),
        // Something else was sent with it: nothing that is said of it is about that.
        ("aCn+", Some(Sent(Company::Others)), 2),
        ("aC-", Some(Sent(Company::Others)), 2),
        ("acnBn+", Some(Sent(Company::Others)), 4),
        // What ends the sequence came later.
        ("aCcn+", Some(Committed(commit(727))), 2),
        // What only looks does not stand in for it.
        ("acn+rR", Some(Committed(commit(727))), 2),
        // The next transaction does, from its beginning.
        ("acn+a", Some(Begun), 5),
        ("acn+A", Some(Sent(Company::None)), 5),
        ("A", Some(Sent(Company::None)), 1),
        // One of which no text has shown that it writes.
        ("rcn+", Some(Committed(commit(727))), 3),
    ] {
        check(story, stage, since);
    }
}

#[test]
fn handles_there_and_back() {
    let session = SessionId { pid: 17, nonce: 0xC0_FFEE };
    assert_eq!(session.to_string(), "17-0000000000c0ffee");
    assert_eq!(session.to_string().parse(), Ok(Handle::Session(session)));
    assert_eq!(commit(727).to_string(), "7/3/0/15174F0/727");
    let Ok(Handle::Transaction(read)) = "7/3/0/15174F0/727".parse() else { panic!("it is one") };
    assert!(read.is(&commit(727)) && read.writer.is_none());
    for text in
        ["", "1", "1-", "-1", "1-g", "+1-2", "7/3/0/15174F0", "7/3/0/1/+1", "7/3/0/1/x", "7/3/0/1/2/3"]
    {
        assert_eq!(text.parse::<Handle>(), Err(NoHandle), "{text}");
    }
}

#[test]
fn what_is_kept_and_for_how_long() {
    let parted = Parted::default();
    let id = |pid| SessionId { pid, nonce: 9 };
    let last = |stage, second| Last { stage, since: at(second) };
    parted.keep(id(1), last(Stage::Begun, 10));
    parted.keep(id(2), last(Stage::Sent(Company::None), 11));
    parted.keep(id(3), last(Stage::Asked(commit(5)), 12));
    // Nobody sends more for who is gone.
    assert_eq!(parted.of_session(id(1), at(20)), Some(last(Stage::NotCommitted(None), 10)));
    assert_eq!(parted.of_session(SessionId { pid: 2, nonce: 8 }, at(20)), None);
    assert_eq!(parted.of_transaction(&commit(5), at(20)), Some(last(Stage::Asked(commit(5)), 12)));
    assert_eq!(parted.of_transaction(&commit(6), at(20)), None);
    assert_eq!(parted.of_session(id(2), at(11 + 3600)).map(|last| last.since), Some(at(11)));
    assert_eq!(parted.of_session(id(2), at(12 + 3600)), None);
    // There is a bound; what is settled goes first.
    for pid in 4..2000 {
        parted.keep(id(pid), last(Stage::Committed(commit(u64::from(pid))), 13));
    }
    let kept = |pid| parted.of_session(id(pid), at(20)).is_some();
    assert_eq!((kept(1), kept(2), kept(3), kept(4), kept(1999)), (false, true, true, false, true));
    let count = (1..2000).filter(|pid| kept(*pid)).count();
    assert_eq!(count, PARTED_MAX);
    // What is old goes with the next.
    parted.keep(id(5000), last(Stage::Begun, 20 + 3600));
    assert_eq!(parted.0.lock().all.len(), 1);
}
