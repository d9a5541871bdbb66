//! The first words of a connection: encryption asked for and refused, then a cancel request or a start-up.

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::caller::Caller;
use crate::{
    net::{Inbox, Peer, Stream},
    wire::{
        error::{PgError, SqlState},
        startup::{self, BackendKey, StartupError, StartupMessage, StartupPacket},
    },
};

/// A connection that nothing was read from yet.
pub struct Hello {
    stream: Stream,
    peer: Peer,
    inbox: Inbox,
    /// What was asked for and refused: each may be asked for once.
    refused: Vec<Encryption>,
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
}

impl HelloError {
    fn to_client(&self) -> Option<PgError> {
        match self {
            Self::Gone(_) => None,
            Self::Startup(error) => error.to_client(),
            Self::Early(_) => Some(PgError::fatal(SqlState::PROTOCOL_VIOLATION, self.to_string()).detail(
                "This could be either a client-software bug or evidence of an attempted \
                     man-in-the-middle attack.",
            )),
        }
    }
}

impl Hello {
    /// Reads until the client has said what it wants. The caller bounds the time; memory is bounded.
    pub fn read(caller: Caller) -> impl Future<Output = Result<Greeting, HelloError>> + Send {
        // Not in the future itself, which would have room for both then.
        let Caller { stream, peer, unread } = caller;
        Self { stream, peer, inbox: Inbox::new(unread), refused: Vec::new() }.finish()
    }

    async fn finish(mut self) -> Result<Greeting, HelloError> {
        match self.greet().await {
            Ok(Wish::Cancel(key)) => Ok(Greeting::Cancel { stream: self.stream, key }),
            Ok(Wish::Startup(startup)) => {
                let (peer, unread) = (self.peer, self.inbox.into_unread());
                Ok(Greeting::Startup(Arrival { stream: self.stream, peer, startup, unread }))
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
        loop {
            let Some((packet, length)) = startup::decode(self.inbox.unread())? else {
                self.inbox.fill(&mut self.stream).await?;
                continue;
            };
            self.inbox.consume(length);
            match packet {
                StartupPacket::SslRequest => self.refuse(Encryption::Tls).await?,
                StartupPacket::GssEncRequest => self.refuse(Encryption::Gssapi).await?,
                StartupPacket::Cancel(key) => return Ok(Wish::Cancel(key)),
                StartupPacket::Startup(startup) => return Ok(Wish::Startup(startup)),
            }
        }
    }

    async fn refuse(&mut self, asked: Encryption) -> Result<(), HelloError> {
        if self.refused.contains(&asked) {
            // As PostgreSQL: asked again, the request is but a strange protocol version.
            let minor = if asked == Encryption::Tls { 5679 } else { 5680 };
            return Err(StartupError::Version { major: 1234, minor }.into());
        }
        if !self.inbox.unread().is_empty() {
            let what = if asked == Encryption::Tls { "SSL" } else { "GSSAPI encryption" };
            return Err(HelloError::Early(what));
        }
        self.refused.push(asked);
        self.stream.write_all(b"N").await?;
        Ok(())
    }
}

enum Wish {
    Cancel(BackendKey),
    Startup(StartupMessage),
}
