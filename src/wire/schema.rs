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

/// The schema of one database, as a number that grows with every change and that no schema has twice: what was learnt of a
/// database stays when its last client goes, and must not hold for those who come later.
#[derive(Debug, Default)]
pub struct Schema {
    generation: AtomicU64,
    numbers: Arc<AtomicU64>,
    /// Changes that were sent to a server and have not been seen to end.
    changing: AtomicUsize,
}

impl Schema {
    /// One whose generations have their numbers from there.
    pub fn numbered_by(numbers: &Arc<AtomicU64>) -> Self {
        Self { generation: next(numbers).into(), numbers: numbers.clone(), changing: AtomicUsize::default() }
    }

    /// The generation that holds now; `None` while a change is under way, when no two servers need agree.
    #[inline]
    pub fn generation(&self) -> Option<u64> {
        // What was parsed is compared with the generation read before it was sent, so the order matters: a change that
        // begins after this look is sent after what the look was for.
        (self.changing.load(Ordering::Acquire) == 0).then(|| self.generation.load(Ordering::Acquire))
    }

    /// The generation that the last change to end has begun. What was learnt in it holds until the next one ends.
    #[inline]
    pub fn ended(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A statement that may change it is about to be sent. The change is over when the guard is dropped.
    pub fn change(self: &Arc<Self>) -> SchemaChange {
        self.changing.fetch_add(1, Ordering::AcqRel);
        SchemaChange(self.clone())
    }
}

fn next(numbers: &AtomicU64) -> u64 {
    numbers.fetch_add(1, Ordering::AcqRel) + 1
}

/// A change under way.
#[derive(Debug)]
pub struct SchemaChange(Arc<Schema>);

impl Drop for SchemaChange {
    fn drop(&mut self) {
        self.0.generation.fetch_max(next(&self.0.numbers), Ordering::AcqRel);
        self.0.changing.fetch_sub(1, Ordering::AcqRel);
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
        let learnt = changed.ended();
        drop(changed);
        let next = Arc::new(Schema::numbered_by(&numbers));
        assert!(next.ended() > learnt);
        drop(next.change());
        assert!(next.ended() > learnt);
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
