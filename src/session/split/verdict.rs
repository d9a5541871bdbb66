//! Whether a text goes to a replica or to the leader, and why: the verdict, and the reason that is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::lore::{Judgement, Lore};
use crate::{
    metrics::SPLIT_REASONS,
    route::leaning::Leaning,
    session::reading::{Lexicon, Reading},
    sql::errand::{Errand, errand},
    wire::{
        conduct::Conduct,
        pipeline::{Acting, Block},
    },
};

/// What a text is to a listener that splits. The order is that of the codes in [`Noted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It only reads.
    Reads,
    /// It begins a transaction that can only read.
    BeginsReading,
    /// It begins a transaction, not said what for.
    Begins,
    /// It would only read, but names something that may do more.
    Volatile,
    /// It would only read, but calls what is not known.
    Unknown,
    /// It writes, or belongs to the leader for another reason, or is not understood.
    Writes,
    /// A replica has refused it before.
    Refused,
    /// Its comment asks for a replica.
    AskedRead,
    /// Its comment asks for the leader.
    AskedWrite,
}

const VERDICTS: [Verdict; 9] = [
    Verdict::Reads,
    Verdict::BeginsReading,
    Verdict::Begins,
    Verdict::Volatile,
    Verdict::Unknown,
    Verdict::Writes,
    Verdict::Refused,
    Verdict::AskedRead,
    Verdict::AskedWrite,
];

/// Why a request goes where it goes: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// To a replica: it only reads.
    Reads,
    /// To a replica: a transaction that can only read.
    ReadOnlyBlock,
    /// To a replica: that was asked for.
    AskedRead,
    /// To the leader: it writes, or is not known to read.
    Writes,
    /// To the leader: a function, operator or relation in it may do more than read.
    Volatile,
    /// To the leader: a function in it is not known.
    Unknown,
    /// To the leader: nothing is known of the database yet, or not any more.
    Unlearnt,
    /// To the leader: that was asked for.
    AskedWrite,
    /// To the leader: what the session holds cannot go to a replica.
    State,
    /// To the leader: the request was not whole yet, or too long, or of a kind that is not looked into.
    NotWhole,
    /// To the leader: a replica has refused the same text before.
    Refused,
    /// To the leader: a replica has just failed to answer it.
    Returned,
}

/// Every reason, in the order of their numbers, and where and why in a word each.
pub const REASONS: [(Reason, &str, &str); SPLIT_REASONS] = [
    (Reason::Reads, "replica", "reads"),
    (Reason::ReadOnlyBlock, "replica", "read_only_transaction"),
    (Reason::AskedRead, "replica", "asked"),
    (Reason::Writes, "leader", "writes"),
    (Reason::Volatile, "leader", "volatile"),
    (Reason::Unknown, "leader", "unknown"),
    (Reason::Unlearnt, "leader", "unlearnt"),
    (Reason::AskedWrite, "leader", "asked"),
    (Reason::State, "leader", "state"),
    (Reason::NotWhole, "leader", "not_whole"),
    (Reason::Refused, "leader", "refused"),
    (Reason::Returned, "leader", "returned"),
];

impl Reason {
    /// Whether it leads to a replica.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Reads | Self::ReadOnlyBlock | Self::AskedRead)
    }

    /// Whether it is known that nothing is written, wherever it goes.
    pub const fn is_proven(self) -> bool {
        matches!(self, Self::Reads | Self::ReadOnlyBlock)
    }
}

impl Verdict {
    /// Where it leads a client that leans so.
    pub const fn reason(self, leaning: Leaning) -> Reason {
        match (leaning, self) {
            (_, Self::AskedRead) => Reason::AskedRead,
            (_, Self::AskedWrite) | (Leaning::Write, _) => Reason::AskedWrite,
            (_, Self::Writes) => Reason::Writes,
            (_, Self::Refused) => Reason::Refused,
            (Leaning::Read, _) => Reason::AskedRead,
            (Leaning::Auto, Self::Reads) => Reason::Reads,
            (Leaning::Auto, Self::BeginsReading) => Reason::ReadOnlyBlock,
            (Leaning::Auto, Self::Begins) => Reason::Writes,
            (Leaning::Auto, Self::Volatile) => Reason::Volatile,
            (Leaning::Auto, Self::Unknown) => Reason::Unknown,
        }
    }

    /// Reads a text.
    pub fn of(text: &[u8], lore: &Lore) -> Self {
        let own = Self::own(text, lore);
        match (hint(text), own) {
            (Some(Leaning::Write), _) => Self::AskedWrite,
            (Some(Leaning::Read), Self::Writes) | (Some(Leaning::Auto) | None, _) => own,
            (Some(Leaning::Read), _) => Self::AskedRead,
        }
    }

    fn own(text: &[u8], lore: &Lore) -> Self {
        let reading = Reading::of(text, Lexicon::Standard);
        // Whether it does more than look is said below, and why.
        let conduct = Conduct { acting: Acting::No, ..reading.conduct };
        let begins = Conduct { block: Block::Begins, ..Conduct::default() };
        let is_plain = conduct == Conduct::default() || conduct == begins;
        if !is_plain || reading.unlocks_writes {
            return Self::Writes;
        }
        let mut judgement = lore.judge(text);
        let errand = errand(text, true, &mut |used, name| judgement.hear(used, name));
        match (errand, judgement.verdict()) {
            (Errand::Other, _) => Self::Writes,
            (Errand::BeginsReading, _) => Self::BeginsReading,
            (Errand::Begins, _) => Self::Begins,
            (Errand::Reads, _) if lore.has_refused(text) => Self::Refused,
            (Errand::Reads, Judgement::Harmless) => Self::Reads,
            (Errand::Reads, Judgement::Unknown) => Self::Unknown,
            (Errand::Reads, Judgement::Volatile) => Self::Volatile,
        }
    }
}

/// What a comment at the front of a text asks for: `/* pgsteer: read */`.
fn hint(text: &[u8]) -> Option<Leaning> {
    let comment = text.trim_ascii_start().strip_prefix(b"/*")?;
    let words = comment.trim_ascii_start().strip_prefix(b"pgsteer:")?;
    let end = memchr::memmem::find(words, b"*/")?;
    Leaning::of(words[..end].trim_ascii())
}

/// A verdict with the number of what was known when it was given.
#[derive(Debug)]
pub struct Noted;

impl Noted {
    /// The verdict in `place`, if it was given by this lore.
    #[inline]
    pub fn get(place: &AtomicU64, lore: &Lore) -> Option<Verdict> {
        Self::read(place.load(Ordering::Relaxed), lore)
    }

    /// The same, from the number.
    #[inline]
    pub fn read(noted: u64, lore: &Lore) -> Option<Verdict> {
        if noted >> 4 == lore.number { VERDICTS.get((noted & 15) as usize).copied() } else { None }
    }

    /// Notes what a statement is.
    pub fn set(place: &AtomicU64, verdict: Verdict, lore: &Lore) {
        place.store(Self::number(verdict, lore), Ordering::Relaxed);
    }

    /// As a number.
    #[inline]
    pub const fn number(verdict: Verdict, lore: &Lore) -> u64 {
        (lore.number << 4) | verdict as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_order_agree() {
        for (place, verdict) in VERDICTS.iter().enumerate() {
            assert_eq!(*verdict as usize, place);
        }
        for (place, (reason, to, _)) in REASONS.iter().enumerate() {
            assert_eq!((*reason as usize, reason.is_read()), (place, *to == "replica"));
        }
    }

    #[test]
    fn comments_ask() {
        for (text, expected) in [
            ("/* pgsteer: read */ select 1", Some(Leaning::Read)),
            ("  /*pgsteer:WRITE*/select 1", Some(Leaning::Write)),
            ("/* pgsteer: auto */ select 1", Some(Leaning::Auto)),
            ("/* pgsteer: nowhere */ select 1", None),
            ("/* pgsteer: read", None),
            ("select 1 /* pgsteer: read */", None),
            ("-- pgsteer: read\nselect 1", None),
        ] {
            assert_eq!(hint(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn texts_find_their_place() {
        use Verdict::*;
        let lore = Lore::of_rows([
            ("f", "now"),
            ("f", "count"),
            ("v", "roll"),
            ("v", "both"),
            ("f", "both"),
            ("r", "odd"),
            ("o", "##"),
            ("v", "txid_current"),
        ]);
        for (text, expected) in [
            ("select count(*), now() from t", Reads),
            ("select ROLL('s')", Volatile),
            ("select both(1)", Volatile),
            ("with a as (select count(*) from t) select * from a", Reads),
            ("with a as (select roll(1)) select * from a", Volatile),
            ("with a as (delete from t returning 1) select * from a", Writes),
            ("select mine(1)", Unknown),
            ("select t.roll from t", Volatile),
            ("select roll from t", Reads),
            ("select * from odd", Volatile),
            ("select * from public.odd", Volatile),
            ("select 1 ## 2", Volatile),
            ("select txid_current()", Volatile),
            ("select * from pg_stat_activity", Volatile),
            ("select \u{fc}()", Unknown),
            ("select \u{fc} from t", Reads),
            ("begin read only", BeginsReading),
            ("begin", Begins),
            ("insert into t values (1)", Writes),
            ("select pg_advisory_lock(1)", Writes),
            ("select set_config('a.b', 'c', true)", Writes),
            ("set a.b = 1", Writes),
            ("/* pgsteer: read */ select mine(1)", AskedRead),
            ("/* pgsteer: read */ insert into t values (1)", Writes),
            ("/* pgsteer: read */ begin", AskedRead),
            ("/* pgsteer: write */ select 1", AskedWrite),
            ("/* pgsteer: auto */ select 1", Reads),
        ] {
            assert_eq!(Verdict::of(text.as_bytes(), &lore), expected, "{text}");
        }
        // What no text needs to show.
        for kind in [("c", "check"), ("o", "~~"), ("o", "=")] {
            let lore = Lore::of_rows([("f", "count"), kind]);
            assert_eq!(Verdict::of(b"select count(*) from t", &lore), Volatile, "{kind:?}");
        }
        let lore = lore.refusing(b"select 1", 9);
        assert_eq!(Verdict::of(b"select 1", &lore), Refused);
        assert_eq!(Verdict::of(b"select 2", &lore), Reads);
    }

    #[test]
    fn leanings() {
        for (leaning, verdict, expected) in [
            (Leaning::Auto, Verdict::Reads, Reason::Reads),
            (Leaning::Auto, Verdict::BeginsReading, Reason::ReadOnlyBlock),
            (Leaning::Auto, Verdict::Begins, Reason::Writes),
            (Leaning::Auto, Verdict::Unknown, Reason::Unknown),
            (Leaning::Write, Verdict::Reads, Reason::AskedWrite),
            (Leaning::Write, Verdict::AskedRead, Reason::AskedRead),
            (Leaning::Read, Verdict::AskedWrite, Reason::AskedWrite),
            (Leaning::Read, Verdict::Volatile, Reason::AskedRead),
            (Leaning::Read, Verdict::Begins, Reason::AskedRead),
            (Leaning::Read, Verdict::Writes, Reason::Writes),
            (Leaning::Read, Verdict::Refused, Reason::Refused),
        ] {
            assert_eq!(verdict.reason(leaning), expected, "{leaning:?} {verdict:?}");
        }
    }
}
