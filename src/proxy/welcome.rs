//! What a client is told at its login: the settings of a server, as if it were alone with it.
//!
//! The first client with certain start-up settings gets a server for a moment, which says what it makes of them (and
//! whether the database exists). Later ones are answered from memory, as long as there is a server of theirs and a new one
//! has said so lately; and during an outage from whatever is known.

use std::{sync::Arc, time::Duration};

use super::{app::App, footing::Footing};
use crate::{
    pool::{
        account::PoolMode,
        flavours::FlavourHeld,
        lease::{Finish, Refusal, Reported},
        pool::PoolKind,
        tether::Tether,
    },
    session::{
        acquire::{Granted, Needs, Start},
        context::Context,
        routes::{NoWay, Patience, Purpose, Tenant, Way},
    },
    wire::{
        error::{PgError, Severity, SqlState},
        message::encode_parameter_status,
        parameters::{Own, Parameters, TRACKED, tracked},
        state::Carried,
    },
};

mod heard;
mod start_up;

pub(super) use heard::Welcomes;
use heard::{Key, Origin};
use start_up::ApplicationName;
pub(super) use start_up::StartupSettings;

/// The place of `application_name` among the settings that are tracked.
const NAME: usize = 0;

/// How long a login waits for what a new server says, where it is known what others were told.
const ANEW_MAX: Duration = Duration::from_secs(1);

impl Welcome {
    /// ParameterStatus for each setting: the client's own value where it has one, else the server's.
    pub(super) fn encode(&self, footing: Footing, out: &mut Vec<u8>) {
        for (name, value) in self.reported.iter() {
            let own = tracked(name).and_then(|place| self.parameters.get(place));
            let value = footing.value(name).unwrap_or_else(|| own.map_or(value.as_str(), |own| own));
            encode_parameter_status(out, name.as_bytes(), value.as_bytes());
        }
    }

    /// With the client's name for itself.
    fn named(mut self, name: &ApplicationName) -> Self {
        let version = self.reported.iter().find(|(name, _)| name == "server_version");
        let name = name.as_kept_by(version.map_or("", |(_, version)| version));
        if self.parameters.get(NAME).map(|known| &**known) != Some(&*name) {
            Arc::make_mut(&mut self.parameters).set(TRACKED[NAME], &name);
        }
        self
    }
}

/// What a client is told.
#[derive(Clone)]
pub(super) struct Welcome {
    /// Every setting that a server reports.
    reported: Reported,
    /// The tracked ones, with the client's own values.
    pub(super) parameters: Arc<Parameters>,
    /// Which of them those are.
    pub(super) own: Own,
}

/// Who logs in, and where.
#[derive(Clone, Copy)]
struct Applicant<'a> {
    app: &'a App,
    context: &'a Arc<Context>,
    selection: usize,
    tenant: &'a Arc<Tenant>,
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
    let StartupSettings { tracked, name, others } = settings;
    let flavour = app.pools.flavours().hold(&others).ok_or_else(|| {
        PgError::fatal(
            SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            "too many different start-up settings are in use",
        )
        .hint("Settings that PostgreSQL does not report (as with options=-c …) are best the same for all clients, or set after the login.")
    })?;
    let applicant = Applicant { app, context, selection, tenant };
    let key = Key { origin: Origin::of(account, flavour.number(), footing.kind()), tracked, name };
    applicant.ask_anew(&key).await?;
    let known = app.welcomes.known(&key);
    let welcome = match known {
        Some(known) => known,
        None if is_outage(context, applicant.way().err().map(|no_way| no_way.patience))
            && let Some(reported) = app.welcomes.guess(account, &flavour, &others) =>
        {
            // Nothing that is remembered: it is only what is known of servers in general.
            return Ok((assumed(reported, &key), flavour));
        }
        None => {
            let (learnt, met) = applicant.learn(&key).await?;
            if met == Met::Otherwise {
                return Ok((learnt.named(&key.name), flavour));
            }
            app.welcomes.remember(&key, learnt)
        }
    };
    Ok((welcome, flavour))
}

/// Whether there is no server to ask, for now.
fn is_outage(context: &Context, no_way: Option<Patience>) -> bool {
    // Whoever will not be served is told so at once.
    context.purpose != Purpose::Read && no_way.is_some_and(|patience| patience != Patience::None)
}

/// What a server would probably say. What the client has not asked for it has at the start of its first server, which may
/// differ from what others were told: other start-up settings, another user.
fn assumed(reported: Reported, key: &Key) -> Welcome {
    Welcome { reported, parameters: Arc::new(key.wanted()), own: key.own() }.named(&key.name)
}

/// Whether a server refuses logins as this user to this database, whoever asks.
fn refuses_account(error: &PgError) -> bool {
    let code = error.code;
    code.as_str().starts_with("28")
        || [
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        ]
        .contains(&code)
}

impl Applicant<'_> {
    /// Where its requests would go now. Replicas take turns, and this is one: a login that asks nobody must not take any, or
    /// clients that send one request each would all meet the same replica of two.
    fn way(self) -> Result<Way, NoWay> {
        self.tenant.way(self.context.purpose, self.selection, &self.context.router, &self.context.pools)
    }

    /// Has a new server say how things are, where nobody has heard that lately; what keeps it from saying so is no reason
    /// not to go by what others were told, unless such logins are refused now.
    async fn ask_anew(self, key: &Key) -> Result<(), PgError> {
        let Self { app, context, tenant, .. } = self;
        let now = app.clock.now();
        let Some(is_recent) = app.welcomes.is_recent(&key.origin, now) else { return Ok(()) };
        let table = context.router.load();
        let has_servers = app.pools.has_servers(&tenant.account, table.members.keys());
        if is_recent && has_servers {
            return Ok(());
        }
        let Ok(way) = self.way() else { return Ok(()) };
        let refused = if has_servers {
            let renewal = way.pool.renew(context.worker.index, key.origin.flavour());
            match tokio::time::timeout(ANEW_MAX, renewal).await {
                Ok(Err(Refusal::Error(error))) => Some((*error).clone()),
                Ok(Ok(()) | Err(Refusal::Rerouted)) | Err(_) => None,
            }
        } else {
            let nothing = Arc::default();
            match tokio::time::timeout(ANEW_MAX, self.lease(&key.origin, &nothing)).await {
                Ok(Ok(granted)) => {
                    granted.lease.finish(Finish::Settled, app.clock.now());
                    None
                }
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            }
        };
        match refused {
            Some(error) if refuses_account(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// A server for a moment.
    async fn lease(self, origin: &Origin, wanted: &Arc<Parameters>) -> Result<Granted, PgError> {
        let Self { context, selection, tenant, .. } = self;
        let needs = Needs {
            context,
            tenant,
            purpose: context.purpose,
            selection,
            avoid: None,
            tether: &Arc::new(Tether::default()),
            last_lease: 0,
            parameters: wanted,
            own: Own::ALL,
            state: &Carried::NOTHING,
            flavour: origin.flavour(),
            goal: None,
            mode: PoolMode::Transaction,
        };
        let request = needs.request();
        let granted = request.acquire(Start::Route, Duration::ZERO).await;
        granted.map_err(|error| PgError { severity: Severity::Fatal, ..error })
    }

    /// Asks a server.
    async fn learn(self, key: &Key) -> Result<(Welcome, Met), PgError> {
        let wanted = Arc::new(key.wanted());
        let mut granted = self.lease(&key.origin, &wanted).await?;
        let as_expected = granted.read_only == (key.origin.kind() == PoolKind::Fallback);
        let met = if as_expected { Met::AsExpected } else { Met::Otherwise };
        // What it makes of the client's own settings; beside them the server may have those of the client before.
        let (reported, parameters) = match granted.lease.server() {
            Some(server) => {
                let conn = &server.conn;
                let parameters = (*conn.start).clone().with_those_of(&wanted, &conn.parameters);
                (server.reported.clone(), parameters)
            }
            None => (Arc::from([]), Parameters::default()),
        };
        granted.lease.finish(Finish::Settled, self.app.clock.now());
        Ok((Welcome { reported, parameters: Arc::new(parameters), own: key.own() }, met))
    }
}

/// Whether a server was of the kind that was to be expected when its client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    AsExpected,
    Otherwise,
}
