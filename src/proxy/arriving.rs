//! The story of a connection up to its login: an introduction by a proxy, hello, who it is.

use std::{future::poll_fn, io, sync::Arc, task::Poll, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{app::App, listen::Door, lookups::ListenerLookup};
use crate::{
    client::{self, Arrival, Authenticator, Caller, Greeting, Hello, Introduction, LoggedIn, LoginError},
    config::{Listener, ProxyProtocol},
    net::{Peer, Stream},
    session::cancel,
    wire::error::{PgError, SqlState},
};

/// How long a connection may take to say what it wants when there is no place for it, so that it can be told.
const TURNED_AWAY_MAX: Duration = Duration::from_secs(1);
/// How long the system may take to send a few bytes on a connection that nothing was sent on so far.
const SENDING_MAX: Duration = Duration::from_millis(100);

/// Hello and login; `None` if the connection was for something else, or is not let in.
pub(super) async fn arrive(app: &Arc<App>, door: &Door, stream: Stream, peer: Peer) -> Option<LoggedIn> {
    let Some(_arrival) = app.arrivals.take() else {
        turn_away(app, door, stream, peer).await;
        return None;
    };
    let limit = app.config.load().limits().client_login_timeout;
    let began = app.clock.now();
    let arrival = match tokio::time::timeout(limit, hello(app, door, Caller::new(stream, peer))).await {
        Ok(arrival) => arrival?,
        Err(_) => {
            // As PostgreSQL: who has not said what he wants is told nothing.
            app.events.login_failures.count(["timeout", "none"]);
            tracing::info!(client = %peer, "no login within client_login_timeout");
            return None;
        }
    };
    if *app.stopping.borrow() {
        app.events.login_failures.count(["admission", SqlState::CANNOT_CONNECT_NOW.as_str()]);
        arrival.refuse(&shutting_down()).await;
        return None;
    }
    let left = limit.saturating_sub(app.clock.now().since(began));
    log_in(app, door, arrival, left).await
}

/// What a client hears that comes too late. libpq then tries the next of its hosts (57P03).
pub(super) fn shutting_down() -> PgError {
    PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "pgsteer is shutting down")
}

/// There is no place for another that logs in: a cancel request is carried out all the same, a client is told.
async fn turn_away(app: &Arc<App>, door: &Door, stream: Stream, peer: Peer) {
    app.events.login_failures.count(["too_many", SqlState::TOO_MANY_CONNECTIONS.as_str()]);
    let error = PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
        .detail("Too many connections are logging in (max_client_conn and 100 more).");
    let mut caller = Caller::new(stream, peer);
    // Those who are listened to are not endlessly many either.
    let place = app.turned_away.take();
    let speaks = match &place {
        Some(_place) => begins(&mut caller).await,
        None => false,
    };
    let fate = if speaks {
        match tokio::time::timeout(TURNED_AWAY_MAX, hello(app, door, caller)).await {
            Ok(Some(arrival)) => {
                arrival.refuse(&error).await;
                "turned away"
            }
            Ok(None) | Err(_) => "closed",
        }
    } else {
        tell_unheard(caller.stream, &error).await.map_or("closed", |()| "turned away unheard")
    };
    tracing::warn!(client = %peer, "too many connections are logging in: one was {fate}");
}

/// Whether a client begins to say something within reasonable time.
async fn begins(caller: &mut Caller) -> bool {
    let mut said = [0; 256];
    match tokio::time::timeout(TURNED_AWAY_MAX, caller.stream.read(&mut said)).await {
        Ok(Ok(length)) if length > 0 => {
            caller.unread.extend_from_slice(&said[..length]);
            true
        }
        _ => false,
    }
}

/// Tells a client an error before it has asked for anything, as PostgreSQL does that cannot start a process for it: if it
/// speaks without TLS it understands.
async fn tell_unheard(mut stream: Stream, error: &PgError) -> io::Result<()> {
    let mut message = Vec::new();
    error.encode(&mut message);
    let say = async {
        stream.write_all(&message).await?;
        // What it has sent is taken: a socket that is closed with bytes unread takes back what it has sent.
        let mut ignored = [0; 1024];
        poll_fn(|cx| Poll::Ready(stream.poll_receive(cx, &mut ignored).is_ready())).await;
        stream.shutdown().await
    };
    tokio::time::timeout(SENDING_MAX, say).await?
}

/// What a connection wants; `None` if that is no session.
async fn hello(app: &Arc<App>, door: &Door, caller: Caller) -> Option<Arrival> {
    let peer = caller.peer;
    let introduced = match introduction(&door.listener, peer) {
        None => Ok(caller),
        Some(wanted) => caller.introduced(wanted).await,
    };
    let caller = match introduced {
        Ok(caller) => caller,
        Err(error) => {
            app.events.login_failures.count(["introduction", "none"]);
            tracing::info!(client = %peer, listener = %door.listener.address, "closed: {error}");
            return None;
        }
    };
    let peer = caller.peer;
    let tls = app.config.load().client_tls(&door.listener);
    match Hello::read(caller, tls.as_deref()).await {
        Ok(Greeting::Startup(arrival)) => Some(arrival),
        Ok(Greeting::Cancel { mut stream, key }) => {
            let outcome = cancel::cancel(&key, &app.registry, &*app.pools.dial()).await;
            app.events.cancels.count(["client", outcome.word()]);
            // Closed only now: the client may take the end of this connection for the request's arrival. By TLS's own word where
            // it speaks that: without it libpq's PQcancelBlocking takes the end for a failure.
            let _ = stream.shutdown().await;
            None
        }
        Err(error) => {
            app.events.login_failures.count(["left", "none"]);
            tracing::debug!(client = %peer, "no login: {error}");
            None
        }
    }
}

/// Whether this peer is a proxy that says whom it forwards.
fn introduction(listener: &Listener, peer: Peer) -> Option<Introduction> {
    let wanted = match listener.proxy_protocol {
        ProxyProtocol::Off => return None,
        ProxyProtocol::Optional => Introduction::Optional,
        ProxyProtocol::Required => Introduction::Required,
    };
    let believed = peer.address().is_none_or(|address| {
        listener.proxy_protocol_from.iter().any(|network| network.contains(address.ip()))
    });
    believed.then_some(wanted)
}

async fn log_in(app: &Arc<App>, door: &Door, arrival: Arrival, left: Duration) -> Option<LoggedIn> {
    let peer = arrival.peer;
    let lookup = ListenerLookup::of(app, &door.listener);
    let authenticator = Authenticator { lookup, ..Authenticator::clone(&app.authenticator.load()) };
    match client::login(arrival, &authenticator, left).await {
        Ok(logged_in) => Some(logged_in),
        Err(LoginError::Gone(error)) => {
            app.events.login_failures.count(["left", "none"]);
            tracing::debug!(client = %peer, "left during login: {error}");
            None
        }
        Err(LoginError::Refused { error, user, reason }) => {
            let stage = if error.code == SqlState::QUERY_CANCELED { "timeout" } else { "authentication" };
            app.events.login_failures.count([stage, error.code.as_str()]);
            tracing::info!(
                client = %peer, user, sqlstate = error.code.as_str(),
                "login refused: {}{}{}", error.message,
                if reason.is_some() { ": " } else { "" }, reason.unwrap_or_default()
            );
            None
        }
    }
}
