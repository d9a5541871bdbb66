//! TLS over a stream, as the relay needs it: what is taken is on its way, and an idle connection holds no buffer.
//!
//! Three rules make it fit beside plain sockets. `TlsStream::poll_send` says that bytes were sent only when the socket
//! has taken all of their records; until then it is pending, and must be called again with bytes that begin with
//! the same ones. Nothing of the caller's goes out but in that call, so that whoever has lost the right to write sends
//! nothing by reading. And `TlsStream::poll_readable` is never pending while something decrypted lies here.

mod handshake;
mod session;
#[cfg(test)]
mod tests;

use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use self::session::{Session, Turn};
use super::Stream;

pub use self::handshake::{HANDSHAKE_BYTES_MAX, Handshake, Named, accept, connect};

/// What is read at once, in bytes: the longest record (RFC 8446, section 5.2; 2048 more in TLS 1.2).
const RECORD_MAX: usize = 5 + 16 * 1024 + 2048;
/// What is encrypted at once, in bytes.
const SEND_MAX: usize = 64 * 1024;

/// A connection after its handshake.
pub struct TlsStream {
    under: Stream,
    session: Session,
    /// Ciphertext that is no whole record so far. Nothing is allocated while it is empty, and so with the others.
    incoming: BytesMut,
    /// What was decrypted and not taken.
    plain: BytesMut,
    /// Ciphertext that the socket has not taken.
    outgoing: BytesMut,
    /// How many bytes of the caller's are in `outgoing`, who has not been told that they were taken.
    owed: usize,
    receiving: Receiving,
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Open,
    /// The peer has said so (close_notify).
    Ended,
    /// What came made no sense: rustls must not be asked anything more.
    Failed,
}

impl TlsStream {
    fn new(under: Stream, session: Session, unread: &[u8]) -> Self {
        Self {
            under,
            session,
            incoming: BytesMut::from(unread),
            plain: BytesMut::new(),
            outgoing: BytesMut::new(),
            owed: 0,
            receiving: Receiving::Open,
        }
    }

    /// Reads what is there, at most `into.len()` bytes; 0 means that the peer has ended its side in due form. A
    /// connection that is cut off without that is an error: somebody else may have cut it.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.answer(cx)?;
        while self.plain.is_empty() {
            match self.receiving {
                Receiving::Open => {}
                Receiving::Ended => return Poll::Ready(Ok(0)),
                Receiving::Failed => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.process(cx, &[])?;
        }
        let taken = self.plain.len().min(into.len());
        into[..taken].copy_from_slice(&self.plain[..taken]);
        advance(&mut self.plain, taken);
        Poll::Ready(Ok(taken))
    }

    /// Sends some of `bytes`.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            ready!(self.poll_drain(cx))?;
            let length = bytes.len().min(SEND_MAX);
            self.process(cx, &bytes[..length])?;
            self.owed = length;
        }
        ready!(self.poll_drain(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.owed).min(bytes.len())))
    }

    /// Whether a look may be worth while. Registers `cx` if not, without a system call.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unsent = self.owed == 0 && !self.outgoing.is_empty();
        if unsent || !self.plain.is_empty() || self.receiving != Receiving::Open {
            Poll::Ready(Ok(()))
        } else {
            self.under.poll_readable(cx)
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.under).poll_flush(cx)
    }

    /// Says goodbye (close_notify) and ends our side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.receiving != Receiving::Failed {
            self.session.say_goodbye(&mut self.incoming, &mut self.plain, &mut self.outgoing)?;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.under).poll_shutdown(cx)
    }

    pub(super) const fn under(&self) -> &Stream {
        &self.under
    }

    /// Deals with the records that are there, and encrypts `plaintext`.
    fn process(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> io::Result<()> {
        if self.receiving == Receiving::Failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let turn = self.session.turn(&mut self.incoming, &mut self.plain, &mut self.outgoing, plaintext);
        release(&mut self.incoming);
        match turn {
            Ok(Turn::Blocked | Turn::Open) => {}
            Ok(Turn::Ended) => self.receiving = Receiving::Ended,
            // Nothing can be sent after our own goodbye; everything else is the end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
            Err(error) => {
                self.receiving = Receiving::Failed;
                // The peer is told why, if it takes it at once.
                let _told = self.answer(cx);
                return Err(error);
            }
        }
        self.answer(cx)
    }

    /// Sends what answers the peer's own messages (a new key, say). While something of the caller's is on its way,
    /// that waits with it: whether the caller may still send anything is for the caller to say, at each attempt.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.owed == 0 {
            // Should the socket take nothing, reading goes on all the same: the peer may write before it reads.
            let _pending = self.poll_drain(cx)?;
        }
        Ok(())
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.incoming.reserve(RECORD_MAX);
        let filled = pin!(self.under.read_buf(&mut self.incoming)).poll(cx);
        release(&mut self.incoming);
        filled
    }

    /// Gives the socket what waits for it. Ready when nothing does any more.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.under).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => advance(&mut self.outgoing, sent),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Drops what was dealt with, and the memory with the last of it.
fn advance(buffer: &mut BytesMut, taken: usize) {
    buffer.advance(taken);
    release(buffer);
}

fn release(buffer: &mut BytesMut) {
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
}
