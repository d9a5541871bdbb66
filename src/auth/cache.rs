//! What servers told us of users (their secrets by `auth_query`, their memberships), for as long as it may be taken for
//! current, and beyond that for the time when no server can be asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::secrets::{Typical, UserSecret};
use crate::clock::Moment;

/// Something that servers tell of users.
pub trait Told: PartialEq {
    /// What an unknown user must seem to have, if this says something about that.
    fn typical(&self) -> Option<Typical> {
        None
    }
}

impl Told for UserSecret {
    fn typical(&self) -> Option<Typical> {
        Typical::of(self)
    }
}

/// What servers told of users, each with the moment at which it was asked for.
#[derive(Debug)]
pub struct Cache<T> {
    policy: CachePolicy,
    known: BTreeMap<Box<str>, (Arc<T>, Moment)>,
    /// What there is not: apart from the others, so that made-up names push nobody out.
    unknown: BTreeMap<Box<str>, Moment>,
    typical: Typical,
}

/// How long and how much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// An answer is taken for current for as long after it was asked for.
    pub age_max: Duration,
    /// Users that are remembered at most; and again as many names that do not exist.
    pub users_max: usize,
}

/// No name is taken to be unknown for longer than this, so that a user who was created just now can log in.
const UNKNOWN_AGE_MAX: Duration = Duration::from_secs(1);

/// What is remembered of a user; `None` in it: there is no such user, or no such thing is true of him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall<T> {
    /// It was asked for lately enough.
    Current(Option<Arc<T>>),
    /// It was asked for too long ago to be relied upon, unless nobody can be asked.
    Old(Option<Arc<T>>),
    /// Nothing.
    Nothing,
}

impl<T: Told> Cache<T> {
    /// Knows nothing yet.
    pub fn new(policy: CachePolicy) -> Self {
        Self { policy, known: BTreeMap::new(), unknown: BTreeMap::new(), typical: Typical::default() }
    }

    /// Goes by another policy from now on.
    pub const fn set_policy(&mut self, policy: CachePolicy) {
        self.policy = policy;
    }

    /// What the last secret was like that a server told: what an unknown user must seem to have.
    pub const fn typical(&self) -> Typical {
        self.typical
    }

    /// What is remembered of a user.
    pub fn recall(&self, user: &str, now: Moment) -> Recall<T> {
        if let Some((told, asked_at)) = self.known.get(user) {
            let told = Some(told.clone());
            let current = now.since(*asked_at) < self.policy.age_max;
            return if current { Recall::Current(told) } else { Recall::Old(told) };
        }
        match self.unknown.get(user) {
            Some(asked_at) if now.since(*asked_at) < self.policy.age_max.min(UNKNOWN_AGE_MAX) => {
                Recall::Current(None)
            }
            // Not for an outage either: it costs a stranger nothing to be unknown.
            _ => Recall::Nothing,
        }
    }

    /// A server that was asked at `asked_at` told this of a user, or that there is no such user. Returns what is
    /// to be used: a password that is still the same keeps what was derived from it.
    pub fn learn(&mut self, user: &str, told: Option<T>, asked_at: Moment) -> Option<Arc<T>> {
        let Some(told) = told else {
            self.known.remove(user);
            make_room(&mut self.unknown, user, self.policy.users_max, |asked_at| *asked_at);
            self.unknown.insert(user.into(), asked_at);
            return None;
        };
        self.unknown.remove(user);
        self.typical = told.typical().unwrap_or(self.typical);
        make_room(&mut self.known, user, self.policy.users_max, |(_, asked_at)| *asked_at);
        let kept = match self.known.remove(user) {
            Some((known, _)) if *known == told => known,
            _ => Arc::new(told),
        };
        self.known.insert(user.into(), (kept.clone(), asked_at));
        Some(kept)
    }

    /// How many users are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// Where a map is full and `user` not in it, the eighth that was asked for longest ago goes.
fn make_room<T>(map: &mut BTreeMap<Box<str>, T>, user: &str, max: usize, asked_at: impl Fn(&T) -> Moment) {
    if map.len() < max || map.contains_key(user) {
        return;
    }
    let mut ages: Vec<Moment> = map.values().map(&asked_at).collect();
    ages.sort_unstable();
    if let Some(oldest) = ages.get(ages.len() / 8) {
        map.retain(|_, entry| asked_at(entry) > *oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CachePolicy = CachePolicy { age_max: Duration::from_secs(10), users_max: 16 };

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn show(recall: &Recall<UserSecret>) -> String {
        let secret = |secret: &Option<Arc<UserSecret>>| match secret.as_deref() {
            None => "no such user".to_owned(),
            Some(UserSecret::Password(password)) => String::from_utf8(password.expose().to_vec()).unwrap(),
            Some(other) => format!("{other:?}"),
        };
        match recall {
            Recall::Current(known) => format!("current {}", secret(known)),
            Recall::Old(known) => format!("old {}", secret(known)),
            Recall::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn what_is_learnt_is_remembered_and_ages() {
        let mut cache = Cache::<UserSecret>::new(POLICY);
        cache.learn("known", Some(UserSecret::parse("a")), at(0));
        cache.learn("unknown", None, at(0));
        cache.learn("dropped", Some(UserSecret::parse("b")), at(0));
        cache.learn("dropped", None, at(500));
        cache.learn("created", None, at(0));
        cache.learn("created", Some(UserSecret::parse("c")), at(500));
        for (user, now, expected) in [
            ("known", 0, "current a"),
            ("known", 9_999, "current a"),
            ("known", 10_000, "old a"),
            ("known", 1_000_000_000, "old a"),
            ("unknown", 999, "current no such user"),
            ("unknown", 1_000, "nothing"),
            ("dropped", 1_499, "current no such user"),
            ("dropped", 1_500, "nothing"),
            ("created", 10_499, "current c"),
            ("never asked", 0, "nothing"),
        ] {
            assert_eq!(show(&cache.recall(user, at(now))), expected, "{user} at {now}");
        }
        cache.set_policy(CachePolicy { age_max: Duration::ZERO, ..POLICY });
        assert_eq!(show(&cache.recall("known", at(0))), "old a");
        assert_eq!(show(&cache.recall("unknown", at(0))), "nothing");
    }

    #[test]
    fn a_password_that_is_the_same_keeps_what_was_derived_from_it() {
        let mut cache = Cache::<UserSecret>::new(POLICY);
        let first = cache.learn("u", Some(UserSecret::parse("same")), at(0)).unwrap();
        let second = cache.learn("u", Some(UserSecret::parse("same")), at(1)).unwrap();
        let third = cache.learn("u", Some(UserSecret::parse("other")), at(2)).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
    }

    #[test]
    fn it_is_bounded_and_made_up_names_push_nobody_out() {
        let mut cache = Cache::<UserSecret>::new(POLICY);
        for number in 0..100 {
            cache.learn(&format!("user {number}"), Some(UserSecret::parse("x")), at(number));
            assert!(cache.len() <= POLICY.users_max);
        }
        for number in 0..1000 {
            cache.learn(&format!("nobody {number}"), None, at(number));
            assert!(cache.unknown.len() <= POLICY.users_max);
        }
        assert_eq!(show(&cache.recall("user 99", at(100))), "current x");
        assert_eq!(show(&cache.recall("user 0", at(100))), "nothing");
    }

    #[test]
    fn an_unknown_user_seems_to_have_what_the_last_one_had() {
        let mut cache = Cache::<UserSecret>::new(POLICY);
        assert_eq!(cache.typical(), Typical::default());
        let stretch = crate::auth::scram::Stretch {
            salt: b"salt".as_slice().into(),
            iterations: std::num::NonZeroU32::new(1234).unwrap(),
        };
        let verifier = crate::auth::scram::ScramVerifier::derive(b"x", stretch).to_string();
        cache.learn("u", Some(UserSecret::parse(&verifier)), at(0));
        cache.learn("v", Some(UserSecret::NoPassword), at(0));
        assert_eq!(cache.typical().iterations.get(), 1234);
    }
}
