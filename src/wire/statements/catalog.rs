//! All statements that clients hold, so that the same one is kept once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    super::{
        schema::{Schema, When},
        sightings::Sightings,
    },
    Key, Map, Name, Scope, Source, Statement,
};

/// Who may share a statement with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Every client in the same scope that sends the same text and types.
    Scope,
    /// Nobody: what it means was settled when it was parsed (a literal `now`, settings that are not followed).
    Nobody,
}

/// All statements that clients hold.
#[derive(Debug, Default)]
pub struct Catalog {
    shared: Mutex<Shelf>,
    next_id: AtomicU64,
    /// Texts without a name that were seen lately.
    pub sightings: Sightings,
    schemas: Mutex<BTreeMap<String, Weak<Schema>>>,
    generations: Arc<AtomicU64>,
}

/// For each text the statement that was parsed last.
#[derive(Debug, Default)]
struct Shelf {
    statements: Map<Key, Weak<Statement>>,
    /// Dead entries are swept when the shelf has grown to this.
    sweep_at: usize,
}

impl Shelf {
    fn get(&self, key: &Key) -> Option<Arc<Statement>> {
        self.statements.get(key).and_then(Weak::upgrade)
    }

    fn put(&mut self, statement: &Arc<Statement>) {
        if self.statements.len() >= self.sweep_at {
            self.statements.retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = (self.statements.len() * 2).max(256);
        }
        self.statements.insert(statement.key.clone(), Arc::downgrade(statement));
    }
}

impl Catalog {
    /// The schema of a database of a cluster.
    pub fn schema(&self, cluster: &str, database: &str) -> Arc<Schema> {
        let mut schemas = self.schemas.lock();
        let name = format!("{cluster}\0{database}");
        if let Some(known) = schemas.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        schemas.retain(|_, schema| schema.strong_count() > 0);
        let schema = Arc::new(Schema::numbered_by(&self.generations));
        schemas.insert(name, Arc::downgrade(&schema));
        schema
    }

    /// The statement for what a client has parsed and given a name: one that was parsed just now, or a new one. `when` is
    /// `None` while the schema changes.
    pub fn statement(&self, source: &Source<'_>, sharing: Sharing, when: Option<When>) -> Arc<Statement> {
        let when = if sharing == Sharing::Scope { when } else { None };
        self.parsed(source, Name::Given, when)
    }

    /// The same for a text that was given no name. Those are kept apart, because they come and go with every use.
    pub fn unnamed(&self, source: &Source<'_>, when: When) -> Arc<Statement> {
        self.parsed(source, Name::None, Some(when))
    }

    fn parsed(&self, source: &Source<'_>, name: Name, when: Option<When>) -> Arc<Statement> {
        let Source { scope, query, types, conduct, form } = *source;
        let mut key = Key { scope: scope.clone(), query: query.into(), types: types.into(), name };
        let mut shelf = self.shared.lock();
        if let Some(known) = shelf.get(&key) {
            let parsed_just_now = known.parsed.zip(when).is_some_and(|(parsed, when)| parsed.is_fresh(when));
            if parsed_just_now {
                return known;
            }
            // It is another, in the same words: those are kept once.
            key = known.key.clone();
        }
        let statement = self.number(Statement {
            id: 0,
            key,
            conduct,
            form,
            parsed: when,
            found: OnceLock::new(),
            result: OnceLock::new(),
            verdict: AtomicU64::default(),
        });
        if when.is_some() {
            shelf.put(&statement);
        }
        statement
    }

    /// What was parsed last of the same text under this scope, and can be taken for `statement` by a client that has that.
    pub fn last(&self, statement: &Statement, scope: &Scope) -> Option<Arc<Statement>> {
        let key = Key { scope: scope.clone(), ..statement.key.clone() };
        self.shared.lock().get(&key).filter(|last| last.yields_as(statement))
    }

    /// The same statement under another scope: a client that changed its settings since it prepared it. What it
    /// yielded then still counts.
    pub fn rescoped(
        &self,
        statement: &Statement,
        scope: &Scope,
        sharing: Sharing,
        when: Option<When>,
    ) -> Arc<Statement> {
        let when = if sharing == Sharing::Scope { when } else { None };
        let copy = self.copy(statement, scope, when);
        if when.is_some() {
            let mut shelf = self.shared.lock();
            match shelf.get(&copy.key) {
                Some(last) if last.yields_as(statement) => return last,
                // To others it yields something else.
                Some(_) => {}
                None => shelf.put(&copy),
            }
        }
        copy
    }

    /// A statement is to be parsed once more, and what it yields then is not held against what it yielded: the one that
    /// takes its place.
    pub fn renewed(&self, statement: &Statement) -> Arc<Statement> {
        let Statement { key, conduct, form, parsed, .. } = statement;
        let (found, result) = (OnceLock::new(), OnceLock::new());
        let (key, conduct, form, parsed) = (key.clone(), *conduct, *form, *parsed);
        let next = self.number(Statement {
            id: 0,
            key,
            conduct,
            form,
            parsed,
            found,
            result,
            verdict: AtomicU64::default(),
        });
        if parsed.is_some() {
            self.shared.lock().put(&next);
        }
        next
    }

    /// A server has refused a statement: whoever parses its text from now on gets another.
    pub fn retire(&self, statement: &Statement) {
        let mut shelf = self.shared.lock();
        if shelf.get(&statement.key).is_some_and(|last| last.id == statement.id) {
            shelf.statements.remove(&statement.key);
        }
    }

    fn copy(&self, statement: &Statement, scope: &Scope, parsed: Option<When>) -> Arc<Statement> {
        let Statement { key, conduct, form, found, result, .. } = statement;
        let key = Key { scope: scope.clone(), ..key.clone() };
        let (found, result) = (found.clone(), result.clone());
        self.number(Statement {
            id: 0,
            key,
            conduct: *conduct,
            form: *form,
            parsed,
            found,
            result,
            verdict: AtomicU64::default(),
        })
    }

    fn number(&self, statement: Statement) -> Arc<Statement> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Statement { id, ..statement })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        wire::conduct::{Conduct, Form},
    };

    fn parsed(
        catalog: &Catalog,
        scope: &str,
        query: &str,
        types: &[u8],
        when: Option<When>,
    ) -> Arc<Statement> {
        let (scope, conduct) = (scope.into(), Conduct::default());
        let query = query.as_bytes();
        let source = Source { scope: &scope, query, types, conduct, form: Form::Planned };
        catalog.statement(&source, Sharing::Scope, when)
    }

    fn at(millis: u64, generation: u64) -> Option<When> {
        Some(When { now: Moment::from_nanos(millis * 1_000_000), generation })
    }

    #[test]
    fn sharing_needs_the_same_text_types_and_scope_and_time() {
        let catalog = Catalog::default();
        let first = parsed(&catalog, "a", "select 1", &[0, 0], at(0, 1));
        for (scope, query, types, when, same) in [
            ("a", "select 1", &[0, 0][..], at(0, 1), true),
            ("a", "select 1", &[0, 0][..], at(999, 1), true),
            ("b", "select 1", &[0, 0][..], at(0, 1), false),
            ("a", "select 2", &[0, 0][..], at(0, 1), false),
            ("a", "select 1", &[0, 1, 0, 0, 0, 23][..], at(0, 1), false),
            ("a", "select 1", &[0, 0][..], None, false),
        ] {
            let other = parsed(&catalog, scope, query, types, when);
            assert_eq!(other.id() == first.id(), same, "{scope} {query} {when:?}");
        }
        let mut out = Vec::new();
        first.put_parse(&mut out);
        assert_eq!(out, b"P\0\0\0\x19pgsteer_1\0select 1\0\0\0");
        // Parsed too long ago, or before the schema changed: another takes its place.
        let second = parsed(&catalog, "a", "select 1", &[0, 0], at(1000, 1));
        let third = parsed(&catalog, "a", "select 1", &[0, 0], at(1000, 2));
        assert!(first.id() < second.id() && second.id() < third.id());
        assert_eq!(catalog.last(&first, &"a".into()).map(|last| last.id()), Some(third.id()));
    }

    #[test]
    fn another_is_taken_only_if_it_yields_the_same() {
        let catalog = Catalog::default();
        let scope: Scope = "a".into();
        let first = parsed(&catalog, "a", "select 1", &[0, 0], at(0, 1));
        let second = parsed(&catalog, "a", "select 1", &[0, 0], at(0, 2));
        let last = |statement: &Statement| catalog.last(statement, &scope).map(|last| last.id());
        assert_eq!(last(&first), Some(second.id()), "nobody was told anything");
        assert!(first.yields(7) && !first.yields(8));
        assert_eq!(last(&first), None);
        assert!(second.yields(7));
        assert_eq!(last(&first), Some(second.id()));
        // Under other settings it still is what it was told to be.
        let moved = catalog.rescoped(&first, &"b".into(), Sharing::Scope, at(0, 2));
        assert!(moved.is_told() && !moved.yields(8));
        // Refused, it is shared no more.
        catalog.retire(&first);
        assert_eq!(last(&first), Some(second.id()), "it was not the last");
        let next = catalog.renewed(&second);
        assert!(next.is_untold() && next.yields(7));
        assert_eq!(last(&first), Some(next.id()));
        catalog.retire(&next);
        assert_eq!(last(&first), None);
    }

    #[test]
    fn what_was_found_of_parameters_is_parsed_with_it() {
        let catalog = Catalog::default();
        let statement = parsed(&catalog, "a", "select $1", &[0, 0], at(0, 1));
        statement.takes(&[0, 1, 0, 0, 0, 25]);
        let mut out = Vec::new();
        statement.put_parse(&mut out);
        assert!(out.ends_with(b"select $1\0\0\x01\0\0\0\x19"), "{}", out.escape_ascii());
    }

    #[test]
    fn dead_statements_are_swept() {
        let catalog = Catalog::default();
        for n in 0..10_000 {
            parsed(&catalog, "s", &format!("select {n}"), &[0, 0], at(0, 1));
        }
        assert!(catalog.shared.lock().statements.len() <= 512);
    }
}
