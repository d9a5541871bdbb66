//! A way to a server on which everything may get lost or take long, where there is no network of the sandbox's own to cut.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::{Cluster, Moment, Result, Sandbox, now};

/// Connections that the kernel takes in before somebody asks for them.
const LINE: u32 = 4;
/// What a connection that it takes in would need.
const TAKEN_IN: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What arrives, arrives so much later.
    Open(Duration),
    Silent,
}

impl Way {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

/// An address that leads to another one.
#[derive(Debug)]
pub struct Link {
    /// The near end.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    /// Keep the kernel from answering anybody else.
    line: Vec<TcpStream>,
    carrying: JoinHandle<()>,
}

impl Link {
    /// Lays one from the sandbox's address with this number to a server.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(sandbox: &Sandbox, host: u8, server: SocketAddr) -> Result<Self> {
        let address = sandbox.address(host, server.port())?;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(LINE)?;
        let (way, open) = watch::channel(Way::Open(Duration::ZERO));
        let carrying = tokio::spawn(carry(listener, server, open));
        Ok(Self { address, way, line: Vec::new(), carrying })
    }

    /// From now on nothing arrives, either way; no connection ends, and none comes about. The answer is since when.
    ///
    /// # Errors
    /// The system's.
    pub async fn fall_silent(&mut self) -> Result<Moment> {
        self.way.send_replace(Way::Silent);
        let at = now();
        while let Ok(taken_in) = timeout(TAKEN_IN, TcpStream::connect(self.address)).await {
            self.line.push(taken_in?);
        }
        Ok(at)
    }

    /// From now on everything takes so much longer, each way.
    pub fn slow_down(&mut self, by: Duration) {
        self.line.clear();
        self.way.send_replace(Way::Open(by));
    }

    /// Everything arrives again at once, also what was sent meanwhile.
    pub fn mend(&mut self) {
        self.slow_down(Duration::ZERO);
    }
}

impl Cluster {
    /// The way of a node's Patroni to the store.
    ///
    /// # Errors
    /// There is no link on it.
    pub fn link(&mut self, name: &str) -> Result<&mut Link> {
        let place = self.nodes.iter().position(|node| node.name == name);
        place.and_then(|place| self.links.get_mut(place)).with_context(|| format!("no link of {name}"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// Ends when the link is gone, and everything that it carries with it.
async fn carry(listener: TcpListener, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let mut carried = JoinSet::new();
    while way.wait_for(Way::is_open).await.is_ok() {
        tokio::select! {
            biased;
            _ = way.changed() => {}
            Ok((client, _)) = listener.accept() => {
                carried.spawn(both_ways(client, server, way.clone()));
            }
            Some(_) = carried.join_next() => {}
        }
    }
}

async fn both_ways(client: TcpStream, server: SocketAddr, way: watch::Receiver<Way>) -> Result {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (there, back) = (pass(from_client, to_server, way.clone()), pass(from_server, to_client, way));
    tokio::try_join!(there, back).map(drop)
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> Result {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let way = *way.wait_for(Way::is_open).await?;
        if let Way::Open(delay) = way {
            sleep(delay).await;
        }
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&bytes[..count]).await?;
    }
}
