//! Changes of a database's schema, as far as they pass through here: what was parsed before one may mean something
//! else behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::clock::Moment;

/// What was parsed stands for what is parsed now for as long: a change of the schema that was made elsewhere is not seen.
pub const PARSED_AGE_MAX: Duration = Duration::from_secs(1);

/// When something was parsed, or is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The time.
    pub now: Moment,
    /// The generation of the schema.
    pub generation: u64,
}

impl When {
    /// Whether what was parsed then may stand for what is parsed at `when`.
    #[inline]
    pub fn is_fresh(self, when: Self) -> bool {
        self.generation == when.generation && when.now.since(self.now) < PARSED_AGE_MAX
    }
}

/// Up to which changes a schema was seen, by the generations that the last ones to end have begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Of those by which a name may mean something new. What was learnt of all that has a name holds until the next of them.
    pub meanings: u64,
    /// Of all.
    pub changes: u64,
}

/// The schema of one database, as a number that grows with every change and that no schema has twice: what was learnt of a
/// database stays when its last client goes, and must not hold for those who come later.
#[derive(Debug, Default)]
pub struct Schema {
    generation: AtomicU64,
    meanings: AtomicU64,
    numbers: Arc<AtomicU64>,
    /// Changes that were sent to a server and have not been seen to end.
    changing: AtomicUsize,
}

impl Schema {
    /// One whose generations have their numbers from there.
    pub fn numbered_by(numbers: &Arc<AtomicU64>) -> Self {
        let first = next(numbers);
        Self {
            generation: first.into(),
            meanings: first.into(),
            numbers: numbers.clone(),
            changing: AtomicUsize::default(),
        }
    }

    /// The generation that holds now; `None` while a change is under way, when no two servers need agree.
    #[inline]
    pub fn generation(&self) -> Option<u64> {
        // What was parsed is compared with the generation read before it was sent, so the order matters: a change that
        // begins after this look is sent after what the look was for.
        (self.changing.load(Ordering::Acquire) == 0).then(|| self.generation.load(Ordering::Acquire))
    }

    /// Up to which changes it is seen by whoever looks behind this.
    #[inline]
    pub fn seen(&self) -> Seen {
        let meanings = self.meanings.load(Ordering::Acquire);
        Seen { meanings, changes: self.generation.load(Ordering::Acquire) }
    }

    /// A statement that may change it is about to be sent. The change is over when the guard is dropped.
    pub fn change(self: &Arc<Self>) -> SchemaChange {
        self.changing.fetch_add(1, Ordering::AcqRel);
        SchemaChange { schema: self.clone(), change: Change::LessThanBefore }
    }
}

fn next(numbers: &AtomicU64) -> u64 {
    numbers.fetch_add(1, Ordering::AcqRel) + 1
}

/// What a statement may do to a schema; the later is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It only takes away: what a name means behind it something of that name has been before, if perhaps in another
    /// schema.
    LessThanBefore,
    /// A name may mean what nothing of that name was before.
    NewMeanings,
}

/// Changes under way in one transaction.
#[derive(Debug)]
pub struct SchemaChange {
    schema: Arc<Schema>,
    change: Change,
}

impl SchemaChange {
    /// One of them is this.
    pub fn is(&mut self, change: Change) {
        self.change = self.change.max(change);
    }
}

impl Drop for SchemaChange {
    fn drop(&mut self) {
        let Schema { generation, meanings, numbers, changing } = &*self.schema;
        let number = next(numbers);
        if self.change == Change::NewMeanings {
            meanings.fetch_max(number, Ordering::AcqRel);
        }
        generation.fetch_max(number, Ordering::AcqRel);
        changing.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was learnt of a database is kept while nobody is connected to it.
    #[test]
    fn no_two_schemas_have_the_same_generation() {
        let numbers = Arc::default();
        let changed = Arc::new(Schema::numbered_by(&numbers));
        drop(changed.change());
        let (learnt, parsed) = (changed.seen(), changed.generation());
        drop(changed);
        let next = Arc::new(Schema::numbered_by(&numbers));
        assert!(next.seen().meanings > learnt.meanings);
        assert!(next.generation() > parsed);
    }

    /// Temporary tables come and go all the time: what is known of names must not go with each.
    #[test]
    fn what_is_known_of_names_outlasts_what_only_takes_away() {
        let schema = Arc::new(Schema::default());
        let (before, learnt) = (schema.generation(), schema.seen());
        let mut drops = schema.change();
        drops.is(Change::LessThanBefore);
        drop(drops);
        assert!(schema.generation() > before);
        assert_eq!(schema.seen().meanings, learnt.meanings);
        assert!(schema.seen().changes > learnt.changes);

        let mut both = schema.change();
        both.is(Change::NewMeanings);
        both.is(Change::LessThanBefore);
        assert_eq!(schema.seen().meanings, learnt.meanings);
        drop(both);
        assert!(schema.seen().meanings > learnt.meanings);
    }

    #[test]
    fn a_change_ends_a_generation() {
        let schema = Arc::new(Schema::default());
        let before = schema.generation().unwrap();
        let (first, second) = (schema.change(), schema.change());
        assert_eq!(schema.generation(), None);
        drop(first);
        assert_eq!(schema.generation(), None);
        drop(second);
        assert!(schema.generation().unwrap() > before);
    }
}
