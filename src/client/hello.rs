//! The first words of a connection: encryption asked for and given or refused, then a cancel request or a start-up.

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::caller::Caller;
use crate::{
    auth::{Secured, Transport},
    net::{Inbox, Peer, Stream, tls},
    tls::{Acceptor, Certificate, Demand, Negotiation},
    wire::{
        error::{PgError, SqlState},
        startup::{self, BackendKey, StartupError, StartupMessage, StartupPacket},
    },
};

/// The first byte of a connection that begins with TLS at once: a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection that nothing was read from yet.
pub struct Hello<'a> {
    stream: Stream,
    peer: Peer,
    inbox: Inbox,
    /// How TLS is spoken; `None`: not at all.
    acceptor: Option<&'a Acceptor>,
    transport: Transport,
    /// What was asked for: each may be asked for once, and nothing inside TLS.
    asked: Vec<Encryption>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Tls,
    Gssapi,
}

/// What a connection wants.
pub enum Greeting {
    /// The query of another connection is to be cancelled; this one is to be closed when that has happened.
    Cancel {
        /// The connection, which gets no answer.
        stream: Stream,
        /// Whose query.
        key: BackendKey,
    },
    /// A session.
    Startup(Arrival),
}

/// A client that has introduced itself and proved nothing yet.
pub struct Arrival {
    /// Its connection.
    pub stream: Stream,
    /// Where it is.
    pub peer: Peer,
    /// What it asks for.
    pub startup: StartupMessage,
    /// What came behind that, usually nothing.
    pub unread: Vec<u8>,
    /// What carries the connection, and what that says of the client.
    pub transport: Transport,
}

impl Arrival {
    /// Tells the client why it cannot be served, and closes.
    pub async fn refuse(self, error: &PgError) {
        super::login::tell_and_close(self.stream, &[], error).await;
    }
}

/// Why a connection came to nothing. The client has been told what it may hear.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It ended: a port scan, a health check, a broken network.
    #[error(transparent)]
    Gone(#[from] io::Error),
    /// Not a first packet that we take.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// More was sent behind a request for encryption than its answer allows: a broken client, or somebody in the
    /// middle who adds his own.
    #[error("received unencrypted data after {0} request")]
    Early(&'static str),
    /// The TLS handshake failed; its alert has told the client.
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// It began with TLS at once, and did not name the protocol inside: it may take us for something else.
    #[error("received direct TLS connection request without ALPN protocol negotiation extension")]
    NoAlpn,
    /// It does not use TLS where it must.
    #[error("connection requires TLS")]
    NotEncrypted,
    /// It shows no certificate where it must.
    #[error("connection requires a valid client certificate")]
    NoCertificate,
}

impl HelloError {
    fn to_client(&self) -> Option<PgError> {
        match self {
            Self::Gone(_) | Self::Handshake(_) | Self::NoAlpn => None,
            Self::NotEncrypted => Some(
                PgError::fatal(SqlState::INVALID_AUTHORIZATION, self.to_string())
                    .hint("Connect with sslmode=require, or better verify-full."),
            ),
            Self::NoCertificate => Some(PgError::fatal(SqlState::INVALID_AUTHORIZATION, self.to_string())),
            Self::Startup(error) => error.to_client(),
            Self::Early(_) => Some(PgError::fatal(SqlState::PROTOCOL_VIOLATION, self.to_string()).detail(
                "This could be either a client-software bug or evidence of an attempted \
                     man-in-the-middle attack.",
            )),
        }
    }
}

impl<'a> Hello<'a> {
    /// Reads until the client has said what it wants. `acceptor` is how TLS is spoken, `None` where it is not. The
    /// caller bounds the time; memory is bounded.
    pub fn read(
        caller: Caller,
        acceptor: Option<&'a Acceptor>,
    ) -> impl Future<Output = Result<Greeting, HelloError>> + Send + 'a {
        // Not in the future itself, which would have room for both then.
        let Caller { stream, peer, unread } = caller;
        let inbox = Inbox::new(unread);
        Self { stream, peer, inbox, acceptor, transport: Transport::Plain, asked: Vec::new() }.finish()
    }

    async fn finish(mut self) -> Result<Greeting, HelloError> {
        match self.greet().await {
            Ok(Wish::Cancel(key)) => Ok(Greeting::Cancel { stream: self.stream, key }),
            Ok(Wish::Startup(startup)) => {
                let Self { stream, peer, inbox, transport, .. } = self;
                let unread = inbox.into_unread();
                Ok(Greeting::Startup(Arrival { stream, peer, startup, unread, transport }))
            }
            Err(error) => {
                if let Some(message) = error.to_client() {
                    Box::pin(super::login::tell_and_close(self.stream, &[], &message)).await;
                }
                Err(error)
            }
        }
    }

    async fn greet(&mut self) -> Result<Wish, HelloError> {
        if let Some(acceptor) = self.direct() {
            while self.inbox.unread().is_empty() {
                self.inbox.fill(&mut self.stream).await?;
            }
            if self.inbox.unread().first() == Some(&TLS_HANDSHAKE) {
                let peer = Box::pin(self.shake_hands(acceptor)).await?;
                if peer == tls::Named::No {
                    return Err(HelloError::NoAlpn);
                }
            }
        }
        loop {
            let Some((packet, length)) = startup::decode(self.inbox.unread())? else {
                self.inbox.fill(&mut self.stream).await?;
                continue;
            };
            self.inbox.consume(length);
            match packet {
                StartupPacket::SslRequest => self.answer(Encryption::Tls).await?,
                StartupPacket::GssEncRequest => self.answer(Encryption::Gssapi).await?,
                // Old clients send it without TLS however they are connected; the key proves what it must.
                StartupPacket::Cancel(key) => return Ok(Wish::Cancel(key)),
                StartupPacket::Startup(startup) => {
                    self.check()?;
                    return Ok(Wish::Startup(startup));
                }
            }
        }
    }

    /// Whether the connection may begin with TLS at once.
    fn direct(&self) -> Option<&'a Acceptor> {
        self.acceptor.filter(|acceptor| acceptor.negotiation != Negotiation::Postgres)
    }

    async fn answer(&mut self, asked: Encryption) -> Result<(), HelloError> {
        if self.asked.contains(&asked) {
            // As PostgreSQL: asked again, or inside TLS, the request is but a strange protocol version.
            let minor = if asked == Encryption::Tls { 5679 } else { 5680 };
            return Err(StartupError::Version { major: 1234, minor }.into());
        }
        if !self.inbox.unread().is_empty() {
            let what = if asked == Encryption::Tls { "SSL" } else { "GSSAPI encryption" };
            return Err(HelloError::Early(what));
        }
        self.asked.push(asked);
        match self.acceptor {
            Some(acceptor) if asked == Encryption::Tls && acceptor.negotiation != Negotiation::Direct => {
                self.stream.write_all(b"S").await?;
                Box::pin(self.shake_hands(acceptor)).await.map(drop)
            }
            _ => Ok(self.stream.write_all(b"N").await?),
        }
    }

    /// TLS from here on; boxed by the callers, since most connections never need its memory. What was read already is the beginning of its handshake.
    async fn shake_hands(&mut self, acceptor: &Acceptor) -> Result<tls::Named, HelloError> {
        let unread = std::mem::take(&mut self.inbox).into_unread();
        let stream = std::mem::replace(&mut self.stream, Stream::closed());
        let config = acceptor.config.clone();
        let (stream, peer) = tls::accept(stream, &unread, config).await.map_err(HelloError::Handshake)?;
        self.stream = stream;
        let certificate = match peer.certificate {
            None => None,
            Some(der) => Some(Certificate::parse(&der).ok_or_else(unreadable)?.owner()),
        };
        let secured = Secured { certificate, end_point: acceptor.end_point.clone() };
        self.transport = Transport::Tls(Box::new(secured));
        self.asked = vec![Encryption::Tls, Encryption::Gssapi];
        Ok(peer.protocol)
    }

    /// Whether the connection is what a session needs.
    fn check(&self) -> Result<(), HelloError> {
        let demand = self.acceptor.map_or(Demand::Nothing, |acceptor| acceptor.demand);
        match (demand, &self.transport) {
            (Demand::Encryption | Demand::Certificate, Transport::Plain) => Err(HelloError::NotEncrypted),
            (Demand::Certificate, Transport::Tls(secured)) if secured.certificate.is_none() => {
                Err(HelloError::NoCertificate)
            }
            _ => Ok(()),
        }
    }
}

fn unreadable() -> HelloError {
    HelloError::Handshake(io::Error::new(io::ErrorKind::InvalidData, "the client's certificate is malformed"))
}

enum Wish {
    Cancel(BackendKey),
    Startup(StartupMessage),
}
