//! What is known of a commit, and how far a leader's word about it goes, as tables.

use super::*;
use crate::{
    cluster::ids::Lsn,
    wire::{
        error::{PgError, SqlState},
        message::encode_data_row,
    },
};

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn evidence() -> Evidence {
    Evidence { xid: 727, timeline: 3, lsn: Lsn(0x151_74F0), asked_at: at(50) }
}

fn commit() -> Commit {
    Commit { evidence: evidence(), writer: Some("a".into()), system_id: 7 }
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_data_row(&mut out, &values.iter().map(|value| Some(value.as_bytes())).collect::<Vec<_>>());
    out
}

fn error(code: SqlState) -> Vec<u8> {
    let mut out = Vec::new();
    PgError::error(code, "no").encode(&mut out);
    out
}

/// Plays a transaction's end: `?` it is asked (`!` without a block), `D` answers, `d` oddly, `.` that was all, `E` refuses for
/// good, `e` for now, `C` a command is complete, `F` one fails, `m` something may end it otherwise, `Z` and over.
fn check(story: &str, expected: &Testimony) {
    let mut testimony = Testimony::Wanted;
    for step in story.bytes() {
        match step {
            b'?' => testimony.asks(Decision::Command, at(50)),
            b'!' => testimony.asks(Decision::End, at(50)),
            b'D' => testimony.hear(&row(&["727", "0/15174F0", "00000003"])),
            b'd' => testimony.hear(&row(&["727", "0/15174F0"])),
            b'E' => testimony.refused(&error(SqlState::INSUFFICIENT_PRIVILEGE)),
            b'e' => testimony.refused(&error(SqlState::QUERY_CANCELED)),
            b'.' => testimony.heard(),
            b'C' => testimony.completes(),
            b'F' => testimony.fails(),
            b'm' => testimony.muddle(),
            _ => testimony.ends(),
        }
    }
    assert_eq!(testimony, *expected, "{story}");
}

#[test]
fn what_a_transaction_has_said() {
    use Decision::{Command, End};
    let asked = |decision| Testimony::Asked(decision, at(50));
    let given = |decision| Testimony::Given(decision, Box::new(evidence()));
    let answered = |committed| Testimony::Answered(Some(Box::new(evidence())), committed);
    let over = |committed| Testimony::Over(Some(Box::new(evidence())), committed);
    for (story, expected) in [
        ("", Testimony::Wanted),
        ("?", asked(Command)),
        ("?D", given(Command)),
        ("?d", asked(Command)),
        // An answer to nothing.
        ("D", Testimony::Wanted),
        // What came before the question was answered is not the commit's.
        ("?CD", given(Command)),
        ("?D.C", answered(true)),
        // It has no number, so far.
        ("?.", Testimony::Unnumbered),
        ("?.C", Testimony::Unnumbered),
        ("?.CZ", Testimony::Wanted),
        ("?.FZ", Testimony::Over(None, false)),
        ("?DF", answered(false)),
        // The commit may also fail.
        ("?DFZ", over(false)),
        ("?DCZ", over(true)),
        ("?DCZ?", asked(Command)),
        // That says nothing.
        ("?DZ", Testimony::Wanted),
        ("?Z", Testimony::Wanted),
        ("?eZ", Testimony::Wanted),
        ("?EZ", Testimony::Refused),
        // Without a block it is not the command that commits, but what ends all that was sent.
        ("!D", given(End)),
        ("!DC", given(End)),
        ("!DCZ", over(true)),
        ("!DCF", answered(false)),
        ("!DCFZ", over(false)),
        // Whatever fails before it has answered fails with it.
        ("!F", Testimony::Answered(None, false)),
        ("?FZ", Testimony::Over(None, false)),
        ("?FZ?", asked(Command)),
        ("!mF", Testimony::Muddled),
        ("!DmCZ", Testimony::Wanted),
        ("!mDCZ", Testimony::Wanted),
        ("?DmC", answered(true)),
    ] {
        check(story, &expected);
    }
    let mut off = Testimony::Off;
    off.completes();
    off.fails();
    off.ends();
    off.hear(&row(&["727", "0/15174F0", "00000003"]));
    assert_eq!((off.is_wanted(), off.evidence(), off.take_over()), (false, None, None));
    let mut done = over(true);
    assert_eq!((done.take_over(), done), (Some((Some(evidence()), true)), Testimony::Wanted));
}

#[test]
fn how_far_a_leaders_word_goes() {
    let (a, b) = (MemberName::from("a"), MemberName::from("b"));
    let nobodys = Commit { writer: None, ..commit() };
    let witness = |timeline| Witness { member: &a, timeline, opened_at: at(50) };
    assert_eq!(nobodys.ground(Held::Yes, witness(3)), Ground::None);
    assert_eq!(nobodys.ground(Held::Yes, witness(4)), Ground::Firm);
    for (held, member, timeline, opened_at, expected) in [
        (Held::Yes, &b, 4, 99, Ground::Firm),
        // The old leader may lead again, too.
        (Held::Yes, &a, 5, 99, Ground::Firm),
        (Held::Yes, &a, 3, 50, Ground::Firm),
        // It may have crashed between the question and this connection.
        (Held::Yes, &a, 3, 51, Ground::Denial),
        // Two members on one timeline: that is no promotion.
        (Held::Yes, &b, 3, 1, Ground::None),
        (Held::Lost(Lsn(1)), &b, 4, 99, Ground::None),
        (Held::Unknown, &b, 4, 99, Ground::None),
        (Held::Foreign, &b, 4, 99, Ground::None),
    ] {
        let witness = Witness { member, timeline, opened_at: at(opened_at) };
        let shown = format!("{held:?} {witness:?}");
        assert_eq!(commit().ground(held, witness), expected, "{shown}");
    }
}

#[test]
fn what_an_answer_comes_to() {
    use Fate::*;
    for (ground, status, expected) in [
        (Ground::Firm, "committed", Some(Committed)),
        (Ground::Firm, "aborted", Some(NotCommitted)),
        (Ground::Firm, "in progress", None),
        // The number may be another transaction's by now; but not if this one was committed.
        (Ground::Denial, "committed", Some(Unknown)),
        (Ground::Denial, "aborted", Some(NotCommitted)),
        (Ground::Denial, "in progress", None),
        (Ground::Denial, "in the future", Some(NotCommitted)),
        // It was there.
        (Ground::Firm, "in the future", Some(Unknown)),
        (Ground::Firm, "else", Some(Unknown)),
        (Ground::None, "committed", Some(Unknown)),
        (Ground::None, "aborted", Some(Unknown)),
    ] {
        assert_eq!(ground.judge(Some(status.as_bytes())), expected, "{ground:?} {status}");
    }
    // Too old, or an error.
    assert_eq!(Ground::Firm.judge(None), Some(Unknown));
}

#[test]
fn what_is_asked() {
    let mut out = Vec::new();
    question::put_query(&mut out);
    assert!(out.first() == Some(&b'Q') && out.ends_with(b"IS NOT NULL\0"));
    let text = String::from_utf8(question::about(&evidence())).unwrap();
    assert_eq!(text, "SELECT pg_catalog.pg_xact_status('727'::pg_catalog.xid8)");
    assert_eq!(question::read(&row(&["727", "0/15174F0", "0000001F"]), at(1)).map(|e| e.timeline), Some(31));
    for odd in [&["x", "0/1", "00000001"][..], &["1", "01", "00000001"], &["1", "0/1", "g"], &["1", "0/1"]] {
        assert_eq!(question::read(&row(odd), at(1)), None, "{odd:?}");
    }
}
