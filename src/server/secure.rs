//! Dialling a server with TLS or without, as libpq's `sslmode` has it (documentation, "SSL Support"; `PQconnectPoll`).

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::{channel::Channel, connect::ConnectError};
use crate::{
    auth::EndPoint,
    net::{Address, Dial, Inbox, Stream, conveyed::Preface, tls},
    tls::{Connector, SslMode, Start, ToServers},
    wire::{error::SqlState, startup::encode_ssl_request},
};

/// How a server is reached, before the first word of PostgreSQL's protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approach {
    /// What is said before anything else.
    pub preface: Preface,
    /// With TLS or without.
    pub tls: ToServers,
}

/// One of at most two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Without TLS.
    Plain,
    /// With TLS if the server has it.
    Offered,
    /// With TLS.
    Demanded,
}

impl Attempt {
    /// The first.
    pub(super) const fn first(address: &Address, to: &Approach) -> Self {
        match (address, to.tls.mode) {
            // There is no TLS over Unix sockets.
            (Address::Unix { .. }, _) | (_, SslMode::Disable | SslMode::Allow) => Self::Plain,
            (_, SslMode::Prefer) => Self::Offered,
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => Self::Demanded,
        }
    }

    /// The second, where the mode is content with either and the other way may succeed: TLS failed, or the server's
    /// rules (`hostssl`, `hostnossl`) refused the first. A wrong password is wrong either way.
    pub(super) fn second(self, address: &Address, to: &Approach, error: &ConnectError) -> Option<Self> {
        let is_refused = matches!(
            error, ConnectError::Refused(refusal) if refusal.code == SqlState::INVALID_AUTHORIZATION
        );
        match (self, address, to.tls.mode) {
            (Self::Plain, Address::Tcp { .. }, SslMode::Allow) if is_refused => Some(Self::Demanded),
            (Self::Offered, ..) if is_refused || matches!(error, ConnectError::Tls(_)) => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Dials, and begins TLS where the attempt has it.
pub(super) async fn dial(
    dial: &dyn Dial,
    address: &Address,
    to: &Approach,
    attempt: Attempt,
) -> Result<(Stream, Channel), ConnectError> {
    let mut stream = dial.dial(address).await.map_err(ConnectError::Unreachable)?;
    if to.preface != Preface::None {
        let header = to.preface.header(stream.remote());
        stream.write_all(&header).await.map_err(ConnectError::Unreachable)?;
    }
    match (attempt, address, to.tls.connector()) {
        (Attempt::Offered | Attempt::Demanded, Address::Tcp { host, .. }, Some(connector)) => {
            Box::pin(begin(stream, host, to.tls.start, connector, attempt)).await
        }
        _ => Ok((stream, Channel::Plain)),
    }
}

async fn begin(
    mut stream: Stream,
    host: &str,
    start: Start,
    connector: &Connector,
    attempt: Attempt,
) -> Result<(Stream, Channel), ConnectError> {
    if start == Start::Postgres && ask(&mut stream).await? == Answer::No {
        return match attempt {
            Attempt::Demanded => {
                Err(ConnectError::Tls("the server does not have TLS (ssl = off)".to_owned()))
            }
            Attempt::Plain | Attempt::Offered => Ok((stream, Channel::Plain)),
        };
    }
    let (config, name) = connector.to_host(host);
    let (stream, peer) = tls::connect(stream, config, name).await.map_err(failed)?;
    // Without it, what answers may be a server of another protocol that was made to speak with us.
    if start == Start::Direct && peer.protocol == tls::Named::No {
        let what = "the server did not name the protocol (ALPN): PostgreSQL before 17 has no direct TLS";
        return Err(ConnectError::Tls(what.to_owned()));
    }
    Ok((stream, Channel::Tls(peer.certificate.and_then(|der| EndPoint::of(&der)))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Asks for TLS. The answer is one byte, and nothing may stand behind it: it would have come from somebody in the
/// middle, to be taken for what the server says inside (CVE-2021-23222).
async fn ask(stream: &mut Stream) -> Result<Answer, ConnectError> {
    let mut request = Vec::new();
    encode_ssl_request(&mut request);
    stream.write_all(&request).await.map_err(ConnectError::Unreachable)?;
    let mut inbox = Inbox::default();
    inbox.fill(stream).await.map_err(ConnectError::Unreachable)?;
    match inbox.unread() {
        b"S" => Ok(Answer::Yes),
        b"N" => Ok(Answer::No),
        [b'S' | b'N', ..] => {
            Err(ConnectError::Protocol("received unencrypted data after SSL response".to_owned()))
        }
        // Whoever wrote it, it is not shown: nobody has proved anything so far (CVE-2024-10977).
        [b'E', ..] => {
            Err(ConnectError::Tls("the server answered the request for TLS with an error".to_owned()))
        }
        _ => Err(ConnectError::Protocol("the server does not answer the request for TLS".to_owned())),
    }
}

/// Whose fault a failed handshake is.
fn failed(error: io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::InvalidData => ConnectError::Tls(error.to_string()),
        io::ErrorKind::UnexpectedEof => {
            let what = "it ended the connection during the TLS handshake";
            ConnectError::Unreachable(io::Error::new(io::ErrorKind::UnexpectedEof, what))
        }
        _ => ConnectError::Unreachable(error),
    }
}

#[cfg(test)]
mod tests;
