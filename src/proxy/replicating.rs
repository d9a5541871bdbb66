//! The story of a replication connection: where to, a server of its own, passed on, end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::io::AsyncWriteExt as _;

use super::{
    app::App,
    arriving::shutting_down,
    listen::{ClusterDoor, Door},
    serve::last_words,
    settings::{pool_settings, server_credential},
};
use crate::{
    auth::secrets::Credential,
    client::{
        LoggedIn,
        registry::{Activity, Registered},
    },
    net::Peer,
    pool::{
        account::{Account, Names, PoolSettings},
        lease::CancelTarget,
        quota::Permit,
    },
    route::table::{NoRoute, ReadRoute, RoutingTable, Target, WriteRoute},
    server::{Approach, ConnectError, Connected, ServerLogin, connect},
    session::{
        replication::{Ended, Post},
        routes::Purpose,
    },
    wire::{
        error::{PgError, SqlState},
        message::{encode_backend_key, encode_parameter_status, encode_ready_for_query},
        startup::{BackendKey, Replication, StartupMessage},
    },
};

/// How long a replication connection waits for a member to connect to, where sessions would for ever.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Serves a client that has proved who it is and asks for a replication connection, to its end.
pub(super) async fn replicate(app: &Arc<App>, door: &Door, login: LoggedIn, kind: Replication) {
    let applicant = Applicant::of(&login);
    let admitted = match admit(app, door, &applicant, kind).await {
        Ok(admitted) => admitted,
        Err(error) => {
            app.events.login_failures.count(["admission", error.code.as_str()]);
            tracing::info!(
                client = %login.peer, user = login.user, database = login.database,
                sqlstate = error.code.as_str(), "replication connection not served: {}", error.message
            );
            return login.refuse(&error).await;
        }
    };
    let Admitted { connected, post, entry, permits } = admitted;
    let mut greeting = Vec::with_capacity(512);
    login.encode_authentication_ok(&mut greeting);
    for (name, value) in &connected.parameters {
        encode_parameter_status(&mut greeting, name.as_bytes(), value.as_bytes());
    }
    encode_backend_key(&mut greeting, &entry.key);
    encode_ready_for_query(&mut greeting, b'I');
    let LoggedIn { mut stream, peer, user, database, unread, .. } = login;
    if stream.write_all(&greeting).await.is_err() {
        return;
    }
    app.events.logins.count([]);
    let (member, pid) = (post.member().clone(), entry.key.pid);
    tracing::info!(client = %peer, user, database, pid, %member, ?kind, "replication connection begins");
    let since = app.clock.now();
    let relay = crate::session::replication::Replication::new(
        stream,
        connected.stream,
        entry,
        post,
        app.clock,
        &unread,
    );
    let (stream, ended) = relay.run().await;
    let seconds = app.clock.now().since(since).as_secs_f64();
    let how = match &ended {
        Ended::ByClient => "the client left".to_owned(),
        Ended::ByServer => "the server ended it".to_owned(),
        Ended::Garbled(why) => format!("cut off without an error: {why}"),
        Ended::WithError(error) => format!("cut off: {}", error.message),
    };
    tracing::info!(client = %peer, user, database, pid, %member, seconds, "replication connection ends: {how}");
    if let Ended::WithError(error) = ended {
        last_words(stream, &error).await;
    }
    drop(permits);
}

/// What is needed of a client that has proved who it is.
struct Applicant {
    user: String,
    database: String,
    credential: Credential,
    startup: StartupMessage,
    peer: Peer,
}

impl Applicant {
    fn of(login: &LoggedIn) -> Self {
        Self {
            user: login.user.clone(),
            database: login.database.clone(),
            credential: login.credential.clone(),
            startup: login.startup.clone(),
            peer: login.peer,
        }
    }
}

/// What a replication connection begins with.
struct Admitted {
    connected: Connected,
    post: Post,
    entry: Registered,
    permits: [Permit; 2],
}

async fn admit(
    app: &Arc<App>,
    door: &Door,
    login: &Applicant,
    kind: Replication,
) -> Result<Admitted, PgError> {
    let permits = permits(app)?;
    let config = app.config.load_full();
    let cluster = match kind {
        // It is connected to no database, and reads them all.
        Replication::Physical if config.keys.auth.databases_only => {
            let message = "only databases under [databases] may be asked for here (databases_only)";
            return Err(PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
                .detail("A physical replication connection reads every database."));
        }
        Replication::Physical => &door.listener.cluster,
        Replication::Logical if !config.may_ask_for(&login.database) => {
            let message = format!("database \"{}\" does not exist", login.database);
            return Err(PgError::fatal(SqlState::INVALID_CATALOG_NAME, message)
                .hint("Only databases under [databases] may be asked for here (databases_only)."));
        }
        Replication::Logical => config.cluster_of(&door.listener, &login.database),
    };
    let way = door.context_of(cluster, app)?;
    let account = account(app, way, login, kind);
    let settings = account.settings.load_full();
    let mut stopping = app.stopping.subscribe();
    let target = tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return Err(shutting_down()),
        target = target(way, way.wanted.of(&login.database), &settings) => target?,
    };
    let post = Post::new(way.context.router.clone(), &target, settings.leader_wait_timeout);
    let server = server_login(&account, &settings, login)?;
    let approach = server.approach.clone();
    let connected = open(app, &target, &post, &server, settings.connect_timeout).await?;
    let mut random = [0; BackendKey::OUR_SECRET];
    let secret = &mut random[..login.startup.protocol().secret_bytes()];
    let entry = getrandom::fill(secret)
        .ok()
        .and_then(|()| app.registry.register(account, login.peer.address(), app.clock.now(), secret))
        .ok_or_else(|| PgError::fatal(SqlState::INTERNAL_ERROR, "no random numbers for a cancel key"))?;
    entry.enter(Activity::Running, app.clock.now());
    entry.leased(&Arc::new(CancelTarget::unpooled(target.address, approach, connected.key.clone())));
    if *app.stopping.borrow() {
        return Err(shutting_down());
    }
    Ok(Admitted { connected, post, entry, permits })
}

/// A place among the clients and one among the replication connections.
fn permits(app: &App) -> Result<[Permit; 2], PgError> {
    let too_many = |message| PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, message);
    let client = app
        .connections
        .take()
        .ok_or_else(|| too_many("no more connections allowed (max_client_conn)".to_owned()))?;
    let max = app.config.load().limits().max_replication_connections;
    let replication = if max == 0 { None } else { app.replications.take() };
    let replication = replication.ok_or_else(|| {
        too_many(format!(
            "number of requested replication connections exceeds max_replication_connections (currently {max})"
        ))
    })?;
    Ok([client, replication])
}

/// Whose server it will be. No time limit of sessions holds for it: a stream has neither queries nor an end.
fn account(app: &App, way: &ClusterDoor, login: &Applicant, kind: Replication) -> Arc<Account> {
    let config = app.config.load();
    // What is declared for a database, a forced user above all, is for those who are connected to it. The name that
    // the others give their servers is libpq's.
    let asked = if kind == Replication::Physical { "" } else { &login.database };
    let mut on_server = config.server_login(asked, &login.user);
    if kind == Replication::Physical {
        on_server.database = "replication".to_owned();
    }
    let shown = || {
        // A client's own secret logs in as that client, and as nobody else.
        (on_server.user == login.user && login.credential != Credential::None)
            .then(|| login.credential.clone())
    };
    let credential = server_credential(&on_server).or_else(shown);
    let settings = PoolSettings {
        client_idle_timeout: None,
        idle_transaction_timeout: None,
        query_timeout: None,
        transaction_timeout: None,
        ..pool_settings(&config, &way.cluster, asked, &login.user)
    };
    let names = Names {
        cluster: &way.cluster,
        alias: asked,
        database: &on_server.database,
        login: &login.user,
        user: &on_server.user,
    };
    Arc::new(Account::new(names, settings, credential))
}

/// The member to connect to, waited for as a request would wait.
async fn target(way: &ClusterDoor, selection: usize, settings: &PoolSettings) -> Result<Target, PgError> {
    let (router, purpose) = (&way.context.router, way.context.purpose);
    let patience = match purpose {
        Purpose::Write | Purpose::Split => settings.leader_wait_timeout,
        Purpose::Read => settings.replica_wait_timeout,
    };
    let waiting = async {
        loop {
            let changed = router.changed();
            match choose(&router.load(), purpose, selection) {
                Err(why) if why.kind.may_pass() => changed.await,
                found => return found,
            }
        }
    };
    let found = tokio::time::timeout(patience.unwrap_or(WAIT_MAX).min(WAIT_MAX), waiting).await;
    found.unwrap_or_else(|_| choose(&router.load(), purpose, selection)).map_err(|why| {
        let message = match purpose {
            _ if !why.kind.may_pass() => "this is a standby cluster",
            Purpose::Write | Purpose::Split => "no leader could be used in time",
            Purpose::Read => "no replica qualifies",
        };
        PgError::fatal(why.kind.sqlstate(), message).detail(why.sentence)
    })
}

fn choose(table: &RoutingTable, purpose: Purpose, selection: usize) -> Result<Target, NoRoute> {
    match (purpose, &table.write, &table.fallback) {
        (Purpose::Write | Purpose::Split, WriteRoute::Open(target), _) => Ok(target.clone()),
        (Purpose::Write | Purpose::Split, WriteRoute::Wait(why), _) => Err(why.clone()),
        (Purpose::Read, _, fallback) => {
            // Connections are few and last: which replica is first makes no difference, the table's number varies it.
            let choice = table.choice(selection);
            let turn = table.seq.checked_rem(choice.len() as u64).and_then(|turn| usize::try_from(turn).ok());
            let target = turn.and_then(|turn| table.read.get(choice.get(turn)?.place));
            match (target, fallback) {
                (Some(target), _) | (None, ReadRoute::Leader(target)) => Ok(target.clone()),
                (None, ReadRoute::Wait(why) | ReadRoute::Error(why)) => Err(why.clone()),
            }
        }
    }
}

/// As whom and with what: everything that the client asked for, as it asked for it.
fn server_login(
    account: &Account,
    settings: &PoolSettings,
    login: &Applicant,
) -> Result<ServerLogin, PgError> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            PgError::fatal(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a start-up parameter is not valid UTF-8")
        })
    };
    let mut parameters = Vec::new();
    for (name, value) in login.startup.parameters() {
        if name != b"user" && name != b"database" {
            parameters.push((text(name)?, text(value)?));
        }
    }
    let client: Option<SocketAddr> = login.peer.address();
    Ok(ServerLogin {
        user: account.user.to_string(),
        database: account.database.to_string(),
        parameters,
        credential: account.credential.load_full().map_or(Credential::None, |known| (*known).clone()),
        protocol: settings.protocol,
        approach: Approach {
            preface: settings.approach.preface.of_client(client),
            ..settings.approach.clone()
        },
    })
}

async fn open(
    app: &App,
    target: &Target,
    post: &Post,
    login: &ServerLogin,
    limit: Duration,
) -> Result<Connected, PgError> {
    let dial = app.pools.dial();
    let opened = tokio::select! {
        biased;
        why = post.over() => return Err(PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "the leader changed").detail(why)),
        opened = tokio::time::timeout(limit, connect(&*dial, &target.address, login)) => opened,
    };
    let opened =
        opened.unwrap_or_else(|_| Err(ConnectError::Unreachable(std::io::ErrorKind::TimedOut.into())));
    opened.map_err(|error| error.to_client(target.member.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::Address,
        route::table::{NoRouteKind, Serving},
    };

    fn target(member: &str, term: u64) -> Target {
        Target { member: member.into(), address: Address::tcp(member, 5432), term }
    }

    /// Where replication connections go by this table: of the write route, and of the read route.
    fn check(table: &RoutingTable, expected: [Option<&str>; 2]) {
        let chosen = [Purpose::Write, Purpose::Read].map(|purpose| {
            choose(table, purpose, 0).ok().map(|target| format!("{} {}", target.member, target.term))
        });
        assert_eq!(chosen, expected.map(|chosen| chosen.map(str::to_owned)));
    }

    #[test]
    fn where_they_go() {
        let none = || NoRoute { kind: NoRouteKind::NoReplica, sentence: String::new() };
        let mut table = RoutingTable::unknown();
        check(&table, [None, None]);
        table.write = WriteRoute::Open(target("a", 7));
        check(&table, [Some("a 7"), None]);
        table.fallback = ReadRoute::Leader(target("a", 7));
        check(&table, [Some("a 7"), Some("a 7")]);
        table.fallback = ReadRoute::Error(none());
        table.read = vec![target("b", 0)];
        table.choices = vec![vec![Serving { place: 0, share: 1 }]];
        table.write = WriteRoute::Wait(none());
        check(&table, [None, Some("b 0")]);
    }
}
