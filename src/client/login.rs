//! Who a client is: the shell around [`Gate`].

use std::{io, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

use super::{
    credentials::{by_name, by_password},
    hello::Arrival,
    lookup::{Age, Found, Lookup, Need, listed, nobody},
    names::Names,
    outside::{Outside, ask_password},
    patience::Patience,
    peer::whence,
    token::token,
};
use crate::{
    auth::{
        AuthType, EndPoint, Failure, Step, Transport,
        gate::{Admission, Applicant, Gate, Opening},
        mock::Mock,
        rules::{Members, Method, Rule, Rules, Undecided, failed},
        scram::NONCE_BYTES,
        secrets::{Credential, Secrets},
        throttle::ThrottlePolicy,
        visit::{Interface, Visit},
    },
    net::{FrameError, Inbox, Peer, Stream, interfaces},
    wire::{
        error::{PgError, SqlState},
        message::Authentication,
        startup::StartupMessage,
    },
};

/// How clients are asked who they are.
#[derive(Clone)]
pub struct Authenticator {
    /// Who may come from where, and by which method.
    pub rules: Arc<Rules>,
    /// Where their secrets come from.
    pub secrets: Arc<dyn Secrets>,
    /// Where those come from that are not there.
    pub lookup: Option<Arc<dyn Lookup>>,
    /// Who has failed too often, and what then; `None`: nobody waits.
    pub patience: Option<(Arc<Patience>, ThrottlePolicy)>,
    /// Those who judge passwords elsewhere.
    pub outside: Arc<Outside>,
    /// What unknown users seem to have.
    pub mock: Mock,
}

impl Authenticator {
    /// By which rule somebody may try. Rules that depend on memberships ask for each of them once.
    async fn decide<'r>(&'r self, visit: &Visit<'r>, interfaces: &[Interface]) -> Result<&'r Rule, PgError> {
        let mut members = Members::default();
        loop {
            let role = match self.rules.decide(visit, interfaces, &members) {
                Ok(rule) => return Ok(rule),
                Err(Undecided::Refused(error)) => return Err(error),
                Err(Undecided::IfMember(role)) => role,
            };
            let is_member = match &self.lookup {
                Some(lookup) => lookup.is_member(visit.user, role, visit.database).await?,
                None => false,
            };
            members.learn(role, is_member);
        }
    }

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
    /// Where it is.
    pub peer: Peer,
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

    /// Tells the client, instead, why it cannot be served, and closes. As with PostgreSQL it is in by then, unless nobody could
    /// be served: refused before AuthenticationOk libpq tries again without TLS (`sslmode=prefer`).
    pub async fn refuse(self, error: &PgError) {
        let mut told = self.pending_reply;
        if ![SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(&error.code) {
            Authentication::Ok.encode(&mut told);
        }
        tell_and_close(self.stream, &told, error).await;
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

/// Finds out whether a client is who it says, within this time. Memory is bounded.
pub async fn login(
    mut arrival: Arrival,
    authenticator: &Authenticator,
    limit: Duration,
) -> Result<LoggedIn, LoginError> {
    // Not taken apart yet: the future would have room for the parts as well.
    let mut inbox = Inbox::new(std::mem::take(&mut arrival.unread));
    let mut told = Vec::new();
    arrival.startup.encode_negotiation(&mut told);
    let transport = std::mem::take(&mut arrival.transport);
    let outcome = match Names::of(&arrival.startup) {
        Ok(names) => {
            // Boxed, with its timer: gone once the client is in or out.
            let admission = Box::pin(tokio::time::timeout(
                limit,
                admit(
                    (&mut arrival.stream, arrival.peer, &transport),
                    &mut inbox,
                    &mut told,
                    &names,
                    authenticator,
                ),
            ));
            match admission.await.unwrap_or_else(|_| Err(too_slow())) {
                Ok(admission) => Ok((names, admission)),
                Err(refusal) => Err((Some(names.user), refusal)),
            }
        }
        Err(error) => Err((None, Refusal::Told { error, reason: None })),
    };
    match outcome {
        Ok((Names { user, database, .. }, admission)) => {
            told.extend_from_slice(&admission.reply);
            let credential = admission.credential;
            let (Arrival { stream, peer, startup, .. }, unread) = (arrival, inbox.into_unread());
            Ok(LoggedIn { stream, peer, startup, user, database, credential, unread, pending_reply: told })
        }
        Err((_, Refusal::Gone(error))) => Err(LoginError::Gone(error)),
        Err((user, Refusal::Told { error, reason })) => {
            Box::pin(tell_and_close(arrival.stream, &told, &error)).await;
            Err(LoginError::Refused { error, user, reason })
        }
    }
}

pub(super) enum Refusal {
    Gone(io::Error),
    Told { error: PgError, reason: Option<&'static str> },
}

/// The login took too long.
fn too_slow() -> Refusal {
    let error = PgError::fatal(SqlState::QUERY_CANCELED, "canceling authentication due to timeout");
    Refusal::Told { error, reason: Some("it took longer than client_login_timeout") }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// Lets the rules decide, and asks for the proof they want. What is in `told` goes out before the first question, or
/// else stays there.
async fn admit(
    (stream, peer, transport): (&mut Stream, Peer, &Transport),
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
    names: &Names,
    authenticator: &Authenticator,
) -> Result<Admission, Refusal> {
    let rules = &authenticator.rules;
    let (user, database) = (names.user.as_str(), names.database.as_str());
    let whence = &whence(peer, transport, rules.need_system_user()).await;
    let visit = Visit { user, database, wants: names.wants, whence };
    let interfaces = if rules.need_interfaces() { interfaces()? } else { Vec::new() };
    let rule = authenticator.decide(&visit, &interfaces).await.map_err(told_error)?;
    let counted = authenticator.patience.as_ref().zip(whence.address());
    if let Some(((patience, policy), address)) = counted
        && rule.method != Method::Secret(AuthType::Trust)
    {
        patience.wait(policy, address, user).await.map_err(told_error)?;
    }
    let asked = (names, &visit, rule, transport.end_point());
    let proved = prove(stream, inbox, told, asked, authenticator).await;
    if let Some(((patience, _), address)) = counted {
        match &proved {
            Ok(_) => patience.succeeds(address, user),
            Err(Refusal::Told { error, .. })
                if matches!(error.code, SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION) =>
            {
                patience.fails(address, user);
            }
            Err(_) => {}
        }
    }
    proved
}

/// Asks for the proof that the rule wants.
async fn prove(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
    (names, visit, rule, end_point): (&Names, &Visit<'_>, &Rule, Option<&EndPoint>),
    authenticator: &Authenticator,
) -> Result<Admission, Refusal> {
    let admission = match rule.method {
        Method::Secret(AuthType::Trust) | Method::Certificate | Method::Peer => {
            by_name(&*authenticator.secrets, visit.user)
        }
        Method::Secret(auth_type) => {
            let asking = Asking { names, auth_type, end_point, authenticator };
            Box::pin(by_secret(stream, inbox, told, asking)).await?
        }
        Method::Ldap(ref plan) => {
            let asking = async {
                let password = ask_password(stream, inbox, told).await?;
                authenticator.outside.directory(plan, visit.user, &password).await?;
                Ok::<_, Refusal>(password)
            };
            by_password(&*authenticator.secrets, visit.user, Box::pin(asking).await?)
        }
        Method::Pam(ref service) => {
            let asking = async {
                let password = ask_password(stream, inbox, told).await?;
                authenticator.outside.modules(service, visit.user, password.clone()).await?;
                Ok::<_, Refusal>(password)
            };
            by_password(&*authenticator.secrets, visit.user, Box::pin(asking).await?)
        }
        Method::Oauth(ref plan) => {
            let may_be = |name: &str| authenticator.rules.may_be(rule, name, visit.user);
            let outside = &authenticator.outside;
            Box::pin(token(stream, inbox, told, (plan, visit.user, outside), may_be)).await?;
            by_name(&*authenticator.secrets, visit.user)
        }
        // Decided above.
        Method::Reject => return Err(told_error(failed("Client", visit.user))),
    };
    authenticator
        .rules
        .connection_proves(rule, visit)
        .map_err(|unproved| Refusal::Told { error: unproved.error, reason: Some(unproved.reason) })?;
    Ok(admission)
}

/// Asks for a secret, or for proof that the client has it.
async fn by_secret(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
    asking: Asking<'_>,
) -> Result<Admission, Refusal> {
    let found = asking.authenticator.find(asking.names, Need::Recent).await.map_err(told_error)?;
    let mut random = [0; NONCE_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let (mut gate, mut reply) = match asking.open(&found, random).await? {
        Opening::Free(credential) => return Ok(Admission { reply: Vec::new(), credential }),
        Opening::Ask { gate, request } => (gate, request),
    };
    if !told.is_empty() {
        told.append(&mut reply);
        reply = std::mem::take(told);
    }
    loop {
        stream.write_all(&reply).await?;
        let (tag, body) = inbox.frame(stream, gate.limit()).await.map_err(|error| match error {
            FrameError::Io(error) => Refusal::Gone(error),
            length => told_error(PgError::fatal(SqlState::PROTOCOL_VIOLATION, length.to_string())),
        })?;
        let again = (found.age == Age::Remembered).then(|| (body.to_vec(), gate.asks_once()));
        let step = if gate.is_slow() {
            Box::pin(judge(gate, tag, body.to_vec())).await?
        } else {
            gate.exchange(tag, body)
        };
        match step {
            Step::Failed(Failure::WrongPassword) if again.is_some() => {
                let looking = asking.second_look(&found, again.unwrap_or_default(), random);
                return Box::pin(looking).await;
            }
            Step::Continue { next, reply: send } => (gate, reply) = (next, send),
            Step::Done(admission) => return Ok(admission),
            Step::Failed(failure) => return Err(asking.refused(&found, failure)),
        }
    }
}

/// Who is asked, by which method.
#[derive(Clone, Copy)]
struct Asking<'a> {
    names: &'a Names,
    auth_type: AuthType,
    end_point: Option<&'a EndPoint>,
    authenticator: &'a Authenticator,
}

impl Asking<'_> {
    fn applicant<'f>(&'f self, found: &'f Found) -> Applicant<'f> {
        let (user, secret) = (&*self.names.user, found.secret.as_ref());
        Applicant { user, secret, typical: found.typical, end_point: self.end_point }
    }

    fn refused(&self, found: &Found, failure: Failure) -> Refusal {
        let reason = self.applicant(found).cannot_pass(self.auth_type);
        Refusal::Told { error: failure.to_client(&self.names.user), reason }
    }

    /// Begins the exchange, with the password stretched where that is needed.
    async fn open(&self, found: &Found, random: [u8; NONCE_BYTES]) -> io::Result<Opening> {
        let (applicant, mock) = (self.applicant(found), &self.authenticator.mock);
        if let Some(password) = applicant.to_derive(self.auth_type) {
            let stretch = mock.stretch(&self.names.user, applicant.typical);
            let password = password.clone();
            spawn_blocking(move || password.derive_verifier(stretch)).await.map_err(io::Error::other)?;
        }
        Ok(Gate::open(self.auth_type, applicant, mock, random))
    }

    /// A proof failed against a secret that was remembered: it may have changed since. Where the client's one answer
    /// suffices to judge by, it is judged by the new secret; a SCRAM client has answered to the old one's salt, so
    /// that only its next login can succeed.
    async fn second_look(
        &self,
        remembered: &Found,
        (body, asks_once): (Vec<u8>, bool),
        random: [u8; NONCE_BYTES],
    ) -> Result<Admission, Refusal> {
        let newest = self.authenticator.find(self.names, Need::Newest).await;
        let changed = newest.ok().filter(|newest| asks_once && newest.secret != remembered.secret);
        let Some(newest) = changed else {
            return Err(self.refused(remembered, Failure::WrongPassword));
        };
        match self.open(&newest, random).await? {
            Opening::Ask { gate, .. } if gate.asks_once() => match judge(gate, b'p', body).await? {
                Step::Done(admission) => Ok(admission),
                Step::Continue { .. } | Step::Failed(_) => Err(self.refused(&newest, Failure::WrongPassword)),
            },
            _ => Err(self.refused(&newest, Failure::WrongPassword)),
        }
    }
}

/// Judges what takes milliseconds, away from the worker.
async fn judge(gate: Gate, tag: u8, body: Vec<u8>) -> io::Result<Step<Gate, Admission>> {
    spawn_blocking(move || gate.exchange(tag, &body)).await.map_err(io::Error::other)
}

const fn told_error(error: PgError) -> Refusal {
    Refusal::Told { error, reason: None }
}

/// Sends an error, behind what is still to be said, and closes. The client may be gone: that is no matter here.
pub(super) async fn tell_and_close(mut stream: Stream, before: &[u8], error: &PgError) {
    let mut out = before.to_vec();
    error.encode(&mut out);
    if stream.write_all(&out).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
