//! Durations in fixed buckets, written by one thread.

use std::time::Duration;

use super::Counter;

/// The buckets' upper bounds in microseconds: 0.1 ms to 60 s.
pub const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The buckets, with the one above every bound.
pub const BUCKETS: usize = BOUNDS_US.len() + 1;

/// How often something took how long. One thread adds, others read.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

/// What a histogram, or several together, stood at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many fell into each bucket and into no smaller one.
    pub buckets: [u64; BUCKETS],
    /// All durations together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Adds one. Only ever called by the thread that owns it.
    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }

    /// Adds what it stands at to `reading`.
    pub fn add_to(&self, reading: &mut Reading) {
        for (sum, bucket) in reading.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        reading.sum_us = reading.sum_us.wrapping_add(self.sum_us.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_first_bucket_that_holds_it() {
        for (us, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (250, 1),
            (59_999_999, 17),
            (60_000_000, 17),
            (60_000_001, 18),
            (3_600_000_000, 18),
        ] {
            let histogram = Histogram::default();
            histogram.record(Duration::from_micros(us));
            let mut reading = Reading::default();
            histogram.add_to(&mut reading);
            let mut expected = [0; BUCKETS];
            expected[bucket] = 1;
            assert_eq!(reading, Reading { buckets: expected, sum_us: us }, "{us}");
        }
        assert!(BOUNDS_US.is_sorted());
    }
}
