//! Rare events, counted by the values of their labels.

use std::{borrow::Cow, collections::BTreeMap};

use parking_lot::Mutex;

/// Combinations of values that are told apart. What a server or client can make up (an SQLSTATE) must not fill the
/// memory: later combinations are counted as `other`.
const COMBINATIONS_MAX: usize = 256;

/// What stands for the values that are not told apart any more.
const OTHER: &str = "other";

type Labels<const N: usize> = [Cow<'static, str>; N];

/// Counts of rare events by the values of `N` labels. Any thread may add.
#[derive(Debug)]
pub struct Tally<const N: usize>(Mutex<BTreeMap<Labels<N>, u64>>);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<const N: usize> Tally<N> {
    /// Counts one event.
    pub fn count(&self, values: [&str; N]) {
        let mut counts = self.0.lock();
        let labels = values.map(|value| Cow::Owned(value.to_owned()));
        if let Some(count) = counts.get_mut(&labels) {
            *count += 1;
            return;
        }
        let labels =
            if counts.len() < COMBINATIONS_MAX { labels } else { [const { Cow::Borrowed(OTHER) }; N] };
        *counts.entry(labels).or_default() += 1;
    }

    /// Adds what was counted to `sums`.
    pub fn add_to(&self, sums: &mut BTreeMap<Labels<N>, u64>) {
        for (labels, count) in &*self.0.lock() {
            *sums.entry(labels.clone()).or_default() += count;
        }
    }

    /// What was counted.
    pub fn read(&self) -> BTreeMap<Labels<N>, u64> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_label_up_to_a_bound() {
        let tally = Tally::<2>::default();
        for turn in 0..2 {
            for number in 0..2 * COMBINATIONS_MAX {
                tally.count(["made up", &number.to_string()]);
            }
            assert_eq!(tally.read().len(), COMBINATIONS_MAX + 1, "turn {turn}");
        }
        let counts = tally.read();
        assert_eq!(counts.values().sum::<u64>(), 4 * COMBINATIONS_MAX as u64, "nothing is lost");
        assert_eq!(counts.get(&[Cow::Borrowed("made up"), Cow::Borrowed("7")]), Some(&2));
        assert_eq!(
            counts.get(&[Cow::Borrowed(OTHER), Cow::Borrowed(OTHER)]),
            Some(&(2 * COMBINATIONS_MAX as u64))
        );
    }
}
