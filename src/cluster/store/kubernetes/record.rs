//! The leader's record, and what seeing it change says of the right to write. Pure.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::{clock::Moment, cluster::store::follow::hearsay};

/// Patroni's `ttl` where the record does not say.
const TTL: u64 = 30;

/// What the leader wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its name.
    pub(super) leader: String,
    /// When it took the lead, by its own clock, and how often that passed on.
    pub(super) acquired: String,
    /// When it last renewed it, by its own clock.
    pub(super) renewed: String,
    /// For how long others wait for the next renewal.
    pub(super) ttl: Option<u64>,
}

impl Record {
    /// A number that is the same for as long as it keeps the lead.
    pub(super) fn election(&self) -> u64 {
        let digest = Sha256::digest(&self.acquired);
        digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.unwrap_or(TTL))
    }
}

/// The record as seen so far.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// What the newest reading showed, and when it was asked for.
    newest: Option<(Option<Record>, Moment)>,
    /// Up to when it is certain that nobody takes the leader's place.
    certain_until: Option<Moment>,
    /// When the record was first seen as it is.
    since: Moment,
}

impl Observed {
    /// Takes in what a reading showed that was asked for at `asked_at`. Returns up to when there is a right to write to the
    /// leader.
    ///
    /// Others count `ttl` from when they see a renewal, and so from no earlier than it was written. It was written after
    /// the newest reading that did not show it yet was asked for. Before any change was seen, nothing is known of when
    /// it was written: then a reading is good until the next, for as long as the record may still be alive.
    pub(super) fn see(
        &mut self,
        record: Option<Record>,
        asked_at: Moment,
        reread: Duration,
    ) -> Option<Moment> {
        match &self.newest {
            Some((before, _)) if *before == record => {}
            Some((_, before_at)) => {
                self.certain_until = record.as_ref().map(|record| *before_at + record.ttl());
                self.since = asked_at;
            }
            None => self.since = asked_at,
        }
        let alive = record.as_ref().is_none_or(|record| asked_at < self.since + record.ttl());
        self.newest = Some((record, asked_at));
        let (Some((Some(_), _)), true) = (&self.newest, alive) else { return None };
        self.certain_until.or(Some(hearsay(asked_at, reread)))
    }

    /// Whether the record has not changed for so long that others count it as nobody's, as Patroni itself does.
    pub(super) fn has_expired(&self, now: Moment) -> bool {
        matches!(&self.newest, Some((Some(record), _)) if self.since + record.ttl() <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REREAD: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn record(leader: &str, renewed: &str) -> Option<Record> {
        Some(Record {
            leader: leader.to_owned(),
            acquired: format!("{leader} 0"),
            renewed: renewed.to_owned(),
            ttl: Some(20),
        })
    }

    #[test]
    fn a_renewal_counts_from_the_reading_before_it() {
        let mut observed = Observed::default();
        // When the first was written nobody knows.
        assert_eq!(observed.see(record("a", "1"), at(100), REREAD), Some(hearsay(at(100), REREAD)));
        assert_eq!(observed.see(record("a", "1"), at(101), REREAD), Some(hearsay(at(101), REREAD)));
        assert_eq!(observed.see(record("a", "2"), at(102), REREAD), Some(at(121)));
        assert_eq!(observed.see(record("a", "2"), at(110), REREAD), Some(at(121)));
        // Clocks of others go back and forth: only the change matters.
        assert_eq!(observed.see(record("a", "1"), at(111), REREAD), Some(at(130)));
    }

    #[test]
    fn a_new_leader_is_known_from_the_reading_before_it() {
        let mut observed = Observed::default();
        observed.see(record("a", "1"), at(100), REREAD);
        assert_eq!(observed.see(None, at(105), REREAD), None);
        assert_eq!(observed.see(record("b", "3"), at(106), REREAD), Some(at(125)));
        assert_eq!(observed.see(record("c", "4"), at(107), REREAD), Some(at(126)));
    }

    #[test]
    fn a_record_that_nobody_renews_is_nobodys() {
        let mut observed = Observed::default();
        observed.see(record("a", "1"), at(100), REREAD);
        assert!(!observed.has_expired(at(119)));
        assert_eq!(observed.see(record("a", "1"), at(120), REREAD), None);
        assert!(observed.has_expired(at(120)));
        assert!(observed.see(record("a", "2"), at(121), REREAD).is_some());
        assert!(!observed.has_expired(at(121)));
        assert!(!Observed::default().has_expired(at(999)));
    }

    #[test]
    fn an_election_has_a_number_of_its_own() {
        let [one, same, other] =
            [record("a", "1"), record("a", "2"), record("b", "1")].map(|r| r.unwrap().election());
        assert_eq!(one, same);
        assert_ne!(one, other);
    }
}
