//! Who a client is: the shell around [`Gate`].

use std::{io, sync::Arc};

use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

use super::{
    hello::Arrival,
    lookup::{Age, Found, Lookup, Need, listed, nobody},
    peer::by_peer,
};
use crate::{
    auth::{
        AuthType, Failure, Step, Transport,
        gate::{Admission, Applicant, Gate, Opening},
        mock::Mock,
        scram::NONCE_BYTES,
        secrets::{Credential, Secrets},
    },
    net::{FrameError, Inbox, Peer, Stream},
    wire::{
        error::{PgError, SqlState},
        message::Authentication,
        startup::StartupMessage,
    },
};

/// How clients are asked who they are.
#[derive(Clone)]
pub struct Authenticator {
    /// The method.
    pub auth_type: AuthType,
    /// Where their secrets come from.
    pub secrets: Arc<dyn Secrets>,
    /// Where those come from that are not there.
    pub lookup: Option<Arc<dyn Lookup>>,
    /// What unknown users seem to have.
    pub mock: Mock,
}

impl Authenticator {
    async fn find(&self, names: &Names, need: Need) -> Result<Found, PgError> {
        match (listed(&*self.secrets, &names.user), &self.lookup) {
            (Some(found), _) => Ok(found),
            (None, Some(lookup)) => lookup.find(&names.user, &names.database, need).await,
            (None, None) => Ok(nobody(&*self.secrets)),
        }
    }
}

/// A client that is who it says. It has not been told yet, so that everything up to the first ReadyForQuery can go
/// out at once.
pub struct LoggedIn {
    /// Its connection.
    pub stream: Stream,
    /// What it asked for.
    pub startup: StartupMessage,
    /// Who it is.
    pub user: String,
    /// Which database it wants; the user's name where it did not say.
    pub database: String,
    /// What logs in to servers in its name.
    pub credential: Credential,
    /// What came behind the login's last message, usually nothing.
    pub unread: Vec<u8>,
    /// What must go out before AuthenticationOk.
    pending_reply: Vec<u8>,
}

impl LoggedIn {
    /// Appends what tells the client that it is in: the method's last message, if it has one, and
    /// AuthenticationOk. ParameterStatus, BackendKeyData and ReadyForQuery follow.
    pub fn encode_authentication_ok(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pending_reply);
        Authentication::Ok.encode(out);
    }

    /// Tells the client, instead, why it cannot be served, and closes.
    pub async fn refuse(self, error: &PgError) {
        tell_and_close(self.stream, &self.pending_reply, error).await;
    }
}

/// Why a client was not let in. It has been told what it may hear, and the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It went away.
    #[error(transparent)]
    Gone(#[from] io::Error),
    /// It was refused.
    #[error("{error}")]
    Refused {
        /// What it was told.
        error: PgError,
        /// Who it said it was, where it said so.
        user: Option<String>,
        /// What it was not told, for the log.
        reason: Option<&'static str>,
    },
}

/// Finds out whether a client is who it says. The caller bounds the time; memory is bounded.
pub async fn login(arrival: Arrival, authenticator: &Authenticator) -> Result<LoggedIn, LoginError> {
    let Arrival { mut stream, peer, startup, unread, transport } = arrival;
    let mut inbox = Inbox::new(unread);
    let mut told = Vec::new();
    startup.encode_negotiation(&mut told);
    let outcome = match Names::of(&startup, transport) {
        Ok(names) => match admit((&mut stream, peer), &mut inbox, &mut told, &names, authenticator).await {
            Ok(admission) => Ok((names, admission)),
            Err(refusal) => Err((Some(names.user), refusal)),
        },
        Err(error) => Err((None, Refusal::Told { error, reason: None })),
    };
    match outcome {
        Ok((Names { user, database, .. }, admission)) => {
            told.extend_from_slice(&admission.reply);
            let credential = admission.credential;
            let unread = inbox.into_unread();
            Ok(LoggedIn { stream, startup, user, database, credential, unread, pending_reply: told })
        }
        Err((_, Refusal::Gone(error))) => Err(LoginError::Gone(error)),
        Err((user, Refusal::Told { error, reason })) => {
            Box::pin(tell_and_close(stream, &told, &error)).await;
            Err(LoginError::Refused { error, user, reason })
        }
    }
}

/// Who, where to, and over what.
struct Names {
    user: String,
    database: String,
    transport: Transport,
}

impl Names {
    fn of(startup: &StartupMessage, transport: Transport) -> Result<Self, PgError> {
        let text = |name| match startup.get(name).map(str::from_utf8) {
            None | Some(Ok("")) => Ok(None),
            Some(Ok(text)) => Ok(Some(text.to_owned())),
            Some(Err(_)) => Err(PgError::fatal(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\" in startup parameter \"{name}\""),
            )),
        };
        let user = text("user")?.ok_or_else(|| {
            let message = "no PostgreSQL user name specified in startup packet";
            PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
        })?;
        if wants_replication(startup) {
            let message = "replication connections cannot be pooled";
            let hint = "Connect to the server itself.";
            return Err(PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, message).hint(hint));
        }
        Ok(Self { database: text("database")?.unwrap_or_else(|| user.clone()), user, transport })
    }
}

/// Whether the client wants to be a standby (`replication` set to anything but a false boolean).
fn wants_replication(startup: &StartupMessage) -> bool {
    let value = startup.get("replication").unwrap_or(b"false").to_ascii_lowercase();
    !matches!(&*value, b"false" | b"off" | b"no" | b"0" | b"f" | b"n")
}

pub(super) enum Refusal {
    Gone(io::Error),
    Told { error: PgError, reason: Option<&'static str> },
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// Asks for proof. What is in `told` goes out before the first question, or else stays there.
async fn admit(
    (stream, peer): (&mut Stream, Peer),
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
    names: &Names,
    authenticator: &Authenticator,
) -> Result<Admission, Refusal> {
    if authenticator.auth_type == AuthType::Peer {
        by_peer(peer, &names.user).await?;
    }
    let found = authenticator.find(names, Need::Recent).await.map_err(unknowable)?;
    let mut random = [0; NONCE_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let (mut gate, mut reply) = match open(names, &found, authenticator, random).await? {
        Opening::Free(credential) => return Ok(Admission { reply: Vec::new(), credential }),
        Opening::Ask { gate, request } => (gate, request),
        Opening::Refuse(failure) => return Err(refused(names, &found, authenticator, failure)),
    };
    if !told.is_empty() {
        told.append(&mut reply);
        reply = std::mem::take(told);
    }
    loop {
        stream.write_all(&reply).await?;
        let (tag, body) = inbox.frame(stream, gate.limit()).await.map_err(|error| match error {
            FrameError::Io(error) => Refusal::Gone(error),
            length => Refusal::Told {
                error: PgError::fatal(SqlState::PROTOCOL_VIOLATION, length.to_string()),
                reason: None,
            },
        })?;
        let again = (found.age == Age::Remembered).then(|| (body.to_vec(), gate.asks_once()));
        let step = if gate.is_slow() {
            Box::pin(judge(gate, tag, body.to_vec())).await?
        } else {
            gate.exchange(tag, body)
        };
        match step {
            Step::Failed(Failure::WrongPassword) if again.is_some() => {
                let looking = second_look(names, &found, authenticator, again.unwrap_or_default(), random);
                return Box::pin(looking).await;
            }
            Step::Continue { next, reply: send } => (gate, reply) = (next, send),
            Step::Done(admission) => return Ok(admission),
            Step::Failed(failure) => return Err(refused(names, &found, authenticator, failure)),
        }
    }
}

fn refused(names: &Names, found: &Found, authenticator: &Authenticator, failure: Failure) -> Refusal {
    let reason = applicant(names, found).cannot_pass(authenticator.auth_type);
    Refusal::Told { error: failure.to_client(&names.user), reason }
}

fn applicant<'a>(names: &'a Names, found: &'a Found) -> Applicant<'a> {
    let Names { user, transport, .. } = names;
    Applicant { user, secret: found.secret.as_ref(), typical: found.typical, transport }
}

const fn unknowable(error: PgError) -> Refusal {
    Refusal::Told { error, reason: None }
}

/// Begins the exchange, with the password stretched where that is needed.
async fn open(
    names: &Names,
    found: &Found,
    authenticator: &Authenticator,
    random: [u8; NONCE_BYTES],
) -> io::Result<Opening> {
    let applicant = applicant(names, found);
    if let Some(password) = applicant.to_derive(authenticator.auth_type) {
        let stretch = authenticator.mock.stretch(&names.user, applicant.typical);
        let password = password.clone();
        spawn_blocking(move || password.derive_verifier(stretch)).await.map_err(io::Error::other)?;
    }
    Ok(Gate::open(authenticator.auth_type, applicant, &authenticator.mock, random))
}

/// Judges what takes milliseconds, away from the worker.
async fn judge(gate: Gate, tag: u8, body: Vec<u8>) -> io::Result<Step<Gate, Admission>> {
    spawn_blocking(move || gate.exchange(tag, &body)).await.map_err(io::Error::other)
}

/// A proof failed against a secret that was remembered: it may have changed since. Where the client's one answer
/// suffices to judge by, it is judged by the new secret; a SCRAM client has answered to the old one's salt, so that
/// only its next login can succeed.
async fn second_look(
    names: &Names,
    remembered: &Found,
    authenticator: &Authenticator,
    (body, asks_once): (Vec<u8>, bool),
    random: [u8; NONCE_BYTES],
) -> Result<Admission, Refusal> {
    let newest = authenticator.find(names, Need::Newest).await;
    let changed = newest.ok().filter(|newest| asks_once && newest.secret != remembered.secret);
    let Some(newest) = changed else {
        return Err(refused(names, remembered, authenticator, Failure::WrongPassword));
    };
    match open(names, &newest, authenticator, random).await? {
        Opening::Ask { gate, .. } if gate.asks_once() => match judge(gate, b'p', body).await? {
            Step::Done(admission) => Ok(admission),
            Step::Continue { .. } | Step::Failed(_) => {
                Err(refused(names, &newest, authenticator, Failure::WrongPassword))
            }
        },
        _ => Err(refused(names, &newest, authenticator, Failure::WrongPassword)),
    }
}

/// Sends an error, behind what is still to be said, and closes. The client may be gone: that is no matter here.
pub(super) async fn tell_and_close(mut stream: Stream, before: &[u8], error: &PgError) {
    let mut out = before.to_vec();
    error.encode(&mut out);
    if stream.write_all(&out).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
