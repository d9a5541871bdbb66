//! Who guesses passwords is slowed down: logins from an address with many failures wait before they may try.
//!
//! A user who got in from there is not made to wait for the failures of others behind the same address, until a login
//! as that user fails.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use smallvec::SmallVec;

use crate::clock::Moment;

/// When logins wait, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Failures from one address after which its logins wait.
    pub failures_max: u32,
    /// They wait for no longer than this.
    pub delay_max: Duration,
    /// Logins that wait at once, at most; of one address, a tenth of it.
    pub delayed_max: usize,
}

/// Half of the failures are forgotten after each such time.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// The first failure too many costs this; each further one twice as much.
const DELAY_FIRST: Duration = Duration::from_millis(100);
/// Addresses that are remembered at most.
const ADDRESSES_MAX: usize = 10_000;
/// Users that are remembered to have got in, for each address.
const WELCOME_MAX: usize = 8;
/// A user's name is told from others by so many bytes.
const NAME_BYTES: usize = 63;

/// The failures of every address.
#[derive(Debug, Default)]
pub struct Throttle {
    records: BTreeMap<IpAddr, Record>,
    delayed: usize,
}

#[derive(Debug)]
struct Record {
    failures: f64,
    at: Moment,
    /// Who got in from there, and has not failed since.
    welcome: SmallVec<[Box<[u8]>; 1]>,
    delayed: usize,
}

/// Whether a login may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// After waiting so long; [`Throttle::has_waited`] must be called then, or when it has left.
    After(Duration),
    /// Not at all: too many wait.
    Refused,
}

impl Throttle {
    /// Somebody wants to log in as `user`.
    pub fn arrives(&mut self, policy: &ThrottlePolicy, from: IpAddr, user: &str, now: Moment) -> Turn {
        let share = (policy.delayed_max / 10).max(1);
        let Some(record) = self.records.get_mut(&network(from)) else { return Turn::Now };
        // Rounded: three failures within a second are three.
        let too_many = record.failures_at(now) + 0.5 - f64::from(policy.failures_max);
        if too_many < 0.0 || record.welcome.iter().any(|known| **known == *name(user)) {
            return Turn::Now;
        }
        if record.delayed >= share || self.delayed >= policy.delayed_max {
            return Turn::Refused;
        }
        record.delayed += 1;
        self.delayed += 1;
        let doublings = too_many.min(30.0) as u32;
        Turn::After(DELAY_FIRST.saturating_mul(1 << doublings).min(policy.delay_max))
    }

    /// Somebody who had to wait has waited, or has left.
    pub fn has_waited(&mut self, from: IpAddr) {
        self.delayed = self.delayed.saturating_sub(1);
        if let Some(record) = self.records.get_mut(&network(from)) {
            record.delayed = record.delayed.saturating_sub(1);
        }
    }

    /// A login as `user` failed.
    pub fn fails(&mut self, from: IpAddr, user: &str, now: Moment) {
        let network = network(from);
        if !self.records.contains_key(&network) {
            self.make_room(now);
        }
        let record = self.records.entry(network).or_insert_with(|| Record {
            failures: 0.0,
            at: now,
            welcome: SmallVec::new(),
            delayed: 0,
        });
        record.failures = record.failures_at(now) + 1.0;
        record.at = now;
        record.welcome.retain(|known| **known != *name(user));
    }

    /// A login as `user` succeeded.
    pub fn succeeds(&mut self, from: IpAddr, user: &str) {
        // Where nothing failed, nothing need be remembered.
        let Some(record) = self.records.get_mut(&network(from)) else { return };
        if !record.welcome.iter().any(|known| **known == *name(user)) {
            if record.welcome.len() >= WELCOME_MAX {
                record.welcome.remove(0);
            }
            record.welcome.push(name(user).into());
        }
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets what has decayed, and if that does not suffice, the half with the fewest failures.
    fn make_room(&mut self, now: Moment) {
        if self.records.len() < ADDRESSES_MAX {
            return;
        }
        self.records.retain(|_, record| record.delayed > 0 || record.failures_at(now) >= 0.5);
        if self.records.len() < ADDRESSES_MAX {
            return;
        }
        let mut all: Vec<f64> = self.records.values().map(|record| record.failures_at(now)).collect();
        all.sort_unstable_by(f64::total_cmp);
        let middle = all.get(all.len() / 2).copied().unwrap_or_default();
        let mut surplus = self.records.len() / 2;
        self.records.retain(|_, record| {
            let goes = surplus > 0 && record.delayed == 0 && record.failures_at(now) <= middle;
            surplus -= usize::from(goes);
            !goes
        });
    }
}

impl Record {
    fn failures_at(&self, now: Moment) -> f64 {
        let half_lives = now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.failures * (-half_lives).exp2()
    }
}

/// What one party has of addresses: of IPv6 a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn name(user: &str) -> &[u8] {
    user.as_bytes().get(..NAME_BYTES).unwrap_or(user.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ThrottlePolicy =
        ThrottlePolicy { failures_max: 3, delay_max: Duration::from_secs(1), delayed_max: 20 };

    /// A play: `+u` a login as `u` that succeeds, `-u` one that fails, `?u` one that arrives, `!` one has waited,
    /// `~30` seconds pass, `@a` those who follow come from there. The turns of the arrivals, in milliseconds.
    fn play(script: &str) -> Vec<String> {
        let mut throttle = Throttle::default();
        let (mut now, mut from) = (Moment::from_nanos(1), IpAddr::from([10, 0, 0, 1]));
        let mut turns = Vec::new();
        for word in script.split_whitespace() {
            let (what, rest) = word.split_at(1);
            match what {
                "+" => throttle.succeeds(from, rest),
                "-" => throttle.fails(from, rest, now),
                "!" => throttle.has_waited(from),
                "~" => now = now + Duration::from_secs(rest.parse().unwrap()),
                "@" => from = rest.parse().unwrap(),
                _ => turns.push(match throttle.arrives(&POLICY, from, rest, now) {
                    Turn::Now => "now".to_owned(),
                    Turn::After(delay) => delay.as_millis().to_string(),
                    Turn::Refused => "refused".to_owned(),
                }),
            }
        }
        turns
    }

    #[test]
    fn turns() {
        for (script, turns) in [
            ("?u -u -u ?u", "now now"),
            ("-u -u -u ?u ! -u ?u ! -u ?u ! -u ?u ! -u ?u ! -u ?u", "100 200 400 800 1000 1000"),
            // Half of it is forgotten after half a minute, all of it in the end.
            ("-u -u -u -u -u -u ?u ! ~30 ?u ! ~10 ?u ~300 -u ?u", "800 100 now now"),
            // Others elsewhere do not wait; in one network of IPv6 they do.
            ("-u -u -u @10.0.0.2 ?u @::ffff:10.0.0.1 ?u", "now 100"),
            ("@2001:db8::1 -u -u -u @2001:db8::2 ?u @2001:db8:0:1::1 ?u", "100 now"),
            // Who got in does not wait for others' failures, until one fails in his name.
            ("-u -u -u +g ?g ?u -g ?g ! +g ?g", "now 100 200 now"),
            // A tenth of all may wait of one address.
            ("-u -u -u ?u ?u ?u ! ?u", "100 100 refused 100"),
        ] {
            assert_eq!(play(script).join(" "), turns, "{script}");
        }
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut throttle = Throttle::default();
        let now = Moment::from_nanos(1);
        let mut waiting = 0;
        for last in 0..30 {
            let from = IpAddr::from([10, 0, 0, last]);
            (0..3).for_each(|_| throttle.fails(from, "u", now));
            waiting += usize::from(throttle.arrives(&POLICY, from, "u", now) != Turn::Refused);
        }
        assert_eq!(waiting, POLICY.delayed_max);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_kept() {
        let mut throttle = Throttle::default();
        let now = Moment::from_nanos(1);
        let worst = IpAddr::from([9, 9, 9, 9]);
        (0..50).for_each(|_| throttle.fails(worst, "u", now));
        for number in 0..30_000_u32 {
            throttle.fails(IpAddr::from(number.to_be_bytes()), "u", now);
            assert!(throttle.len() <= ADDRESSES_MAX);
        }
        assert_eq!(throttle.arrives(&POLICY, worst, "u", now), Turn::After(POLICY.delay_max));
        for _ in 0..100 {
            for user in 0..100 {
                throttle.succeeds(worst, &format!("{user}{}", "x".repeat(1000)));
            }
        }
        let welcome = &throttle.records[&worst].welcome;
        assert!(welcome.len() <= WELCOME_MAX && welcome.iter().all(|name| name.len() <= NAME_BYTES));
    }
}
