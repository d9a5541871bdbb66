//! Dialling a server: every address a name has, in turn, within the caller's time limit.

use std::{future::Future, io, pin::Pin, time::Duration};

use tokio::net::{TcpStream, UnixStream};

use super::{Address, Stream, socket_path};

/// Dials addresses. A trait, so that a simulation can stand in for the network.
pub trait Dial: Send + Sync {
    /// Opens a stream to `address`. The caller bounds the time.
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;
}

/// TCP keep-alive and user timeout of a socket (`tcp_keepalive…`, `tcp_user_timeout`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Whether keep-alive probes are sent.
    pub enabled: bool,
    /// Idle time before the first probe; the system's where `None`.
    pub idle: Option<Duration>,
    /// Time between probes; the system's where `None`.
    pub interval: Option<Duration>,
    /// Unanswered probes until the connection counts as dead; the system's where `None`.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged; the system's where `None`.
    pub user_timeout: Option<Duration>,
}

impl KeepAlive {
    /// Sets a TCP socket up: no delay, and keep-alive as configured.
    pub fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(stream);
        if self.enabled {
            let mut keepalive = socket2::TcpKeepalive::new();
            if let Some(idle) = self.idle {
                keepalive = keepalive.with_time(idle);
            }
            if let Some(interval) = self.interval {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(count) = self.count {
                keepalive = keepalive.with_retries(count);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}

/// The real network.
#[derive(Clone, Debug, Default)]
pub struct NetDialer {
    keepalive: KeepAlive,
}

impl NetDialer {
    /// A dialler that sets its TCP sockets up with `keepalive`.
    pub const fn new(keepalive: KeepAlive) -> Self {
        Self { keepalive }
    }
}

impl Dial for NetDialer {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            match address {
                // Tries each address of the name, IPv4 and IPv6, until one answers; a name is resolved on a
                // thread of the blocking pool.
                Address::Tcp { host, port } => {
                    let stream = TcpStream::connect((&**host, *port)).await?;
                    self.keepalive.apply(&stream)?;
                    Ok(Stream::Tcp(stream))
                }
                Address::Unix { folder, port } => {
                    Ok(Stream::Unix(UnixStream::connect(socket_path(folder, *port)).await?))
                }
            }
        })
    }
}
