//! What is remembered of what servers have said of themselves, and for how long it holds.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use super::{Welcome, start_up::ApplicationName};
use crate::{
    clock::Moment,
    pool::{account::Account, flavours::FlavourHeld, lease::Reported, pool::PoolKind, slots::Flavour},
    server::conn::{IN_HOT_STANDBY, READ_ONLY},
    wire::parameters::{Own, Parameters},
};

/// Welcomes that are remembered; when there are more, all are forgotten and learnt anew.
const REMEMBERED_MAX: usize = 10_000;

/// The number of no start-up settings.
const NO_SETTINGS: Flavour = 0;

/// What a new server has said holds for as long; after that the next login has another one opened.
const RECENT: Duration = Duration::from_secs(60);

/// For whom a server is opened, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    cluster: Arc<str>,
    database: Arc<str>,
    user: Arc<str>,
    flavour: Flavour,
    kind: PoolKind,
}

impl Origin {
    pub(super) fn of(account: &Account, flavour: Flavour, kind: PoolKind) -> Self {
        let Account { cluster, database, user, .. } = account;
        Self { cluster: cluster.clone(), database: database.clone(), user: user.clone(), flavour, kind }
    }

    pub(super) const fn flavour(&self) -> Flavour {
        self.flavour
    }

    pub(super) const fn kind(&self) -> PoolKind {
        self.kind
    }
}

/// What a client is told depends on this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    pub(super) tracked: Vec<(String, String)>,
    pub(super) name: ApplicationName,
}

impl Key {
    /// The settings that the client asks for, as it wrote them.
    pub(super) fn wanted(&self) -> Parameters {
        let tracked = self.tracked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Parameters::from_reported(tracked)
    }

    /// Which settings are the client's own: its name always is, if only an empty one.
    pub(super) fn own(&self) -> Own {
        let mut wanted = self.wanted();
        wanted.set("application_name", "");
        Own::with_value_in(&wanted)
    }

    fn nameless(&self) -> Self {
        Self { name: ApplicationName::default(), ..self.clone() }
    }
}

/// What a server has said of itself that was opened last.
#[derive(Clone, Debug)]
struct Heard {
    reported: Reported,
    /// When that server's login began.
    at: Moment,
    /// What was said before need not be so any more.
    doubted_at: Moment,
}

/// What is known of servers, for those who log in.
#[derive(Default)]
pub(in crate::proxy) struct Welcomes {
    known: DashMap<Key, Welcome>,
    heard: DashMap<Origin, Heard>,
    /// The newest of any, by cluster, of those without start-up settings.
    newest: DashMap<Arc<str>, Reported>,
}

impl Welcomes {
    /// A server that was opened with these start-up settings said this of itself, at a login that began at this moment. What
    /// is the same as before is kept once.
    pub(in crate::proxy) fn learn(
        &self,
        account: &Account,
        (flavour, kind): (Flavour, PoolKind),
        mut reported: Reported,
        begun: Moment,
    ) -> Reported {
        let origin = Origin::of(account, flavour, kind);
        forget_role(&mut reported);
        if let Some(mut heard) = self.heard.get_mut(&origin) {
            if heard.reported != reported {
                heard.reported = reported;
            }
            heard.at = heard.at.max(begun);
            reported = heard.reported.clone();
        } else {
            if self.heard.len() >= REMEMBERED_MAX {
                self.heard.clear();
            }
            let heard = Heard { reported: reported.clone(), at: begun, doubted_at: Moment::ZERO };
            self.heard.insert(origin, heard);
        }
        if (flavour, kind) == (NO_SETTINGS, PoolKind::Normal) {
            self.newest.insert(account.cluster.clone(), reported.clone());
        }
        reported
    }

    /// What servers of a cluster have said so far need not be so any more, if user and database are meant.
    pub(in crate::proxy) fn doubt(&self, cluster: &str, are_meant: &dyn Fn(&str, &str) -> bool, now: Moment) {
        for mut heard in self.heard.iter_mut() {
            let origin = heard.key();
            if &*origin.cluster == cluster && are_meant(&origin.user, &origin.database) {
                heard.doubted_at = now;
            }
        }
    }

    /// Whether somebody has heard lately what servers say; `None`: nobody ever has.
    pub(super) fn is_recent(&self, origin: &Origin, now: Moment) -> Option<bool> {
        let heard = self.heard.get(origin)?;
        Some(now.since(heard.at) < RECENT && heard.at > heard.doubted_at)
    }

    /// What a client is told, by what servers say now.
    pub(super) fn known(&self, key: &Key) -> Option<Welcome> {
        if let Some(known) = self.known.get(key).map(|known| known.clone()) {
            return Some(self.up_to_date(key, known));
        }
        let nameless = self.known.get(&key.nameless()).map(|known| known.clone())?;
        Some(self.remember(key, nameless))
    }

    /// A server has said what a client is told, but for its name.
    pub(super) fn remember(&self, key: &Key, learnt: Welcome) -> Welcome {
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.entry(key.nameless()).or_insert_with(|| learnt.clone());
        let welcome = learnt.named(&key.name);
        self.known.insert(key.clone(), welcome.clone());
        self.up_to_date(key, welcome)
    }

    fn up_to_date(&self, key: &Key, known: Welcome) -> Welcome {
        let heard = self.heard.get(&key.origin).map(|heard| heard.reported.clone());
        let Some(reported) = heard.filter(|heard| !Arc::ptr_eq(heard, &known.reported)) else { return known };
        let mut said = Parameters::from_reported(reported.iter().map(|(name, value)| (&**name, &**value)));
        if key.origin.kind == PoolKind::Fallback {
            said = said.without(READ_ONLY);
        }
        // What it has made of the client's own settings does not depend on the others.
        let said = said.with_those_of(&key.wanted(), &known.parameters);
        let mut now = Welcome { reported, parameters: Arc::new(said), own: known.own }.named(&key.name);
        if now.parameters == known.parameters {
            now.parameters = known.parameters;
        }
        self.known.insert(key.clone(), now.clone());
        now
    }

    /// What a server would say to a client that starts with these settings, as far as others have heard it.
    pub(super) fn guess(
        &self,
        account: &Account,
        flavour: &FlavourHeld,
        settings: &[(String, String)],
    ) -> Option<Reported> {
        let of = |flavour| {
            let origin = Origin::of(account, flavour, PoolKind::Normal);
            self.heard.get(&origin).map(|heard| heard.reported.clone())
        };
        if let Some(known) = of(flavour.number()) {
            return Some(known);
        }
        let own = of(NO_SETTINGS);
        let others = || self.newest.get(&account.cluster).map(|known| known.clone());
        let is_own = own.is_some();
        let reported = own.or_else(others)?;
        Some(adapted(&reported, (!is_own).then_some(&account.user), settings))
    }
}

/// What a server has said to a client without start-up settings, as it would be for one with these; of `user`, if that is
/// another. What cannot be known is left out.
fn adapted(reported: &Reported, user: Option<&Arc<str>>, settings: &[(String, String)]) -> Reported {
    let chooses = |names: &[&str]| {
        settings.iter().any(|(name, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    };
    let told = |(name, value): &(String, String)| {
        let chosen = settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = match (name.as_str(), user) {
            _ if chosen.is_some() => chosen.map(|(_, value)| value.clone()),
            ("is_superuser", Some(_)) => None,
            ("is_superuser", None) if chooses(&["role", "session_authorization", "options"]) => None,
            ("search_path", _) if chooses(&["options"]) => None,
            ("session_authorization", Some(user)) => Some(user.to_string()),
            _ => Some(value.clone()),
        };
        Some((name.clone(), value?))
    };
    reported.iter().filter_map(told).collect()
}

/// Whether it is a replica is no matter of the account's: which server has spoken last decides it.
fn forget_role(reported: &mut Reported) {
    if let Some(place) = reported.iter().position(|(name, value)| name == IN_HOT_STANDBY && value != "off") {
        Arc::make_mut(reported)[place].1 = "off".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_chosen_is_left_out() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let said = [
            ("is_superuser", "on"),
            ("search_path", "public"),
            ("session_authorization", "a"),
            ("TimeZone", "UTC"),
        ];
        let [superuser, path, session, zone] = said;
        let told: Reported = pairs(&said).into();
        for (user, settings, expected) in [
            (None, &[][..], &said[..]),
            (None, &[("work_mem", "1MB")], &said),
            (None, &[("Search_Path", "x, y")], &[superuser, ("search_path", "x, y"), session, zone]),
            (None, &[("role", "b")], &[path, session, zone]),
            (None, &[("options", "-f h")], &[session, zone]),
            (Some("b"), &[], &[path, ("session_authorization", "b"), zone]),
        ] {
            let user = user.map(Arc::from);
            assert_eq!(*adapted(&told, user.as_ref(), &pairs(settings)), *pairs(expected), "{settings:?}");
        }
    }
}
