//! Authentication as values: both sides of each method, without sockets, clock or configuration.
//!
//! A machine takes the peer's message and gives back its next state or its end. Randomness is an argument.

use std::{fmt, str::FromStr};

use crate::wire::error::{PgError, SqlState};

pub mod cache;
pub mod cleartext;
pub mod feeds;
pub mod gate;
pub mod ident;
pub mod ldap;
pub mod md5;
pub mod mock;
pub mod oauth;
pub mod rules;
pub mod scram;
pub mod secrets;
pub mod throttle;
mod transport;
pub mod visit;

pub use transport::{ClientCertificate, EndPoint, Secured, Transport};

/// How clients prove who they are (`auth_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthType {
    /// `scram-sha-256`.
    ScramSha256,
    /// `md5`; a user whose secret is a SCRAM verifier is asked for SCRAM, as PostgreSQL does.
    Md5,
    /// `plain`: the password as it is.
    Plain,
    /// `peer`: the operating system says who is at the other end of a Unix socket.
    Peer,
    /// `trust`: everybody is who he says.
    Trust,
}

impl AuthType {
    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "scram-sha-256",
            Self::Md5 => "md5",
            Self::Plain => "plain",
            Self::Peer => "peer",
            Self::Trust => "trust",
        }
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuthType {
    type Err = UnknownAuthType;

    fn from_str(name: &str) -> Result<Self, UnknownAuthType> {
        [Self::ScramSha256, Self::Md5, Self::Plain, Self::Peer, Self::Trust]
            .into_iter()
            .find(|method| method.as_str() == name)
            .ok_or(UnknownAuthType)
    }
}

/// A name that is no [`AuthType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected scram-sha-256, md5, plain, peer or trust")]
pub struct UnknownAuthType;

/// Where an exchange with a client stands after its message.
#[derive(Debug)]
pub enum Step<Next, Success> {
    /// Send this and wait for the next message.
    Continue {
        /// The exchange from here on.
        next: Next,
        /// What the peer is told.
        reply: Vec<u8>,
    },
    /// The client is who it says.
    Done(Success),
    /// It is not.
    Failed(Failure),
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Unknown user, wrong password or no usable secret: the client must not learn which.
    WrongPassword,
    /// The client did not keep to the method; it is told how.
    Violation(Box<PgError>),
}

impl Failure {
    /// What the client is told, in PostgreSQL's words.
    pub fn to_client(self, user: &str) -> PgError {
        match self {
            Self::WrongPassword => PgError::fatal(
                SqlState::INVALID_PASSWORD,
                format!("password authentication failed for user \"{user}\""),
            ),
            Self::Violation(error) => *error,
        }
    }
}
