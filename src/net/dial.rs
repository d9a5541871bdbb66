//! Dialling a server: every address a name has, in turn, within the caller's time limit.

use std::{future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::net::{TcpStream, UnixStream};

use super::{Address, Stream, socket_path};

/// Dials addresses. A trait, so that a simulation can stand in for the network.
pub trait Dial: Send + Sync {
    /// Opens a stream to `address`. The caller bounds the time.
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;

    /// The addresses that a host name has now; none where names have no addresses.
    fn resolve<'a>(
        &'a self,
        _host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Sets the TCP sockets of later dials up like this.
    fn set_keepalive(&self, _keepalive: KeepAlive) {}
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
#[derive(Debug, Default)]
pub struct NetDialer {
    keepalive: ArcSwap<KeepAlive>,
}

impl NetDialer {
    /// A dialler that sets its TCP sockets up with `keepalive`.
    pub fn new(keepalive: KeepAlive) -> Self {
        Self { keepalive: ArcSwap::from_pointee(keepalive) }
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
                Address::Tcp { host, port, .. } => {
                    let stream = TcpStream::connect((&**host, *port)).await?;
                    self.keepalive.load().apply(&stream)?;
                    Ok(Stream::Tcp(stream))
                }
                Address::Unix { folder, port } => {
                    Ok(Stream::Unix(UnixStream::connect(socket_path(folder, *port)).await?))
                }
            }
        })
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    fn set_keepalive(&self, keepalive: KeepAlive) {
        self.keepalive.store(Arc::new(keepalive));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system says of a dialled socket: keep-alive, its times and count, the user timeout.
    async fn check(dialer: &NetDialer, expected: &str) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::tcp("127.0.0.1", listener.local_addr().unwrap().port());
        let Ok(Stream::Tcp(stream)) = dialer.dial(&address).await else { panic!("no connection") };
        let socket = socket2::SockRef::from(&stream);
        let alive = socket.keepalive().unwrap().then(|| {
            let [idle, interval] = [socket.tcp_keepalive_time(), socket.tcp_keepalive_interval()];
            (idle.unwrap().as_secs(), interval.unwrap().as_secs(), socket.tcp_keepalive_retries().unwrap())
        });
        let timeout = socket.tcp_user_timeout().unwrap();
        assert_eq!(format!("{alive:?} {timeout:?} {}", stream.nodelay().unwrap()), expected);
    }

    #[tokio::test]
    async fn a_name_has_addresses() {
        let found = NetDialer::default().resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(NetDialer::default().resolve("no such host").await.is_err());
    }

    #[tokio::test]
    async fn sockets_are_set_up_as_configured_by_then() {
        let dialer = NetDialer::default();
        check(&dialer, "None None true").await;
        dialer.set_keepalive(KeepAlive {
            enabled: true,
            idle: Some(Duration::from_secs(31)),
            interval: Some(Duration::from_secs(11)),
            count: Some(4),
            user_timeout: Some(Duration::from_millis(7500)),
        });
        check(&dialer, "Some((31, 11, 4)) Some(7.5s) true").await;
        dialer
            .set_keepalive(KeepAlive { user_timeout: Some(Duration::from_secs(9)), ..KeepAlive::default() });
        check(&dialer, "None Some(9s) true").await;
    }
}
