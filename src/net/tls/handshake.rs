//! The handshake, on both sides. Its length is bounded here, its time by the caller.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    ClientConfig, ServerConfig, client::UnbufferedClientConnection, pki_types::ServerName,
    server::UnbufferedServerConnection,
};

use super::{Session, Stream, TlsStream, Turn};
use crate::tls::ALPN;

/// A peer that has not finished its handshake after this many bytes is sent away: a chain of certificates is the
/// longest of it, and has some kilobytes.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// What a handshake told of the peer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Its certificate in DER, checked as the configuration has it.
    pub certificate: Option<Box<[u8]>>,
    /// Whether both named the protocol inside (ALPN).
    pub protocol: Named,
}

/// Whether the protocol inside a connection was named in its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// It was not.
    #[default]
    No,
    /// It was, as `postgresql`.
    Postgresql,
}

/// Shakes hands with a client, of which `unread` was read already.
///
/// # Errors
/// The client left, or does not keep to TLS or to what the configuration asks for; it has been told in an alert.
pub async fn accept(
    stream: Stream,
    unread: &[u8],
    config: Arc<ServerConfig>,
) -> io::Result<(Stream, Handshake)> {
    let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    shake(TlsStream::new(stream, Session::Server(session), unread)).await
}

/// Shakes hands with a server.
///
/// # Errors
/// As with [`accept`]; the server's certificate may have been found wanting.
pub async fn connect(
    stream: Stream,
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
) -> io::Result<(Stream, Handshake)> {
    let session = UnbufferedClientConnection::new(config, host).map_err(io::Error::other)?;
    shake(TlsStream::new(stream, Session::Client(session), &[])).await
}

async fn shake(mut stream: TlsStream) -> io::Result<(Stream, Handshake)> {
    let mut received = stream.incoming.len();
    poll_fn(|cx| stream.poll_shake(cx, &mut received)).await?;
    let certificate = stream.session.peer_certificate().map(Into::into);
    let protocol = if stream.session.alpn() == Some(ALPN) { Named::Postgresql } else { Named::No };
    Ok((Stream::Tls(Box::new(stream)), Handshake { certificate, protocol }))
}

impl TlsStream {
    fn poll_shake(&mut self, cx: &mut Context<'_>, received: &mut usize) -> Poll<io::Result<()>> {
        loop {
            let turn = self.session.turn(&mut self.incoming, &mut self.plain, &mut self.outgoing, &[]);
            let turn = match turn {
                Ok(turn) => turn,
                Err(error) => {
                    let _told = self.poll_drain(cx);
                    return Poll::Ready(Err(error));
                }
            };
            ready!(self.poll_drain(cx))?;
            match turn {
                Turn::Open => return Poll::Ready(Ok(())),
                Turn::Ended => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Turn::Blocked if *received >= HANDSHAKE_BYTES_MAX => {
                    let what = "the TLS handshake is longer than it may be";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
                Turn::Blocked => match ready!(self.poll_fill(cx))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    more => *received += more,
                },
            }
        }
    }
}
