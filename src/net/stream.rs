//! One byte stream, whatever carries it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::tls::TlsStream;

/// A stream that is not a plain socket: a test's pipe.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection's bytes.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over one of the others.
    Tls(Box<TlsStream>),
    /// Anything else.
    Boxed(Box<dyn Duplex>),
}

/// A socket that no runtime looks after.
pub enum Detached {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Gives it to the runtime that this is called on.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(socket) => Stream::Tcp(TcpStream::from_std(socket)?),
            Self::Unix(socket) => Stream::Unix(UnixStream::from_std(socket)?),
        })
    }
}

impl Stream {
    /// A stream that has ended.
    pub fn closed() -> Self {
        Self::Boxed(Box::new(tokio::io::empty()))
    }

    /// Takes a plain socket away from its runtime, for another.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(socket) => Ok(Detached::Tcp(socket.into_std()?)),
            Self::Unix(socket) => Ok(Detached::Unix(socket.into_std()?)),
            Self::Tls(_) | Self::Boxed(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads what is there, at most `into.len()` bytes; 0 means that the peer has ended its side.
    ///
    /// A read shorter than `into` clears the socket's readiness, so that no second, empty `recv` follows.
    #[inline]
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Tls(s) = self {
            return s.poll_receive(cx, into);
        }
        let mut buffer = ReadBuf::new(into);
        match Pin::new(self).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sends some of `bytes`. While it is pending, the next attempt must begin with the same bytes: TLS may have
    /// encrypted them already.
    #[inline]
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// Whether something may be read (data or the peer's end). Registers `cx` if not, without a system call.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) => s.poll_read_ready(cx),
            Self::Unix(s) => s.poll_read_ready(cx),
            Self::Tls(s) => s.poll_readable(cx),
            // There is no way to ask without reading: whoever wants to know must look.
            Self::Boxed(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether nothing is there to be read, as far as that can be told without reading. If so, `cx` is woken when
    /// that changes.
    #[inline]
    pub fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_readable(cx).is_pending()
    }

    /// The peer's address, of TCP.
    pub fn remote(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(s) => s.peer_addr().ok(),
            Self::Tls(s) => s.under().remote(),
            Self::Unix(_) | Self::Boxed(_) => None,
        }
    }

    /// The peer's address for the log.
    pub fn peer(&self) -> String {
        match self {
            Self::Tcp(s) => s.peer_addr().map_or_else(|_| "gone".to_owned(), |a| a.to_string()),
            Self::Unix(_) => "unix".to_owned(),
            Self::Tls(s) => s.under().peer(),
            Self::Boxed(_) => "boxed".to_owned(),
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => {
                let received = std::task::ready!(s.poll_receive(cx, buf.initialize_unfilled()))?;
                buf.advance(received);
                Poll::Ready(Ok(()))
            }
            Self::Boxed(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => s.poll_send(cx, buf),
            Self::Boxed(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Unix(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => s.poll_flush(cx),
            Self::Boxed(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => s.poll_shutdown(cx),
            Self::Boxed(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
