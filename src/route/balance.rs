//! Which of several replicas serves the next request: pure, and decided anew for each.
//!
//! Nothing is remembered here. The caller counts its requests (`turn`), each replica says how large a share of them it
//! may have and how busy it is. The same turn and the same figures give the same answer, and asking costs no allocation
//! and no lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How reads are spread over replicas that are equally good otherwise (`balance`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, each as often as its share says.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way for its share. While that does not tell them apart, one after the other,
    /// each as often as its share says.
    LeastConnections,
    /// Of two that chance picks, the one whose answers come sooner, its requests under way and its share considered.
    Latency,
}

/// A replica among which one is chosen.
pub trait Candidate {
    /// How many requests it may have compared with the others; 0 counts as 1.
    fn share(&self) -> u32;
    /// What is known of it now.
    fn load(&self) -> &Load;
}

/// What is known of a member's load: written by the pools and by those who probe, read by those who choose. Figures may
/// be a moment old; nothing depends on their being exact.
#[derive(Debug, Default)]
pub struct Load {
    /// Its servers that clients have.
    busy: AtomicUsize,
    /// How long it takes to answer a probe, in nanoseconds; 0: not known yet.
    latency_nanos: AtomicU64,
}

/// Replicas that answer faster than this are equally fast: what is left is noise.
const LATENCY_FLOOR_NANOS: u64 = 200_000;
/// No answer counts as slower than this.
const LATENCY_MAX_NANOS: u64 = 10_000_000_000;

impl Load {
    /// A client got one of its servers.
    #[inline]
    pub fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// A client has given one of its servers back.
    #[inline]
    pub fn end(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its servers that clients have.
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// How long it takes to answer.
    pub fn set_latency(&self, latency: std::time::Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_nanos.store(nanos, Ordering::Relaxed);
    }

    /// What one more request costs there: the time of an answer for each that is under way. One that has not been timed
    /// counts as fast, so that it is tried.
    fn cost(&self) -> u64 {
        let latency =
            self.latency_nanos.load(Ordering::Relaxed).clamp(LATENCY_FLOOR_NANOS, LATENCY_MAX_NANOS);
        latency.saturating_mul(self.busy() as u64 + 1)
    }
}

/// Who serves the request number `turn` of whoever asks. `None` if there is nobody.
#[inline]
pub fn choose<T: Candidate>(balance: Balance, candidates: &[T], turn: u64) -> Option<&T> {
    match (balance, candidates) {
        (_, [] | [_]) => candidates.first(),
        (Balance::RoundRobin, _) => by_turn(candidates, turn),
        (Balance::LeastConnections, _) => by_fewest(candidates, turn),
        (Balance::Latency, _) => by_latency(candidates, turn),
    }
}

/// Each in turn where all shares are equal; else the next of a sequence that visits each as evenly as its share allows,
/// whatever turn it is looked at from (multiples of the golden ratio are spread evenly over a circle, here cut in shares).
fn by_turn<T: Candidate>(candidates: &[T], turn: u64) -> Option<&T> {
    let first = share(candidates.first()?);
    if candidates.iter().all(|candidate| share(candidate) == first) {
        return candidates.get(place(turn, candidates.len()));
    }
    let total: u64 = candidates.iter().map(share).sum();
    let mut at = scaled(turn.wrapping_mul(GOLDEN), total);
    for candidate in candidates {
        match at.checked_sub(share(candidate)) {
            None => return Some(candidate),
            Some(left) => at = left,
        }
    }
    candidates.last()
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whose turn it is, unless it already has at least as many for its share as another would have with one more. So the
/// fewest win among equal shares, and of those who have nothing to do a small share has its turns, too.
fn by_fewest<T: Candidate>(candidates: &[T], turn: u64) -> Option<&T> {
    let next = by_turn(candidates, turn)?;
    let (before, from) = candidates.split_at(place(turn, candidates.len()));
    let busy = |candidate: &T| candidate.load().busy() as u64;
    // Of several equals `min_by` takes the first: the one whose turn is nearest.
    let least =
        from.iter().chain(before).min_by(|&a, &b| compare(busy(a) + 1, share(a), busy(b) + 1, share(b)))?;
    let fits = compare(busy(next), share(next), busy(least) + 1, share(least)).is_lt();
    Some(if fits { next } else { least })
}

fn by_latency<T: Candidate>(candidates: &[T], turn: u64) -> Option<&T> {
    let drawn = mixed(turn);
    let first = place(drawn >> 32, candidates.len());
    let step = 1 + place(drawn & 0xffff_ffff, candidates.len() - 1);
    let second = (first + step) % candidates.len();
    let (first, second) = (candidates.get(first)?, candidates.get(second)?);
    let dearer = compare(first.load().cost(), share(first), second.load().cost(), share(second));
    Some(if dearer.is_gt() { second } else { first })
}

fn share<T: Candidate>(candidate: &T) -> u64 {
    u64::from(candidate.share().max(1))
}

/// Compares two figures, each for its share.
fn compare(a: u64, share_a: u64, b: u64, share_b: u64) -> std::cmp::Ordering {
    let [a, b] = [(a, share_b), (b, share_a)].map(|(figure, other)| u128::from(figure) * u128::from(other));
    a.cmp(&b)
}

/// One of `count` places, in turn.
#[inline]
const fn place(turn: u64, count: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than count, which is a usize")]
    {
        (turn % count as u64) as usize
    }
}

/// A number below `total`, from one spread over all 64 bits.
const fn scaled(spread: u64, total: u64) -> u64 {
    ((spread as u128 * total as u128) >> 64) as u64
}

/// Spreads a count over all 64 bits (the finalizer of SplitMix64).
const fn mixed(turn: u64) -> u64 {
    let mut z = turn.wrapping_add(1).wrapping_mul(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Replica(u32, Load);

    impl Candidate for Replica {
        fn share(&self) -> u32 {
            self.0
        }
        fn load(&self) -> &Load {
            &self.1
        }
    }

    /// Share, requests under way, microseconds to an answer.
    fn replicas(of: &[(u32, usize, u64)]) -> Vec<Replica> {
        let replica = |(share, busy, micros): &(u32, usize, u64)| {
            let load = Load::default();
            (0..*busy).for_each(|_| load.begin());
            load.set_latency(Duration::from_micros(*micros));
            Replica(*share, load)
        };
        of.iter().map(replica).collect()
    }

    /// Who serves so many requests from a turn on, none of which ends.
    fn served(balance: Balance, of: &[(u32, usize, u64)], from: u64, requests: u64) -> Vec<usize> {
        let replicas = replicas(of);
        let one = |turn| {
            let chosen = choose(balance, &replicas, turn).unwrap();
            chosen.1.begin();
            replicas.iter().position(|replica| std::ptr::eq(replica, chosen)).unwrap()
        };
        (from..from + requests).map(one).collect()
    }

    fn counts(balance: Balance, of: &[(u32, usize, u64)], requests: u64) -> Vec<usize> {
        let served = served(balance, of, 0, requests);
        (0..of.len()).map(|place| served.iter().filter(|chosen| **chosen == place).count()).collect()
    }

    #[test]
    fn nobody_and_one() {
        for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::Latency] {
            assert!(choose::<Replica>(balance, &[], 1).is_none());
            assert_eq!(served(balance, &[(0, 9, 9)], u64::MAX - 1, 1), [0]);
        }
    }

    #[test]
    fn each_in_turn() {
        let equal = [(2, 0, 0), (2, 5, 900), (2, 0, 0)];
        assert_eq!(served(Balance::RoundRobin, &equal, 4, 5), [1, 2, 0, 1, 2]);
        assert_eq!(served(Balance::RoundRobin, &equal, u64::MAX - 1, 1), [2]);
    }

    #[test]
    fn each_as_often_as_its_share_and_never_long_in_a_row() {
        let of = [(5, 0, 0), (1, 0, 0), (2, 0, 0)];
        let counted = counts(Balance::RoundRobin, &of, 8000);
        let off = counted.iter().zip([5000, 1000, 2000]).map(|(count, share)| count.abs_diff(share));
        assert!(off.max() <= Some(1), "{counted:?}");
        let order = served(Balance::RoundRobin, &of, 0, 1000);
        for window in order.windows(16) {
            let firsts = window.iter().filter(|chosen| **chosen == 0).count();
            assert!((9..=11).contains(&firsts) && window.contains(&1) && window.contains(&2), "{window:?}");
        }
    }

    #[test]
    fn the_least_busy_for_its_share() {
        let check = |of, expected: &[usize]| {
            assert_eq!(served(Balance::LeastConnections, of, 0, expected.len() as u64), expected);
        };
        check(&[(1, 3, 0), (1, 1, 0), (1, 2, 0)], &[1, 1, 2]);
        // Equals in turn.
        check(&[(1, 0, 0), (1, 0, 0), (1, 0, 0)], &[0, 1, 2, 0, 1, 2]);
        // Of so many that run at once, each has its share.
        assert_eq!(counts(Balance::LeastConnections, &[(2, 0, 0), (5, 0, 0)], 70), [20, 50]);
        assert_eq!(counts(Balance::LeastConnections, &[(2, 40, 0), (5, 0, 0)], 100), [0, 100]);
        assert_eq!(counts(Balance::LeastConnections, &[(1, 0, 0), (1000, 0, 0)], 1001), [1, 1000]);
    }

    /// How many of `requests` each serves, of which so many run at once; the oldest ends first.
    fn counts_of_a_few(of: &[(u32, usize, u64)], at_once: usize, requests: u64) -> Vec<u32> {
        let replicas = replicas(of);
        let mut running = std::collections::VecDeque::new();
        let mut counts = vec![0; of.len()];
        for turn in 0..requests {
            let chosen = choose(Balance::LeastConnections, &replicas, turn).unwrap();
            counts[replicas.iter().position(|replica| std::ptr::eq(replica, chosen)).unwrap()] += 1;
            chosen.1.begin();
            running.push_back(chosen);
            if running.len() == at_once {
                running.pop_front().unwrap().1.end();
            }
        }
        counts
    }

    #[test]
    fn the_heavier_does_not_serve_everything_while_there_is_little_to_do() {
        let check = |of: &[(u32, usize, u64)], at_once, expected: &[u32], off: u32| {
            let counts = counts_of_a_few(of, at_once, 8000);
            let near = counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) <= off);
            assert!(near, "{counts:?} of 8000, {at_once} at once, instead of {expected:?}");
        };
        // One after the other, and a few at once.
        check(&[(5, 0, 0), (1, 0, 0), (2, 0, 0)], 1, &[5000, 1000, 2000], 5);
        check(&[(1, 0, 0), (1, 0, 0)], 1, &[4000, 4000], 0);
        check(&[(1, 0, 0), (3, 0, 0)], 1, &[2000, 6000], 5);
        for at_once in [2, 3, 5, 9] {
            check(&[(1, 0, 0), (3, 0, 0)], at_once, &[2000, 6000], 200);
        }
        check(&[(1, 0, 0), (99, 0, 0)], 2, &[80, 7920], 5);
        check(&[(8, 0, 0), (1, 0, 0), (8, 0, 0)], 3, &[3765, 470, 3765], 5);
    }

    #[test]
    fn the_faster_until_it_is_busier() {
        // Ten times as fast: of eleven that run at once the slower gets one.
        assert_eq!(counts(Balance::Latency, &[(1, 0, 1000), (1, 0, 10_000)], 110), [100, 10]);
        // Noise below the floor does not count; neither does a figure of long ago that nothing bounds.
        let near = counts(Balance::Latency, &[(1, 0, 20), (1, 0, 190)], 100);
        assert_eq!(near, [50, 50]);
        let hung = counts(Balance::Latency, &[(1, 0, 200), (1, 0, u64::MAX / 2000)], 100);
        assert_eq!(hung, [100, 0]);
        // One that was never timed is tried; a smaller share makes it dearer.
        assert!(counts(Balance::Latency, &[(1, 0, 0), (1, 0, 5000)], 20)[0] >= 19);
        assert_eq!(counts(Balance::Latency, &[(8, 0, 500), (1, 0, 500)], 90), [80, 10]);
    }

    #[test]
    fn of_many_each_is_drawn_and_the_slow_one_seldom() {
        let of = [(1, 0, 1000), (1, 0, 1000), (1, 0, 100_000), (1, 0, 1000)];
        let served = counts(Balance::Latency, &of, 1000);
        assert!(served[2] < 20, "{served:?}");
        assert!([0, 1, 3].iter().all(|fast| (250..420).contains(&served[*fast])), "{served:?}");
    }
}
