//! What a client is told at its login: the settings of a server, as if it were alone with it.
//!
//! The first client with certain start-up settings gets a server for a moment, which says what it makes of them (and
//! whether the database exists). Later ones are answered from memory, and during an outage from whatever is known.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use super::{app::App, footing::Footing};
use crate::{
    client::LoggedIn,
    pool::{
        account::{Account, PoolMode},
        flavours::FlavourHeld,
        lease::{Finish, Reported},
        slots::Flavour,
        tether::Tether,
    },
    session::{
        acquire::{Needs, Start},
        context::Context,
        routes::{Patience, Purpose, Tenant},
    },
    wire::{
        error::{PgError, SqlState},
        message::encode_parameter_status,
        options,
        parameters::{Parameters, TRACKED, tracked},
        state::Carried,
    },
};

/// Welcomes that are remembered; when there are more, all are forgotten and learnt anew.
const REMEMBERED_MAX: usize = 10_000;

impl Welcome {
    /// ParameterStatus for each setting: the client's own value where it has one, else the server's.
    pub(super) fn encode(&self, footing: Footing, out: &mut Vec<u8>) {
        for (name, value) in self.reported.iter() {
            let own = tracked(name).and_then(|place| self.parameters.get(place));
            let value = footing.value(name).unwrap_or_else(|| own.map_or(value.as_str(), |own| own));
            encode_parameter_status(out, name.as_bytes(), value.as_bytes());
        }
    }
}

/// The number of no start-up settings.
const NO_SETTINGS: Flavour = 0;

/// What a client asks for at its start, sorted out.
pub(super) struct StartupSettings {
    /// Settings that follow the client, as it wrote them.
    tracked: Vec<(String, String)>,
    /// Its name for itself.
    application_name: Option<String>,
    /// Settings with which its servers must be opened.
    others: Vec<(String, String)>,
}

/// What a client is told.
#[derive(Clone)]
pub(super) struct Welcome {
    /// Every setting that a server reports.
    pub(super) reported: Reported,
    /// The tracked ones, with the client's own values.
    pub(super) parameters: Arc<Parameters>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cluster: Arc<str>,
    database: Arc<str>,
    user: Arc<str>,
    flavour: Flavour,
    tracked: Vec<(String, String)>,
    application_name: Option<String>,
    footing: Footing,
}

/// What is known of servers, for those who log in.
#[derive(Default)]
pub(super) struct Welcomes {
    known: DashMap<Key, Welcome>,
    /// What servers reported last that were opened for them.
    reported: DashMap<Origin, Reported>,
    /// The newest of any, by cluster, of those without start-up settings.
    newest: DashMap<Arc<str>, Reported>,
}

/// Cluster, database, user and start-up settings.
type Origin = (Arc<str>, Arc<str>, Arc<str>, Flavour);

fn origin(account: &Account, flavour: Flavour) -> Origin {
    (account.cluster.clone(), account.database.clone(), account.user.clone(), flavour)
}

impl Welcomes {
    /// A server that was opened with these start-up settings said this of itself. What is the same as before is kept once.
    pub(super) fn learn(&self, account: &Account, flavour: Flavour, reported: Reported) -> Reported {
        let key = origin(account, flavour);
        if let Some(known) = self.reported.get(&key).filter(|known| **known == reported) {
            return known.clone();
        }
        if flavour == NO_SETTINGS {
            self.newest.insert(account.cluster.clone(), reported.clone());
        }
        if self.reported.len() >= REMEMBERED_MAX {
            self.reported.clear();
        }
        self.reported.insert(key, reported.clone());
        reported
    }

    /// What a server would say to a client that starts with these settings, as far as others have heard it.
    fn guess(
        &self,
        account: &Account,
        flavour: &FlavourHeld,
        settings: &[(String, String)],
    ) -> Option<Reported> {
        let of = |flavour| self.reported.get(&origin(account, flavour)).map(|known| known.clone());
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

impl StartupSettings {
    /// Sorts out what a client asks for.
    pub(super) fn of(login: &LoggedIn) -> Result<Self, PgError> {
        let mut settings = Self { tracked: Vec::new(), application_name: None, others: Vec::new() };
        // First, as PostgreSQL has it: a parameter of its own counts more.
        if let Some(options) = login.startup.get("options") {
            settings.add_options(text(options)?);
        }
        for (name, value) in login.startup.parameters() {
            let name = text(name)?;
            if name.eq_ignore_ascii_case("application_name") {
                // In whatever encoding it is written: of what is not ASCII nothing is kept.
                settings.application_name = Some(printable(value));
                continue;
            }
            let value = text(value)?;
            match name.as_str() {
                "user" | "database" | "replication" | "options" => {}
                _ => settings.add(name, value),
            }
        }
        settings.others.sort();
        settings.tracked.sort();
        Ok(settings)
    }

    /// What is more than settings goes to the server as it is, which understands or refuses it.
    fn add_options(&mut self, text: String) {
        match options::settings(&text) {
            Some(settings) => settings.into_iter().for_each(|(name, value)| self.add(name, value)),
            None => self.others.push(("options".to_owned(), text)),
        }
    }

    fn add(&mut self, name: String, value: String) {
        if name.eq_ignore_ascii_case("application_name") {
            self.application_name = Some(printable(value.as_bytes()));
        } else if let Some(place) = tracked(&name)
            && TRACKED[place] != "search_path"
        {
            self.tracked.retain(|(known, _)| known != TRACKED[place]);
            self.tracked.push((TRACKED[place].to_owned(), value));
        } else {
            self.others.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            self.others.push((name, value));
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, PgError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        PgError::fatal(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a start-up parameter is not valid UTF-8")
    })
}

/// As PostgreSQL keeps an application_name: printable ASCII, at most 63 bytes.
fn printable(name: &[u8]) -> String {
    name.iter()
        .copied()
        .take(63)
        .map(|byte| if (32..127).contains(&byte) { char::from(byte) } else { '?' })
        .collect()
}

/// What to tell a client, learnt from a server where it is not known; and its start-up settings' number.
pub(super) async fn welcome(
    app: &App,
    (context, selection): (&Arc<Context>, usize),
    footing: Footing,
    tenant: &Arc<Tenant>,
    settings: StartupSettings,
) -> Result<(Welcome, FlavourHeld), PgError> {
    let account = &tenant.account;
    let StartupSettings { tracked, application_name, others } = settings;
    let flavour = app.pools.flavours().hold(&others).ok_or_else(|| {
        PgError::fatal(
            SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            "too many different start-up settings are in use",
        )
        .hint("Settings that PostgreSQL does not report (as with options=-c …) are best the same for all clients, or set after the login.")
    })?;
    let key = Key {
        footing,
        cluster: account.cluster.clone(),
        database: account.database.clone(),
        user: account.user.clone(),
        flavour: flavour.number(),
        tracked,
        application_name,
    };
    if let Some(known) = app.welcomes.known.get(&key) {
        return Ok((known.clone(), flavour));
    }
    let nameless = Key { application_name: None, ..key.clone() };
    let known = app.welcomes.known.get(&nameless).map(|known| known.clone());
    let base = match known {
        Some(known) => known,
        None if is_outage((context, selection), tenant)
            && let Some(reported) = app.welcomes.guess(account, &flavour, &others) =>
        {
            // Nothing that is remembered: it is only what is known of servers in general.
            return Ok((named(&key, assumed(reported, &key)), flavour));
        }
        None => {
            let (learnt, met) = learn(app, (context, selection), tenant, &nameless).await?;
            if met == Met::Otherwise {
                return Ok((named(&key, learnt), flavour));
            }
            remember(app, nameless, &learnt);
            learnt
        }
    };
    let welcome = named(&key, base);
    remember(app, key, &welcome);
    Ok((welcome, flavour))
}

fn remember(app: &App, key: Key, welcome: &Welcome) {
    if app.welcomes.known.len() >= REMEMBERED_MAX {
        app.welcomes.known.clear();
    }
    app.welcomes.known.insert(key, welcome.clone());
}

/// With the client's name for itself.
fn named(key: &Key, mut welcome: Welcome) -> Welcome {
    let name = key.application_name.as_deref().unwrap_or_default();
    Arc::make_mut(&mut welcome.parameters).set("application_name", name);
    welcome
}

/// Whether there is no server to ask, for now.
fn is_outage((context, selection): (&Context, usize), tenant: &Tenant) -> bool {
    let way = tenant.way(context.purpose, selection, &context.router, &context.pools);
    let asks = way.is_ok() || context.purpose == Purpose::Read;
    // Whoever will not be served is told so at once.
    let refused = way.is_err_and(|no_way| no_way.patience == Patience::None);
    !(asks || refused)
}

/// What a server would probably say. What the client has not asked for it has at the start of its first server, which may
/// differ from what others were told: other start-up settings, another user.
fn assumed(reported: Reported, key: &Key) -> Welcome {
    let tracked = key.tracked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Welcome { reported, parameters: Arc::new(Parameters::from_reported(tracked)) }
}

/// Asks a server.
async fn learn(
    app: &App,
    (context, selection): (&Arc<Context>, usize),
    tenant: &Arc<Tenant>,
    key: &Key,
) -> Result<(Welcome, Met), PgError> {
    let wanted = key.tracked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let wanted = Arc::new(Parameters::from_reported(wanted));
    let needs = Needs {
        context,
        tenant,
        purpose: context.purpose,
        selection,
        avoid: None,
        tether: &Arc::new(Tether::default()),
        pid: 0,
        parameters: &wanted,
        state: &Carried::NOTHING,
        flavour: key.flavour,
        goal: None,
        mode: PoolMode::Transaction,
    };
    let request = needs.request();
    let mut granted = request
        .acquire(Start::Route, Duration::ZERO)
        .await
        .map_err(|error| PgError { severity: crate::wire::error::Severity::Fatal, ..error })?;
    let met = if granted.read_only == (key.footing == Footing::ReadOnLeader) {
        Met::AsExpected
    } else {
        Met::Otherwise
    };
    // What it makes of the client's own settings; beside them the server may have those of the client before.
    let (reported, parameters) = match granted.lease.server() {
        Some(server) => {
            let conn = &server.conn;
            (server.reported.clone(), (*conn.start).clone().with_those_of(&wanted, &conn.parameters))
        }
        None => (Arc::from([]), Parameters::default()),
    };
    granted.lease.finish(Finish::Settled, app.clock.now());
    Ok((Welcome { reported, parameters: Arc::new(parameters) }, met))
}

/// Whether a server was of the kind that was to be expected when its client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    AsExpected,
    Otherwise,
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
