//! What is known of a commit, and how far a leader's word about it goes, as tables.

use super::*;
use crate::wire::{
    error::{PgError, SqlState},
    message::encode_data_row,
};

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn evidence() -> Evidence {
    Evidence { xid: 727, timeline: 3, lsn: Lsn(0x151_74F0), asked_at: at(50) }
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

/// Plays a transaction's end: `?` it is asked, `D` answers, `d` oddly, `E` refuses for good, `e` for now, `C` the commit is
/// complete, `Z` and over.
fn check(story: &str, expected: &Testimony) {
    let mut testimony = Testimony::Wanted;
    for step in story.bytes() {
        match step {
            b'?' => testimony.asks(at(50)),
            b'D' => testimony.hear(&row(&["727", "0/15174F0", "00000003"])),
            b'd' => testimony.hear(&row(&["727", "0/15174F0"])),
            b'E' => testimony.refused(&error(SqlState::INSUFFICIENT_PRIVILEGE)),
            b'e' => testimony.refused(&error(SqlState::QUERY_CANCELED)),
            b'C' => testimony.completes(),
            _ => testimony.ends(),
        }
    }
    assert_eq!(testimony, *expected, "{story}");
}

#[test]
fn what_a_transaction_has_said() {
    let given = Testimony::Given(Box::new(evidence()));
    for (story, expected) in [
        ("", Testimony::Wanted),
        ("?", Testimony::Asked(at(50))),
        ("?D", given.clone()),
        ("?d", Testimony::Asked(at(50))),
        // An answer to nothing.
        ("D", Testimony::Wanted),
        // What came before the question was answered is not the commit's.
        ("?CD", given),
        ("?DC", Testimony::Outdated),
        // The commit may also fail.
        ("?DZ", Testimony::Wanted),
        ("?DCZ", Testimony::Wanted),
        ("?DCZ?", Testimony::Asked(at(50))),
        ("?Z", Testimony::Wanted),
        ("?eZ", Testimony::Wanted),
        ("?EZ", Testimony::Refused),
    ] {
        check(story, &expected);
    }
    let mut off = Testimony::Off;
    off.completes();
    off.ends();
    off.hear(&row(&["727", "0/15174F0", "00000003"]));
    assert_eq!((off.is_wanted(), off.evidence()), (false, None));
}

#[test]
fn how_far_a_leaders_word_goes() {
    let (a, b) = (MemberName::from("a"), MemberName::from("b"));
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
        assert_eq!(evidence().ground(held, &a, witness), expected, "{shown}");
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
