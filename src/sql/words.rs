//! The words that matter, found by two letters and length.

use super::flags::Flags;
use super::touches::Kinds;

/// Words with what they mean: a hash table, built at compile time, of first letter, third letter and length. Most words
/// that are not in it are known by an empty bucket.
pub(super) struct Table<V: 'static> {
    entries: &'static [(&'static str, V)],
    /// For each hash, the place of its first entry; [`END`] if there is none.
    buckets: [u8; BUCKETS],
    /// For each entry, the place of the next one with the same hash.
    chain: [u8; MAX_WORDS],
}

const BUCKETS: usize = 256;
const MAX_WORDS: usize = 64;
const END: u8 = u8::MAX;

impl<V: Copy> Table<V> {
    /// The words must be in lower case.
    pub(super) const fn new(entries: &'static [(&'static str, V)]) -> Self {
        let mut buckets = [END; BUCKETS];
        let mut chain = [END; MAX_WORDS];
        let mut at = 0;
        while at < entries.len() {
            let bucket = hash(entries[at].0.as_bytes());
            chain[at] = buckets[bucket];
            buckets[bucket] = at as u8;
            at += 1;
        }
        Self { entries, buckets, chain }
    }

    /// What `word` means, case ignored.
    #[inline(always)]
    pub(super) fn find(&self, word: &[u8]) -> Option<V> {
        match self.buckets[hash(word)] {
            END => None,
            first => self.compare(first, word),
        }
    }

    #[inline(never)]
    fn compare(&self, first: u8, word: &[u8]) -> Option<V> {
        let mut at = first;
        while let Some((name, value)) = self.entries.get(usize::from(at)) {
            if equal(word, name) {
                return Some(*value);
            }
            at = self.chain[usize::from(at)];
        }
        None
    }
}

/// The lowest five bits of a letter do not tell its case. With the third letter and these factors few of the words that make
/// up most statements fall into a bucket of [`MARKS`]; with the last one `WHERE` meets `WRITE`.
const fn hash(word: &[u8]) -> usize {
    match word {
        [first, _, third, ..] => {
            ((*first as usize & 31) * 64 + (*third as usize & 31) * 10 + word.len() * 13) % BUCKETS
        }
        _ => 0,
    }
}

/// PostgreSQL folds names with the C library where the server's encoding is single-byte; in the Turkish ones 0xDD (a dotted
/// capital I) becomes an ASCII `i`. No other letter does so.
pub(super) const fn fold(byte: u8) -> u8 {
    match byte {
        0xDD => b'i',
        _ => byte.to_ascii_lowercase(),
    }
}

fn equal(word: &[u8], lower: &str) -> bool {
    word.len() == lower.len()
        && word.iter().zip(lower.as_bytes()).all(|(&byte, &wanted)| {
            byte == wanted || (byte ^ wanted == 0x20 && wanted.is_ascii_lowercase()) || fold(byte) == wanted
        })
}

/// What a word anywhere in a statement can mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A keyword, which a quoted name never is.
    Keyword(Keyword),
    /// A function, relation or parameter with these effects, quoted or not, whatever stands around it; what of the session
    /// it touches.
    Name(Flags, Kinds),
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
#[inline(always)]
pub(super) fn mark(word: &[u8]) -> Option<Mark> {
    match MARKS.find(word) {
        None if word.len() > PG_TEMP.len() && fold(word[0]) == b'p' && is_numbered_schema(word) => {
            Some(TEMP_SCHEMA)
        }
        found => found,
    }
}

/// The schemas of the sessions' temporary relations: `pg_temp_3` and so on.
#[inline(never)]
fn is_numbered_schema(word: &[u8]) -> bool {
    word.get(..PG_TEMP.len()).is_some_and(|head| equal(head, PG_TEMP))
}

const PG_TEMP: &str = "pg_temp_";

/// Leaves something behind in the session.
const fn leaves(kinds: Kinds) -> Mark {
    Mark::Name(Flags::DIRTY, kinds)
}

/// Answers from what an earlier statement left behind in the session.
const fn reads(kinds: Kinds) -> Mark {
    Mark::Name(Flags::READS_SESSION, kinds)
}

const TEMP_SCHEMA: Mark = leaves(Kinds::TEMP);
/// Runs SQL that it gets as a string.
const RUNS_TEXT: Mark = Mark::Name(Flags::UNSEEN_CODE, Kinds::OPAQUE);
const UNLOCKS: Mark = Mark::Name(Flags::UNLOCKS_WRITES, Kinds::NONE);
const ADVANCES: Mark = Mark::Name(Flags::ACTS, Kinds::ADVANCES);

/// Functions of PostgreSQL and its contributed modules (manual chapter 9 and appendix F), and keywords.
const MARKS: &Table<Mark> = &Table::new(&[
    ("connectby", RUNS_TEXT),
    ("crosstab", RUNS_TEXT),
    ("crosstab2", RUNS_TEXT),
    ("crosstab3", RUNS_TEXT),
    ("crosstab4", RUNS_TEXT),
    ("currval", reads(Kinds::SEQUENCES)),
    ("dblink_connect", leaves(Kinds::BOUND)),
    ("dblink_connect_u", leaves(Kinds::BOUND)),
    ("default_transaction_read_only", UNLOCKS),
    ("global", Mark::Keyword(Keyword::Global)),
    ("insert", Mark::Keyword(Keyword::Insert)),
    ("into", Mark::Keyword(Keyword::Into)),
    ("language", Mark::Keyword(Keyword::Language)),
    ("lastval", reads(Kinds::SEQUENCES)),
    ("local", Mark::Keyword(Keyword::Global)),
    ("merge", Mark::Keyword(Keyword::Insert)),
    ("nextval", ADVANCES),
    ("pg_advisory_lock", leaves(Kinds::LOCKS)),
    ("pg_advisory_lock_shared", leaves(Kinds::LOCKS)),
    ("pg_advisory_unlock", reads(Kinds::LOCKS)),
    ("pg_advisory_unlock_all", reads(Kinds::LOCKS)),
    ("pg_advisory_unlock_shared", reads(Kinds::LOCKS)),
    ("pg_backup_start", leaves(Kinds::BOUND)),
    ("pg_backup_stop", reads(Kinds::BOUND)),
    ("pg_copy_logical_replication_slot", leaves(Kinds::BOUND)),
    ("pg_copy_physical_replication_slot", leaves(Kinds::BOUND)),
    ("pg_create_logical_replication_slot", leaves(Kinds::BOUND)),
    ("pg_create_physical_replication_slot", leaves(Kinds::BOUND)),
    ("pg_cursors", reads(Kinds::LOOKS)),
    ("pg_listening_channels", reads(Kinds::LISTENS)),
    ("pg_my_temp_schema", reads(Kinds::LOOKS)),
    ("pg_notify", Mark::Name(Flags::ACTS, Kinds::NOTIFIES)),
    ("pg_prepared_statements", reads(Kinds::LOOKS)),
    ("pg_reload_conf", Mark::Name(Flags::SCHEMA.and(Flags::ACTS), Kinds::NONE)),
    ("pg_replication_origin_session_reset", reads(Kinds::BOUND)),
    ("pg_replication_origin_session_setup", leaves(Kinds::BOUND)),
    ("pg_settings", Mark::Name(Flags::NAMES_SETTINGS, Kinds::NONE)),
    ("pg_start_backup", leaves(Kinds::BOUND)),
    ("pg_stop_backup", reads(Kinds::BOUND)),
    ("pg_temp", TEMP_SCHEMA),
    ("pg_try_advisory_lock", leaves(Kinds::LOCKS)),
    ("pg_try_advisory_lock_shared", leaves(Kinds::LOCKS)),
    ("query_to_xml", RUNS_TEXT),
    ("query_to_xml_and_xmlschema", RUNS_TEXT),
    ("query_to_xmlschema", RUNS_TEXT),
    ("read", Mark::Keyword(Keyword::Read)),
    ("set_config", Mark::SetConfig),
    ("set_limit", leaves(Kinds::EVERY_SETTING)),
    ("setseed", leaves(Kinds::SEED)),
    ("setval", ADVANCES),
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
            assert!(mark(format!("x{name}").as_bytes()).is_none(), "x{name}");
        }
        for other in
            ["", "x", "pg_tem", "pg_temporal", "set_confi", "set_configs", "intp", "\u{e9}", "updatf"]
        {
            assert!(mark(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn folds_as_the_server_may() {
        assert!(mark(b"pg_temp_12") == Some(TEMP_SCHEMA));
        assert!(mark(b"PG_TEMP_x") == Some(TEMP_SCHEMA));
        assert!(mark(b"PG_ADV\xddSORY_LOCK") == Some(leaves(Kinds::LOCKS)));
    }
}
