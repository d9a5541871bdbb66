//! Letting a client in: which exchange it gets, from its `p` messages to a credential.

use std::sync::Arc;

use super::{
    AuthType, EndPoint, Failure, Step,
    cleartext::CleartextServer,
    md5::Md5Server,
    mock::Mock,
    scram::{NONCE_BYTES, ScramServer, ScramVerifier},
    secrets::{Credential, Password, SecretKind, Typical, UserSecret},
};
use crate::wire::{
    error::{PgError, SqlState},
    message::{Authentication, Malformed, SaslInitialResponse, decode_password},
};

/// PostgreSQL's limit for a password message (`PG_MAX_AUTH_TOKEN_LENGTH`), in bytes.
const PASSWORD_MAX: usize = 65_535;
/// PostgreSQL's limit for a message of SASL (`PG_MAX_SASL_MESSAGE_LENGTH`), in bytes.
const SASL_MAX: usize = 1024;

/// An exchange with a client, whichever its method.
#[derive(Debug)]
pub struct Gate {
    /// What the user's own secret can log in with, if the exchange brings nothing better.
    known: Credential,
    exchange: Exchange,
}

#[derive(Debug)]
enum Exchange {
    ScramOffered(ScramServer),
    Scram(ScramServer),
    Md5(Md5Server),
    Plain(CleartextServer),
}

/// How a login begins.
#[derive(Debug)]
pub enum Opening {
    /// The client is asked nothing.
    Free(Credential),
    /// The client is asked for proof.
    Ask {
        /// The exchange that judges it.
        gate: Gate,
        /// What the client is sent.
        request: Vec<u8>,
    },
}

/// A client that has proved itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    /// What the method still has to say, to be sent before AuthenticationOk.
    pub reply: Vec<u8>,
    /// What now can log in to servers as this user.
    pub credential: Credential,
}

/// What is known of a user who wants in.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The name.
    pub user: &'a str,
    /// The secret; `None` for an unknown user.
    pub secret: Option<&'a Arc<UserSecret>>,
    /// What most users have.
    pub typical: Typical,
    /// What a login over its connection can be bound to, if anything.
    pub end_point: Option<&'a EndPoint>,
}

impl Applicant<'_> {
    /// The password that must be stretched (milliseconds: not on a worker) before [`Gate::open`], if any.
    pub fn to_derive(&self, method: AuthType) -> Option<&Password> {
        match self.secret.map(|secret| &**secret) {
            Some(UserSecret::Password(password)) if method == AuthType::ScramSha256 => {
                password.verifier().is_none().then_some(password)
            }
            _ => None,
        }
    }

    /// Why this user cannot pass whatever the proof, for the log.
    pub fn cannot_pass(&self, method: AuthType) -> Option<&'static str> {
        match (method, self.secret.map(|secret| secret.kind())) {
            (AuthType::Trust, _) => None,
            (_, None) => Some("the user is unknown"),
            (_, Some(SecretKind::Missing)) => Some("the user has no password"),
            (AuthType::ScramSha256, Some(SecretKind::Md5)) => {
                Some("the user's secret is an md5 hash, which SCRAM cannot use")
            }
            _ => None,
        }
    }

    /// The verifier a SCRAM exchange is held against: a made-up one for everybody who cannot pass.
    fn verifier(&self, mock: &Mock) -> Arc<ScramVerifier> {
        let known = match self.secret.map(|secret| &**secret) {
            Some(UserSecret::Scram(verifier)) => Some(Arc::clone(verifier)),
            Some(UserSecret::Password(password)) => password.verifier(),
            _ => None,
        };
        known.unwrap_or_else(|| mock.verifier(self.user, self.typical))
    }
}

impl Gate {
    /// Begins the exchange that `method` means for this user. `random` must be used once; a password that is
    /// [to be derived](Applicant::to_derive) must have been.
    pub fn open(method: AuthType, who: Applicant<'_>, mock: &Mock, random: [u8; NONCE_BYTES]) -> Opening {
        let known = who.secret.map_or(Credential::None, |secret| secret.as_credential());
        let pretended = || Arc::new(mock.secret(who.user, who.typical));
        let usable = who.secret.filter(|secret| !matches!(***secret, UserSecret::NoPassword));
        let scram =
            |verifier| Exchange::ScramOffered(ScramServer::new(verifier, random, who.end_point.cloned()));
        let exchange = match method {
            // Whoever asks has looked before.
            AuthType::Peer | AuthType::Trust => return Opening::Free(known),
            AuthType::ScramSha256 => scram(who.verifier(mock)),
            AuthType::Plain => {
                Exchange::Plain(CleartextServer::new(who.user, usable.cloned().unwrap_or_else(pretended)))
            }
            AuthType::Md5 => {
                let salt = [random[0], random[1], random[2], random[3]];
                match &*usable.cloned().unwrap_or_else(pretended) {
                    UserSecret::Scram(verifier) => scram(Arc::clone(verifier)),
                    UserSecret::Md5(hash) => Exchange::Md5(Md5Server::new(hash.clone(), salt)),
                    UserSecret::Password(password) => {
                        let hash = super::md5::Md5Hash::of(password.expose(), who.user);
                        Exchange::Md5(Md5Server::new(hash, salt))
                    }
                    UserSecret::NoPassword => Exchange::Md5(Md5Server::new(mock.md5_hash(who.user), salt)),
                }
            }
        };
        let mut request = Vec::new();
        exchange.request().encode(&mut request);
        Opening::Ask { gate: Self { known, exchange }, request }
    }

    /// How long the body of the client's next message may be, in bytes.
    pub const fn limit(&self) -> usize {
        match self.exchange {
            Exchange::ScramOffered(_) | Exchange::Scram(_) => SASL_MAX,
            Exchange::Md5(_) | Exchange::Plain(_) => PASSWORD_MAX,
        }
    }

    /// Whether the client's next message is all that is asked of it, so that it can be judged again by another
    /// secret.
    pub const fn asks_once(&self) -> bool {
        matches!(self.exchange, Exchange::Md5(_) | Exchange::Plain(_))
    }

    /// Whether the next [`exchange`](Self::exchange) takes milliseconds: then not on a worker.
    pub fn is_slow(&self) -> bool {
        matches!(&self.exchange, Exchange::Plain(server) if server.is_slow())
    }

    /// Takes the client's next message.
    pub fn exchange(self, tag: u8, body: &[u8]) -> Step<Self, Admission> {
        if tag != b'p' {
            let kind = if self.limit() == SASL_MAX { "SASL" } else { "password" };
            return violation(format!("expected {kind} response, got message type {tag}"));
        }
        let known = self.known;
        let admitted = |credential| Step::Done(Admission { reply: Vec::new(), credential });
        match self.exchange {
            Exchange::ScramOffered(server) => chosen(known, server, body),
            Exchange::Scram(server) => scram(known, server, body),
            Exchange::Md5(server) => match decode_password(body).map(|answer| server.exchange(answer)) {
                Ok(Ok(())) => admitted(known),
                Ok(Err(failure)) => Step::Failed(failure),
                Err(error) => malformed(error),
            },
            Exchange::Plain(server) => {
                match decode_password(body).map(|password| server.exchange(password)) {
                    Ok(Ok(credential)) => admitted(credential),
                    Ok(Err(failure)) => Step::Failed(failure),
                    Err(error) => malformed(error),
                }
            }
        }
    }
}

impl Exchange {
    fn request(&self) -> Authentication<'static> {
        match self {
            Self::ScramOffered(server) if server.offers_binding() => Authentication::SCRAM_SHA_256_PLUS,
            Self::ScramOffered(_) | Self::Scram(_) => Authentication::SCRAM_SHA_256,
            Self::Md5(server) => Authentication::Md5Password(server.salt()),
            Self::Plain(_) => Authentication::CleartextPassword,
        }
    }
}

/// The client's choice of a mechanism.
fn chosen(known: Credential, server: ScramServer, body: &[u8]) -> Step<Gate, Admission> {
    let (mechanism, data) = match SaslInitialResponse::decode(body) {
        Ok(SaslInitialResponse { mechanism, data }) => (mechanism, data),
        Err(error) => return malformed(error),
    };
    match (server.choose(mechanism), data) {
        (None, _) => violation("client selected an invalid SASL authentication mechanism".to_owned()),
        (Some(server), Some(data)) => scram(known, server, data),
        // The first message was held back: an empty challenge asks for it.
        (Some(server), None) => {
            let mut reply = Vec::new();
            Authentication::SaslContinue(b"").encode(&mut reply);
            Step::Continue { next: Gate { known, exchange: Exchange::Scram(server) }, reply }
        }
    }
}

fn scram(known: Credential, server: ScramServer, data: &[u8]) -> Step<Gate, Admission> {
    match server.exchange(data) {
        Step::Continue { next, reply: challenge } => {
            let mut reply = Vec::with_capacity(challenge.len() + 9);
            Authentication::SaslContinue(&challenge).encode(&mut reply);
            Step::Continue { next: Gate { known, exchange: Exchange::Scram(next) }, reply }
        }
        Step::Done(done) => {
            let mut reply = Vec::with_capacity(done.reply.len() + 9);
            Authentication::SaslFinal(&done.reply).encode(&mut reply);
            // A known password fits more servers than the client's keys do.
            let credential = match known {
                Credential::Password(_) => known,
                _ => Credential::ScramKeys(Arc::new(done.keys)),
            };
            Step::Done(Admission { reply, credential })
        }
        Step::Failed(failure) => Step::Failed(failure),
    }
}

fn malformed(error: Malformed) -> Step<Gate, Admission> {
    violation(error.to_string())
}

fn violation(message: String) -> Step<Gate, Admission> {
    Step::Failed(Failure::Violation(Box::new(PgError::fatal(SqlState::PROTOCOL_VIOLATION, message))))
}

#[cfg(test)]
mod tests;
