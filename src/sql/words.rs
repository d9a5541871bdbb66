//! The words that matter, found by first letter and length.

use super::flags::Flags;

/// Words with what they mean; most other words are told apart from them by one look at a bit.
pub(super) struct Table<V: 'static> {
    /// Ordered by first letter.
    entries: &'static [(&'static str, V)],
    /// For each first letter, a bit for each length that occurs; bit 31 stands for 31 and more.
    lengths: [u32; 32],
    /// For each first letter, where its entries begin.
    starts: [u8; 33],
}

impl<V: Copy> Table<V> {
    /// Built at compile time, and refused there if the entries are not in order of their first letter.
    pub(super) const fn new(entries: &'static [(&'static str, V)]) -> Self {
        let mut lengths = [0; 32];
        let mut starts = [0; 33];
        let mut slot = 0;
        let mut at = 0;
        while at < entries.len() {
            let name = entries[at].0.as_bytes();
            let own = slot_of(name[0]);
            assert!(own >= slot, "words must be ordered by first letter");
            while slot < own {
                slot += 1;
                starts[slot] = at as u8;
            }
            lengths[own] |= 1 << length_bit(name.len());
            at += 1;
            assert!(at < 256);
        }
        while slot < 32 {
            slot += 1;
            starts[slot] = at as u8;
        }
        Self { entries, lengths, starts }
    }

    /// What `word` means, case ignored.
    pub(super) fn find(&self, word: &[u8]) -> Option<V> {
        let slot = slot_of(fold(*word.first()?));
        if (self.lengths[slot] >> length_bit(word.len())) & 1 == 0 {
            return None;
        }
        let entries = &self.entries[usize::from(self.starts[slot])..usize::from(self.starts[slot + 1])];
        entries.iter().find(|(name, _)| equal(word, name)).map(|&(_, value)| value)
    }
}

const fn slot_of(letter: u8) -> usize {
    (letter & 31) as usize
}

const fn length_bit(length: usize) -> usize {
    if length < 31 { length } else { 31 }
}

/// PostgreSQL folds names with the C library where the server's encoding is single-byte; in the Turkish ones 0xDD (a dotted
/// capital I) becomes an ASCII `i`. No other letter does so.
const fn fold(byte: u8) -> u8 {
    match byte {
        0xDD => b'i',
        _ => byte.to_ascii_lowercase(),
    }
}

fn equal(word: &[u8], lower: &str) -> bool {
    word.len() == lower.len()
        && word.iter().zip(lower.as_bytes()).all(|(&byte, &wanted)| fold(byte) == wanted)
}

/// What a word anywhere in a statement can mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A keyword, which a quoted name never is.
    Keyword(Keyword),
    /// A function, relation or parameter with these effects, quoted or not, whatever stands around it.
    Name(Flags),
    /// `set_config`, whose arguments decide.
    SetConfig,
}

/// Keywords that matter in the company of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Global,
    Insert,
    Into,
    Language,
    Read,
    Temp,
    Update,
    Write,
}

/// What a word or quoted name means, wherever it stands.
pub(super) fn mark(word: &[u8]) -> Option<Mark> {
    if let Some(mark) = MARKS.find(word) {
        return Some(mark);
    }
    // The schemas of the sessions' temporary relations: pg_temp_3 and so on.
    let numbered = word.get(..8).is_some_and(|head| fold(head[0]) == b'p' && equal(head, "pg_temp_"));
    numbered.then_some(Mark::Name(Flags::DIRTY))
}

/// Leaves something behind in the session.
const DIRTY: Mark = Mark::Name(Flags::DIRTY);
/// Answers from what an earlier statement left behind in the session.
const READS: Mark = Mark::Name(Flags::READS_SESSION);
/// Runs SQL that it gets as a string.
const RUNS_TEXT: Mark = Mark::Name(Flags::UNSEEN_CODE);
const UNLOCKS: Mark = Mark::Name(Flags::UNLOCKS_WRITES);

/// Functions of PostgreSQL and its contributed modules (manual chapter 9 and appendix F), and keywords.
const MARKS: &Table<Mark> = &Table::new(&[
    ("connectby", RUNS_TEXT),
    ("crosstab", RUNS_TEXT),
    ("crosstab2", RUNS_TEXT),
    ("crosstab3", RUNS_TEXT),
    ("crosstab4", RUNS_TEXT),
    ("currval", READS),
    ("dblink_connect", DIRTY),
    ("dblink_connect_u", DIRTY),
    ("default_transaction_read_only", UNLOCKS),
    ("global", Mark::Keyword(Keyword::Global)),
    ("insert", Mark::Keyword(Keyword::Insert)),
    ("into", Mark::Keyword(Keyword::Into)),
    ("language", Mark::Keyword(Keyword::Language)),
    ("lastval", READS),
    ("local", Mark::Keyword(Keyword::Global)),
    ("merge", Mark::Keyword(Keyword::Insert)),
    ("pg_advisory_lock", DIRTY),
    ("pg_advisory_lock_shared", DIRTY),
    ("pg_advisory_unlock", READS),
    ("pg_advisory_unlock_all", READS),
    ("pg_advisory_unlock_shared", READS),
    ("pg_backup_start", DIRTY),
    ("pg_backup_stop", READS),
    ("pg_copy_logical_replication_slot", DIRTY),
    ("pg_copy_physical_replication_slot", DIRTY),
    ("pg_create_logical_replication_slot", DIRTY),
    ("pg_create_physical_replication_slot", DIRTY),
    ("pg_listening_channels", READS),
    ("pg_my_temp_schema", READS),
    ("pg_replication_origin_session_reset", READS),
    ("pg_replication_origin_session_setup", DIRTY),
    ("pg_settings", Mark::Name(Flags::NAMES_SETTINGS)),
    ("pg_start_backup", DIRTY),
    ("pg_stop_backup", READS),
    ("pg_temp", DIRTY),
    ("pg_try_advisory_lock", DIRTY),
    ("pg_try_advisory_lock_shared", DIRTY),
    ("query_to_xml", RUNS_TEXT),
    ("query_to_xml_and_xmlschema", RUNS_TEXT),
    ("query_to_xmlschema", RUNS_TEXT),
    ("read", Mark::Keyword(Keyword::Read)),
    ("set_config", Mark::SetConfig),
    ("set_limit", DIRTY),
    ("setseed", DIRTY),
    ("temp", Mark::Keyword(Keyword::Temp)),
    ("temporary", Mark::Keyword(Keyword::Temp)),
    ("transaction_read_only", UNLOCKS),
    ("ts_rewrite", RUNS_TEXT),
    ("ts_stat", RUNS_TEXT),
    ("update", Mark::Keyword(Keyword::Update)),
    ("write", Mark::Keyword(Keyword::Write)),
    ("xpath_table", RUNS_TEXT),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_entry_and_nothing_else() {
        for (name, expected) in MARKS.entries {
            assert!(mark(name.as_bytes()) == Some(*expected), "{name}");
            assert!(mark(name.to_ascii_uppercase().as_bytes()) == Some(*expected), "{name} in capitals");
            assert!(
                mark(&name.as_bytes()[..name.len() - 1])
                    .is_none_or(|found| found != *expected || *name != "temp")
            );
        }
        for other in
            ["", "x", "pg_tem", "pg_temporal", "set_confi", "set_configs", "intp", "\u{e9}", "updatf"]
        {
            assert!(mark(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn folds_as_the_server_may() {
        assert!(mark(b"pg_temp_12") == Some(DIRTY));
        assert!(mark(b"PG_TEMP_x") == Some(DIRTY));
        assert!(mark(b"PG_ADV\xddSORY_LOCK") == Some(DIRTY));
    }
}
