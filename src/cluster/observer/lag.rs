//! How far a replica is behind: positions of the leader, sampled, against what the replica has replayed.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Moment,
    cluster::{fact::Standby, ids::Lsn, topology::Lag},
};

/// Samples are kept for this many times the bound on lag in time; a longer lag is shown as at least that.
const HORIZON: u32 = 4;
/// Samples for each bound's length: a sample less than this part of the bound after the one before is left out.
const RESOLUTION: u32 = 64;
/// What stands in for the bound where there is none.
const SHOWN: Duration = Duration::from_secs(10);

/// Positions of one term's leader and when each was asked for; grows only when the position does, so an idle
/// leader makes nobody lag. At most `HORIZON * RESOLUTION` samples and a few.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    epoch: u64,
    bound: Duration,
    newest: Lsn,
    samples: VecDeque<(Lsn, Moment)>,
}

impl Trail {
    /// An empty trail that can tell lags around `bound`. Where there is no bound ([`Duration::MAX`]) lags are only
    /// shown.
    pub(super) fn new(bound: Duration) -> Self {
        let mut trail = Self { epoch: 0, bound, newest: Lsn(0), samples: VecDeque::new() };
        trail.rebound(bound);
        trail
    }

    /// The bound is another from now on.
    pub(super) const fn rebound(&mut self, bound: Duration) {
        self.bound = if bound.as_nanos() == Duration::MAX.as_nanos() { SHOWN } else { bound };
    }

    /// Takes in where the leader of the term `epoch` was when it was asked at `asked_at`.
    pub(super) fn sample(&mut self, epoch: u64, lsn: Lsn, asked_at: Moment) {
        if epoch != self.epoch {
            self.samples.clear();
            self.epoch = epoch;
            self.newest = lsn;
        }
        self.newest = self.newest.max(lsn);
        match self.samples.back() {
            Some((last, _)) if lsn <= *last => return,
            Some((_, at)) if asked_at.since(*at) < self.bound / RESOLUTION => return,
            _ => self.samples.push_back((lsn, asked_at)),
        }
        // One sample beyond the horizon stays: whoever lacks a dropped one lacks that one too.
        while self
            .samples
            .get(1)
            .is_some_and(|(_, at)| asked_at.since(*at) > self.bound.saturating_mul(HORIZON))
        {
            self.samples.pop_front();
        }
    }

    /// How far a standby, asked at `asked_at`, is behind the leader of the term `epoch`; `None` if that leader or
    /// the standby has named no position yet.
    ///
    /// In time: the age of the oldest position of the leader that it has not replayed. In bytes: from what it has
    /// replayed to the newest position known, the standby's own knowledge of the sender included, which is from the
    /// very moment of its answer.
    pub(super) fn lag(&self, epoch: u64, standby: &Standby, at: Moment) -> Option<Lag> {
        if epoch != self.epoch || self.samples.is_empty() {
            return None;
        }
        let replayed = standby.replayed?;
        let newest = standby.known.map_or(self.newest, |known| self.newest.max(known));
        let missing = self.samples.partition_point(|(lsn, _)| *lsn <= replayed);
        let time = self.samples.get(missing).map_or(Duration::ZERO, |(_, asked_at)| at.since(*asked_at));
        Some(Lag { bytes: newest.bytes_since(replayed), time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fact::Receiver;

    fn ms(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    fn check(samples: &[(u64, u64)], replayed: u64, known: Option<u64>, at: u64, expected: (u64, u64)) {
        let mut trail = Trail::new(Duration::from_secs(1));
        for (asked_at, lsn) in samples {
            trail.sample(1, Lsn(*lsn), ms(*asked_at));
        }
        let standby = Standby {
            timeline: Some(1),
            replayed: Some(Lsn(replayed)),
            known: known.map(Lsn),
            receiver: Receiver::Streaming,
        };
        let lag = trail.lag(1, &standby, ms(at));
        let expected = Lag { bytes: expected.0, time: Duration::from_millis(expected.1) };
        assert_eq!(lag, Some(expected), "{samples:?} replayed {replayed} at {at}");
    }

    #[test]
    fn lag_in_bytes_and_time() {
        check(&[(0, 100)], 100, None, 50, (0, 0));
        check(&[(0, 100)], 40, None, 50, (60, 50));
        // An idle leader: however old its last position, who has replayed it does not lag.
        check(&[(0, 100), (500, 100), (9000, 100)], 100, None, 9500, (0, 0));
        // The oldest position that is missing counts, not the newest.
        check(&[(0, 100), (500, 200), (1000, 300)], 150, None, 1200, (150, 700));
        check(&[(0, 100), (500, 200), (1000, 300)], 250, None, 1200, (50, 200));
        // The standby knows of more than the last sample.
        check(&[(0, 100)], 100, Some(180), 50, (80, 0));
        // Too close together to be told apart: left out, but counted in bytes.
        check(&[(0, 100), (5, 200)], 100, None, 50, (100, 0));
    }

    #[test]
    fn an_unknown_leader_is_no_lag_at_all() {
        let mut trail = Trail::new(Duration::from_secs(1));
        let standby =
            Standby { timeline: Some(1), replayed: Some(Lsn(1)), known: None, receiver: Receiver::Streaming };
        assert_eq!(trail.lag(1, &standby, ms(1)), None);
        trail.sample(1, Lsn(5), ms(1));
        assert_eq!(trail.lag(2, &standby, ms(1)), None, "another term's samples do not count");
        assert!(trail.lag(1, &standby, ms(1)).is_some());
        assert_eq!(trail.lag(1, &Standby { replayed: None, ..standby }, ms(1)), None);
    }

    #[test]
    fn without_a_bound_lags_are_still_told() {
        let mut trail = Trail::new(Duration::MAX);
        for i in 1..1000 {
            trail.sample(1, Lsn(i), ms(i * 500));
        }
        let standby = Standby {
            timeline: Some(1),
            replayed: Some(Lsn(990)),
            known: None,
            receiver: Receiver::Streaming,
        };
        let lag = trail.lag(1, &standby, ms(999 * 500));
        assert_eq!(lag, Some(Lag { bytes: 9, time: Duration::from_secs(4) }));
    }

    #[test]
    fn long_lags_stay_beyond_the_bound_in_bounded_memory() {
        let mut trail = Trail::new(Duration::from_secs(1));
        for i in 1..100_000 {
            trail.sample(1, Lsn(i), ms(i * 5));
        }
        assert!(trail.samples.len() <= 260, "{}", trail.samples.len());
        let standby =
            Standby { timeline: Some(1), replayed: Some(Lsn(1)), known: None, receiver: Receiver::Streaming };
        let lag = trail.lag(1, &standby, ms(500_000)).map(|lag| lag.time);
        assert!(lag > Some(Duration::from_secs(4)), "{lag:?}");
    }
}
