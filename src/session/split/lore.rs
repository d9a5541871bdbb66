//! What of a database decides whether a statement only reads: which functions are volatile, and what hides them.
//!
//! Functions, operators and relations are told apart by name alone, whatever their schema: so the answer holds for every
//! `search_path`, at worst for the leader where a name means several things. A function counts as its author declared
//! it: one that is called stable and is not, an operator class or a type whose input function writes are theirs to
//! answer for. (What then reaches a replica that cannot run it comes back to the leader.)

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    clock::Moment,
    server::Told,
    sql::errand::Use,
    wire::{schema::Seen, statements::fingerprint},
};

/// Texts that replicas have refused and that are remembered, at most.
const REFUSED_MAX: usize = 1024;

/// Names that are taken in, at most; of a database with more nothing is known.
pub const NAMES_MAX: usize = 50_000;

/// The operators that are meant by `LIKE`, `SIMILAR TO`, `IN`, `BETWEEN`, `USING`, `NULLIF`, `CASE x WHEN` and their like.
const KEYWORDS: [&[u8]; 12] =
    [b"~~", b"!~~", b"~~*", b"!~~*", b"~", b"!~", b"=", b"<>", b"<", b"<=", b">", b">="];

/// The views and functions that tell of one server's work.
const STATISTICS: &[u8] = b"pg_stat";

/// What is asked of the leader, as one text: kind and name. Nothing in it is looked up but in `pg_catalog`, and every role may read
/// all of it. Rules, views and policies keep what they call by number in their stored form; `pg_depend` has no entry for
/// what PostgreSQL brings along.
///
/// The functions that it names are called stable, but are the leader's: they assign a transaction's number, or tell of
/// the server that runs them what others would want to know of the leader. So are sequences: a replica has their numbers
/// before they are drawn.
pub const QUESTION: &str = r"
BEGIN READ ONLY; SET LOCAL search_path TO pg_catalog; SET LOCAL statement_timeout TO '10s';
WITH RECURSIVE changing AS (
  SELECT oid, proname FROM pg_proc WHERE provolatile = 'v' OR (pronamespace = 'pg_catalog'::regnamespace AND proname IN (
    'pg_backend_pid', 'pg_current_snapshot', 'pg_current_xact_id', 'pg_current_xact_id_if_assigned', 'pg_cursor',
    'pg_get_replication_slots', 'pg_listening_channels', 'pg_prepared_statement', 'txid_current',
    'txid_current_if_assigned', 'txid_current_snapshot'))
  UNION
  SELECT p.oid, p.proname FROM pg_proc p
    CROSS JOIN LATERAL regexp_matches(p.proargdefaults::text, ':(?:op)?funcid ([0-9]+)', 'g') AS m(found)
    JOIN pg_proc f ON f.oid = m.found[1]::oid AND f.provolatile = 'v'
  UNION
  SELECT a.aggfnoid, f.proname FROM pg_aggregate a JOIN pg_proc f ON f.oid = a.aggfnoid
    JOIN pg_proc p ON p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
      a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
    WHERE p.provolatile = 'v'
), stored AS (
  SELECT r.ev_class AS relation, r.ev_action::text AS tree FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v' WHERE r.ev_type = '1'
  UNION ALL
  SELECT polrelid, polqual::text FROM pg_policy WHERE polqual IS NOT NULL
), used AS (
  SELECT DISTINCT s.relation, m.found[1] = 'relid' AS is_relation, m.found[2]::oid AS id FROM stored s
    CROSS JOIN LATERAL regexp_matches(s.tree, ':(funcid|opfuncid|aggfnoid|winfnoid|relid) ([0-9]+)', 'g') AS m(found)
  UNION ALL
  SELECT inhparent, true, inhrelid FROM pg_inherits
), odd AS (
  SELECT oid AS relation FROM pg_class WHERE relkind IN ('f', 'S') OR (relpersistence = 'u' AND relkind IN ('r', 'p', 'm'))
  UNION
  SELECT u.relation FROM used u JOIN changing c ON c.oid = u.id WHERE NOT u.is_relation
), reached(relation) AS (
  SELECT relation FROM odd
  UNION
  SELECT u.relation FROM used u JOIN reached r ON r.relation = u.id WHERE u.is_relation
)
SELECT 'f', proname::text FROM pg_proc WHERE prorettype <> 'trigger'::regtype GROUP BY 2
UNION ALL SELECT DISTINCT 'v', proname::text FROM changing
UNION ALL SELECT DISTINCT 'r', relname::text FROM pg_class JOIN reached ON relation = pg_class.oid
UNION ALL SELECT DISTINCT 'o', o.oprname::text FROM pg_operator o JOIN changing c ON c.oid = o.oprcode
UNION ALL SELECT DISTINCT 'c', 'cast' FROM pg_cast p JOIN changing c ON c.oid = p.castfunc
UNION ALL SELECT DISTINCT 'c', 'check' FROM pg_constraint d
  CROSS JOIN LATERAL regexp_matches(d.conbin::text, ':(?:op)?funcid ([0-9]+)', 'g') AS m(found)
  JOIN changing c ON c.oid = m.found[1]::oid WHERE d.contypid <> 0;
COMMIT";

/// What a name stands for, perhaps several things at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meaning {
    /// A function.
    is_function: bool,
    /// What is dangerous about it.
    danger: Danger,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Danger {
    #[default]
    None,
    /// Called, it may do more than read.
    Function,
    /// Read from, it may.
    Relation,
    /// Both.
    Both,
}

impl Danger {
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, danger) | (danger, Self::None) => danger,
            (Self::Function, Self::Function) => Self::Function,
            (Self::Relation, Self::Relation) => Self::Relation,
            _ => Self::Both,
        }
    }
}

/// What is known of one database.
#[derive(Clone, Debug)]
pub struct Lore {
    /// Its number; never used twice in a process.
    pub number: u64,
    /// When it was asked for.
    pub asked_at: Moment,
    /// Up to which changes of the schema.
    pub seen: Seen,
    names: Arc<Names>,
    refused: BTreeSet<u64>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    meanings: BTreeMap<Box<[u8]>, Meaning>,
    /// Operators whose functions are volatile.
    operators: Vec<Box<[u8]>>,
    whole: Whole,
}

/// What holds for every text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Whole {
    /// Nothing.
    #[default]
    Nothing,
    /// Something dangerous has a name with letters beyond ASCII, which clients may write in several encodings.
    ForeignLetters,
    /// A cast, the check of a domain or an operator that a keyword stands for may do more than read, and need not be seen
    /// in a text.
    Unseen,
}

impl Lore {
    /// What the answer to [`QUESTION`] says; `None` if it is not one, or too much.
    pub fn learn(told: &Told, number: u64, asked_at: Moment, seen: Seen) -> Option<Self> {
        if !told.refused.is_empty() || told.status != b'I' || told.rows.len() > NAMES_MAX {
            return None;
        }
        let rows = told.rows.iter().map(|row| match &**row {
            [Some(kind), Some(name)] => Some((&**kind, &**name)),
            _ => None,
        });
        let names = Names::of(rows.collect::<Option<Vec<_>>>()?);
        // A database without functions is none.
        (!names.meanings.is_empty()).then(|| Self {
            number,
            asked_at,
            seen,
            names: names.into(),
            refused: BTreeSet::new(),
        })
    }

    /// This, as newer than `before`: where nothing has changed it keeps the number, and with it every verdict.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        if self.seen.meanings == before.seen.meanings {
            self.refused.clone_from(&before.refused);
            if self.names == before.names {
                self.number = before.number;
            }
        }
        self
    }

    /// The same with one more text that a replica has refused.
    #[must_use]
    pub fn refusing(&self, text: &[u8], number: u64) -> Self {
        let mut refused = self.refused.clone();
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(fingerprint(0, &[text]));
        Self { number, refused, names: self.names.clone(), ..*self }
    }

    /// Whether a replica has refused this text.
    pub(super) fn has_refused(&self, text: &[u8]) -> bool {
        !self.refused.is_empty() && self.refused.contains(&fingerprint(0, &[text]))
    }

    /// Begins to judge a text.
    pub(super) fn judge<'l>(&'l self, text: &[u8]) -> Judge<'l> {
        let names = &*self.names;
        let operator = names.operators.iter().any(|operator| memchr::memmem::find(text, operator).is_some());
        let volatile = operator || names.whole == Whole::Unseen;
        Judge { names, so_far: if volatile { Judgement::Volatile } else { Judgement::Harmless } }
    }

    /// The same under another number, for tests.
    #[cfg(test)]
    pub(super) fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// From kinds and names, for tests.
    #[cfg(test)]
    pub(super) fn of_rows<'r>(rows: impl IntoIterator<Item = (&'r str, &'r str)>) -> Self {
        let rows = rows.into_iter().map(|(kind, name)| (kind.as_bytes(), name.as_bytes())).collect();
        let names = Names::of(rows).into();
        Self { number: 1, asked_at: Moment::ZERO, seen: Seen::default(), names, refused: BTreeSet::new() }
    }
}

impl Names {
    fn of(rows: Vec<(&[u8], &[u8])>) -> Self {
        let mut names = Self::default();
        for (kind, name) in rows {
            let (is_function, danger) = match kind {
                b"f" => (true, Danger::None),
                b"v" => (true, Danger::Function),
                b"r" => (false, Danger::Relation),
                b"o" if !KEYWORDS.contains(&name) => {
                    names.operators.push(name.into());
                    continue;
                }
                _ => {
                    names.whole = Whole::Unseen;
                    continue;
                }
            };
            if danger != Danger::None && !name.is_ascii() && names.whole == Whole::Nothing {
                names.whole = Whole::ForeignLetters;
            }
            let meaning = names.meanings.entry(name.into()).or_default();
            meaning.is_function |= is_function;
            meaning.danger = meaning.danger.and(danger);
        }
        names
    }
}

/// Whether a statement only reads, as far as its names say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Judgement {
    /// It does.
    Harmless,
    /// It calls what is not known.
    Unknown,
    /// It names what may do more.
    Volatile,
}

/// Hears the names in a text.
pub(super) struct Judge<'l> {
    names: &'l Names,
    so_far: Judgement,
}

impl Judge<'_> {
    pub(super) fn hear(&mut self, used: Use, name: &[u8]) {
        self.so_far = self.so_far.max(self.of_name(used, name));
    }

    fn of_name(&self, used: Use, name: &[u8]) -> Judgement {
        let called = used == Use::Called;
        if !name.is_ascii() {
            return match self.names.whole {
                Whole::ForeignLetters => Judgement::Volatile,
                // How it is spelt in the server's encoding is not known.
                _ if called => Judgement::Unknown,
                _ => Judgement::Harmless,
            };
        }
        if name.starts_with(STATISTICS) {
            return Judgement::Volatile;
        }
        let known = self.names.meanings.get(name).copied();
        let Meaning { is_function, danger } = known.unwrap_or_default();
        match danger {
            Danger::Function | Danger::Both if used != Use::Plain => Judgement::Volatile,
            Danger::Relation | Danger::Both => Judgement::Volatile,
            _ if called && !is_function => Judgement::Unknown,
            _ => Judgement::Harmless,
        }
    }

    pub(super) const fn verdict(&self) -> Judgement {
        self.so_far
    }
}
