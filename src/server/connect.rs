//! Opening a connection: dial, log in, ready for the first query; and cancelling the query of another.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    channel::Channel,
    login::{LoginStep, ServerLoginMachine, Session},
    query::Told,
    secure::{self, Approach, Attempt},
};
use crate::{
    auth::{scram::NONCE_BYTES, secrets::Credential},
    net::{Address, Dial, Inbox, Stream},
    wire::{
        error::{PgError, ServerError, SqlState},
        startup::{BackendKey, Protocol},
    },
};

/// The longest message that a server may send during login, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;

/// As whom to log in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLogin {
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// Further startup parameters: settings, and `options`.
    pub parameters: Vec<(String, String)>,
    /// What proves to be that user.
    pub credential: Credential,
    /// The newest version of the protocol to ask for; the server may know only older ones.
    pub protocol: Protocol,
    /// How the server is reached.
    pub approach: Approach,
}

/// A connection that is ready for its first query.
pub struct Connected {
    /// Its bytes; nothing was read beyond ReadyForQuery that was not understood.
    pub stream: Stream,
    /// The settings that the server reported, in its order, each once.
    pub parameters: Vec<(String, String)>,
    /// What cancels its queries.
    pub key: BackendKey,
}

/// Why there is no connection, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Unreachable(io::Error),
    /// The server said no.
    #[error("{0}")]
    Refused(ServerError),
    /// The peer does not speak PostgreSQL's protocol as it should.
    #[error("{0}")]
    Protocol(String),
    /// What we have does not fit what the server asks for.
    #[error("{0}")]
    Credential(String),
    /// TLS is wanted and cannot be had, or the server is not the one it should be.
    #[error("{0}")]
    Tls(String),
    /// The server is in recovery, and was asked for as the leader.
    #[error("it says that it is in recovery")]
    Standby,
}

impl ConnectError {
    /// What a client is told whose request needed this connection to `member`.
    pub fn to_client(&self, member: &str) -> PgError {
        match self {
            Self::Unreachable(error) => PgError::fatal(
                SqlState::UNABLE_TO_CONNECT,
                format!("could not connect to server \"{member}\": {error}"),
            ),
            // The server's own words, since the client may know what to do about them.
            Self::Refused(error) => {
                let mut error = PgError::from(error.clone());
                let said = format!("Server \"{member}\" refused the login.");
                error.detail = Some(match error.detail {
                    Some(detail) => format!("{detail} {said}").into(),
                    None => said.into(),
                });
                error
            }
            Self::Standby => PgError::fatal(
                SqlState::CANNOT_CONNECT_NOW,
                format!("server \"{member}\", which should lead, says that it is in recovery"),
            ),
            Self::Protocol(what) => PgError::fatal(
                SqlState::PROTOCOL_VIOLATION,
                format!("could not log in to server \"{member}\": {what}"),
            ),
            Self::Tls(what) => PgError::fatal(
                SqlState::UNABLE_TO_CONNECT,
                format!("could not connect to server \"{member}\" with TLS: {what}"),
            ),
            Self::Credential(what) => PgError::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!("could not log in to server \"{member}\": {what}"),
            ),
        }
    }

    /// Whose fault it is, in a word, to count by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Protocol(_) => "protocol",
            Self::Credential(_) => "credential",
            Self::Standby => "standby",
            Self::Tls(_) => "tls",
        }
    }

    /// Whether the member may be down, so that the cluster should look.
    pub fn is_suspicious(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Standby => true,
            Self::Refused(error) => matches!(
                error.code,
                SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW
            ),
            Self::Protocol(_) | Self::Credential(_) | Self::Tls(_) => false,
        }
    }

    /// Whether the same attempt may succeed soon without anybody changing anything: the member is starting,
    /// stopping, unreachable or full. The opposite waits for `server_login_retry`.
    pub fn is_transient(&self) -> bool {
        self.is_suspicious()
            || matches!(self, Self::Refused(error) if error.code == SqlState::TOO_MANY_CONNECTIONS)
    }
}

/// Opens a connection and logs in; where `sslmode` is content with TLS or without, a second time the other way if
/// the first does not succeed. The caller bounds the time; dropping the future closes the connection.
pub async fn connect(
    dial: &dyn Dial,
    address: &Address,
    login: &ServerLogin,
) -> Result<Connected, ConnectError> {
    let first = Attempt::first(address, &login.approach);
    let error = match attempt(dial, address, login, first).await {
        Ok(connected) => return Ok(connected),
        Err(error) => error,
    };
    let Some(second) = first.second(address, &login.approach, &error) else { return Err(error) };
    match attempt(dial, address, login, second).await {
        Ok(connected) => Ok(connected),
        // Neither way: the server's own words on the first tell most.
        Err(_) if matches!(error, ConnectError::Refused(_)) => Err(error),
        Err(other) => Err(other),
    }
}

async fn attempt(
    dial: &dyn Dial,
    address: &Address,
    login: &ServerLogin,
    attempt: Attempt,
) -> Result<Connected, ConnectError> {
    let (stream, channel) = secure::dial(dial, address, &login.approach, attempt).await?;
    log_in(stream, channel, login).await
}

async fn log_in(
    mut stream: Stream,
    channel: Channel,
    login: &ServerLogin,
) -> Result<Connected, ConnectError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| ConnectError::Unreachable(io::Error::other(error)))?;
    let (mut machine, mut send) = ServerLoginMachine::start(login, channel, nonce);
    let mut inbox = Inbox::default();
    loop {
        if !send.is_empty() {
            stream.write_all(&send).await.map_err(ConnectError::Unreachable)?;
        }
        let (tag, body) = inbox.frame(&mut stream, MESSAGE_MAX).await.map_err(|error| match error {
            crate::net::FrameError::Io(error) => ConnectError::Unreachable(error),
            length => ConnectError::Protocol(length.to_string()),
        })?;
        (machine, send) = match machine.exchange(tag, body) {
            LoginStep::Continue { next, send } => (next, send),
            LoginStep::Derive(derivation) => tokio::task::spawn_blocking(move || derivation.run())
                .await
                .map_err(|error| ConnectError::Unreachable(io::Error::other(error)))?,
            LoginStep::Ready(session) => return settle(stream, inbox, session).await,
            LoginStep::Failed(error) => return Err(error),
        };
    }
}

/// What may stand behind the first ReadyForQuery: a setting that changed just then, a notice, the end.
async fn settle(mut stream: Stream, mut inbox: Inbox, session: Session) -> Result<Connected, ConnectError> {
    let Session { parameters, key } = session;
    let broken = |error: io::Error| ConnectError::Unreachable(error);
    let mut told = Told { parameters, ..Told::default() };
    super::query::drain_asynchronous(&mut stream, &mut inbox, &mut told).await.map_err(broken)?;
    Ok(Connected { stream, parameters: told.parameters, key })
}

/// Asks a server to cancel what the process with this key does, and waits until the server has closed the connection
/// that asked: the signal has then been sent, so that a query sent later is not hit. The caller bounds the time.
///
/// # Errors
/// The server cannot be reached, or not as `to` has it: then nothing was said.
pub async fn cancel(dial: &dyn Dial, address: &Address, to: &Approach, key: &BackendKey) -> io::Result<()> {
    let first = Attempt::first(address, to);
    let mut stream = match secure::dial(dial, address, to, first).await {
        Ok((stream, _)) => stream,
        Err(error) => match first.second(address, to, &error) {
            Some(second) => secure::dial(dial, address, to, second).await.map_err(io::Error::other)?.0,
            None => return Err(io::Error::other(error)),
        },
    };
    let mut request = Vec::new();
    key.encode_cancel(&mut request);
    stream.write_all(&request).await?;
    let mut answer = [0; 64];
    loop {
        match stream.read(&mut answer).await {
            Ok(0) => return Ok(()),
            Ok(_) => {} // a server that cannot cancel may say why; it closes all the same
            // PostgreSQL closes without saying so inside TLS.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
