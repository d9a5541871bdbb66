//! The story of a connection: hello, login, welcome, requests, end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    app::{App, TENANTS_MAX, TenantKey},
    arriving::{arrive, shutting_down},
    footing::Footing,
    listen::Door,
    replicating::replicate,
    welcome::{StartupSettings, Welcome, welcome},
};
use crate::{
    auth::secrets::Credential,
    client::{LoggedIn, registry::Registered},
    clock::Moment,
    config::Listener,
    net::{Peer, Stream},
    pool::{account::CommitFate, commits::SessionId, quota::Permit},
    session::{
        outbox::Outbox,
        session::{Ended, Newcomer, Session},
    },
    wire::{
        error::{PgError, SqlState},
        message::{encode_backend_key, encode_parameter_status, encode_ready_for_query},
        startup::{BackendKey, Protocol},
    },
};

/// What a client is told at its start by which it can ask on another connection what became of its last commit.
const SESSION: &[u8] = b"pgsteer.session";

/// How long a client that is told why it is cut off may take to read it.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How much a client may send ahead of its welcome while it is looked whether it is still there.
const AHEAD_BYTES_MAX: usize = 8 * 1024;

/// Serves one connection, from its first byte to its last.
pub(super) async fn serve(app: Arc<App>, door: Arc<Door>, stream: Stream, peer: Peer) {
    door.context.worker.clients.fetch_add(1, Ordering::Relaxed);
    // The login is boxed, so that its memory is gone when the client is in. Replication happens inside it. (`if let` would keep
    // room for a second session as long as there is one.)
    let Some(Entered { mut session, peer, permit }) = Box::pin(enter(&app, &door, stream, peer)).await else {
        door.context.worker.clients.fetch_sub(1, Ordering::Relaxed);
        return;
    };
    let since = app.clock.now();
    let ended = session.run().await;
    log_end(&app, &door.listener, (peer, since), &session, &ended);
    Box::pin(farewell(session, ended)).await;
    drop(permit);
    door.context.worker.clients.fetch_sub(1, Ordering::Relaxed);
}

/// A client that is in.
struct Entered {
    session: Session,
    /// Where it is: what a proxy has said, if one did.
    peer: Peer,
    permit: Permit,
}

/// Hello, login and welcome; `None` if the connection was for something else, or is not let in.
async fn enter(app: &Arc<App>, door: &Door, stream: Stream, peer: Peer) -> Option<Entered> {
    let mut logged_in = arrive(app, door, stream, peer).await?;
    if let Ok(Some(kind)) = logged_in.startup.replication() {
        Box::pin(replicate(app, door, logged_in, kind)).await;
        return None;
    }
    let peer = logged_in.peer;
    let applicant = Applicant::of(&logged_in);
    let LoggedIn { stream, unread, .. } = &mut logged_in;
    let given_up = given_up(app, stream, unread);
    match admit(app, door, applicant, peer, given_up).await {
        Ok((newcomer, permit)) => {
            app.events.logins.count([]);
            greet(logged_in, newcomer, permit).await
        }
        Err(error) => {
            app.events.login_failures.count(["admission", error.code.as_str()]);
            tracing::info!(
                client = %peer, user = logged_in.user, database = logged_in.database,
                sqlstate = error.code.as_str(), "client not served: {}", error.message
            );
            logged_in.refuse(&error).await;
            None
        }
    }
}

/// What is needed of a client that has proved who it is.
struct Applicant {
    user: String,
    database: String,
    credential: Credential,
    settings: Result<StartupSettings, PgError>,
    protocol: Protocol,
    /// What tells it that its login succeeded.
    ok: Vec<u8>,
}

impl Applicant {
    fn of(login: &LoggedIn) -> Self {
        let mut ok = Vec::with_capacity(512);
        login.encode_authentication_ok(&mut ok);
        Self {
            user: login.user.clone(),
            database: login.database.clone(),
            credential: login.credential.clone(),
            settings: StartupSettings::of(login),
            protocol: login.startup.protocol(),
            ok,
        }
    }
}

/// What a client that is in starts with.
struct Admitted {
    newcomer: Box<dyn FnOnce(Stream, Vec<u8>) -> Newcomer + Send>,
    greeting: Vec<u8>,
}

/// Why a client that waits for its welcome need not be welcomed any more: pgsteer stops, or it has left. What it sends
/// meanwhile is kept; with more than [`AHEAD_BYTES_MAX`] it is taken for one that stays.
async fn given_up(app: &App, stream: &mut Stream, unread: &mut Vec<u8>) -> PgError {
    let mut stopping = app.stopping.subscribe();
    let leaves = async {
        while unread.len() < AHEAD_BYTES_MAX {
            if let Ok(0) | Err(_) = stream.read_buf(unread).await {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => shutting_down(),
        () = leaves => PgError::fatal(SqlState::CONNECTION_FAILURE, "it has left before a server could be asked"),
    }
}

/// What comes of `login`, unless it is given up before.
async fn unless<T>(
    given_up: impl Future<Output = PgError>,
    login: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    tokio::select! {
        biased;
        outcome = login => outcome,
        error = given_up => Err(error),
    }
}

/// Whether there is room for this client, and what it is told. Nobody waits for that longer than until it is `given_up`.
async fn admit(
    app: &Arc<App>,
    door: &Door,
    login: Applicant,
    peer: Peer,
    given_up: impl Future<Output = PgError>,
) -> Result<(Admitted, Permit), PgError> {
    let permit = app.connections.take().ok_or_else(|| {
        PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, "no more connections allowed (max_client_conn)")
    })?;
    let config = app.config.load_full();
    if !config.may_ask_for(&login.database) {
        let message = format!("database \"{}\" does not exist", login.database);
        return Err(PgError::fatal(SqlState::INVALID_CATALOG_NAME, message)
            .hint("Only databases under [databases] may be asked for here (databases_only)."));
    }
    let context = door.context_of(config.cluster_of(&door.listener, &login.database), app)?;
    let key = TenantKey::of(&config, &context.cluster, &login.database, &login.user);
    let tenant = app.tenant(&config, key.clone(), login.credential).map_err(|_| {
        PgError::fatal(
            SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            "too many different users and databases are in use",
        )
        .detail(format!(
            "At most {TENANTS_MAX} pairs of a user and a database can have clients at the same time."
        ))
    })?;
    let selection = context.wanted.of(&login.database);
    let context = context.context.clone();
    let settings = login.settings?;
    let footing = Footing::of(&context, selection);
    let welcomed = welcome(app, (&context, selection), footing, &tenant, settings);
    let (welcome, flavour) = match unless(given_up, welcomed).await {
        Ok(welcome) => welcome,
        Err(error) => {
            drop(tenant);
            app.forget(&key);
            return Err(error);
        }
    };
    let mut random = [0; BackendKey::OUR_SECRET];
    let secret = &mut random[..login.protocol.secret_bytes()];
    let entry = getrandom::fill(secret)
        .ok()
        .and_then(|()| app.registry.register(tenant.account.clone(), peer.address(), app.clock.now(), secret))
        .ok_or_else(|| PgError::fatal(SqlState::INTERNAL_ERROR, "no random numbers for a cancel key"))?;
    if *app.stopping.borrow() {
        return Err(shutting_down());
    }
    let session = follow(&entry)?;
    let (pid, mut greeting) = (entry.key.pid, login.ok);
    welcome.encode(Footing::of(&context, selection), &mut greeting);
    if let Some(session) = session {
        encode_parameter_status(&mut greeting, SESSION, session.to_string().as_bytes());
    }
    encode_backend_key(&mut greeting, &entry.key);
    encode_ready_for_query(&mut greeting, b'I');
    let Welcome { parameters, own, .. } = welcome;
    let newcomer = Box::new(move |stream, unread| Newcomer {
        stream,
        context,
        tenant,
        entry,
        parameters,
        own,
        flavour,
        selection,
        unread,
    });
    if config.keys.log.connections {
        tracing::info!(client = %peer, user = login.user, database = login.database, pid, "client connected");
    }
    Ok((Admitted { newcomer, greeting }, permit))
}

/// From here on the client's transactions are followed, if it may ask what became of them; by what it can do so later.
fn follow(entry: &Registered) -> Result<Option<SessionId>, PgError> {
    if entry.account.settings.load().commit_fate == CommitFate::Unknown {
        return Ok(None);
    }
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce)
        .map_err(|_| PgError::fatal(SqlState::INTERNAL_ERROR, "no random number for a session"))?;
    Ok(Some(entry.follow(u64::from_ne_bytes(nonce))))
}

async fn greet(mut login: LoggedIn, admitted: Admitted, permit: Permit) -> Option<Entered> {
    login.stream.write_all(&admitted.greeting).await.ok()?;
    let newcomer = (admitted.newcomer)(login.stream, login.unread);
    Some(Entered { session: Session::new(newcomer), peer: login.peer, permit })
}

fn log_end(app: &App, listener: &Listener, (peer, since): (Peer, Moment), session: &Session, ended: &Ended) {
    let (user, database) = session.names();
    let (pid, queries) = session.account_of();
    let seconds = app.clock.now().since(since).as_secs_f64();
    match ended {
        Ended::ByClient if app.config.load().keys.log.connections => {
            tracing::info!(client = %peer, user, database, pid, queries, seconds, "client disconnected");
        }
        Ended::ByClient => {}
        Ended::WithWords(_) => tracing::info!(
            client = %peer, user, database, pid, queries, seconds, "client cut off, as its server has said"
        ),
        Ended::Garbled(why) => tracing::info!(
            client = %peer, user, database, pid, queries, seconds, "client cut off without an error: {why}"
        ),
        Ended::WithError(error) => tracing::info!(
            client = %peer, user, database, pid, queries, seconds, listener = %listener.address,
            sqlstate = error.code.as_str(), "client cut off: {}", error.message
        ),
    }
}

/// Tells a client why its session has ended, and gives it a moment to read that: a socket that is closed with bytes
/// unread resets the connection, and the last message would be lost.
async fn farewell(session: Session, ended: Ended) {
    let (mut stream, outbox) = session.into_stream();
    let last_words = match ended {
        Ended::ByClient | Ended::Garbled(_) => return,
        Ended::WithError(error) => {
            let mut message = Vec::new();
            error.encode(&mut message);
            message
        }
        Ended::WithWords(words) => words.into(),
    };
    let say = async {
        say(&mut stream, outbox, &last_words).await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it was read makes no difference any more.
    let _ = tokio::time::timeout(FAREWELL_MAX, say).await;
}

/// The same for a client that nothing else waits for.
pub(super) async fn last_words(mut stream: Stream, error: &PgError) {
    let mut message = Vec::new();
    error.encode(&mut message);
    let say = async {
        say(&mut stream, Outbox::default(), &message).await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL_MAX, say).await;
}

async fn say(stream: &mut Stream, mut outbox: Outbox, last_words: &[u8]) -> std::io::Result<()> {
    std::future::poll_fn(|cx| outbox.poll_flush(stream, cx)).await?;
    stream.write_all(last_words).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what such a function returns.
    const fn bytes_of<F>(_: fn(Arc<App>, Arc<Door>, Stream, Peer) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_client_is_little_more_than_its_session() {
        let (served, session) = (bytes_of(serve), size_of::<Session>());
        assert!(served < session + 320, "{served} bytes for a session of {session}");
    }
}
