//! The network between the program and the servers.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pgsteer::net::{Address, Dial, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};

use crate::{
    conn::{Conn, Life},
    node::{Ailment, Pg},
    world::Shared,
};

/// Who dials.
pub(crate) struct Network(pub(crate) Shared);

/// The program's end of a connection.
struct End {
    world: Shared,
    conn: usize,
}

/// How soon a packet that got lost is sent again.
const RETRANSMIT: Duration = Duration::from_millis(40);

impl Dial for Network {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            let delay = self.0.lock().rng.within(0, 2);
            sleep(Duration::from_millis(delay)).await;
            loop {
                {
                    let mut world = self.0.lock();
                    let Some(node) = world.nodes.iter().position(|node| node.address == *address) else {
                        return Err(io::ErrorKind::NotFound.into());
                    };
                    let host = &world.nodes[node];
                    if !host.has(Ailment::Off) && !host.has(Ailment::NoLink) {
                        if host.pg == Pg::Down {
                            return Err(io::ErrorKind::ConnectionRefused.into());
                        }
                        let (conn, now, key) = (world.conns.len(), world.now(), world.rng.next());
                        world.conns.push(Conn::new(node, now, u32::try_from(key >> 32).unwrap_or(0)));
                        world.note("dialled", conn, node as u64);
                        return Ok(Stream::Boxed(Box::new(End { world: self.0.clone(), conn })));
                    }
                }
                sleep(RETRANSMIT).await;
            }
        })
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut world = self.world.lock();
        let reachable = !world.nodes[world.conns[self.conn].node].has(Ailment::NoLink);
        let conn = &mut world.conns[self.conn];
        if reachable && !conn.outbox.is_empty() {
            let count = conn.outbox.len().min(into.remaining());
            let bytes: Vec<u8> = conn.outbox.drain(..count).collect();
            into.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        match conn.life {
            Life::Ended if reachable => Poll::Ready(Ok(())),
            Life::Broken if reachable => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => {
                conn.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut world = self.world.lock();
        let reachable = !world.nodes[world.conns[self.conn].node].has(Ailment::NoLink);
        match world.conns[self.conn].life {
            // The first bytes after the end are answered with a reset.
            Life::Broken if reachable => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Life::Ended if reachable => {
                world.received(self.conn, bytes);
                world.conns[self.conn].life = Life::Broken;
                Poll::Ready(Ok(bytes.len()))
            }
            _ => {
                world.received(self.conn, bytes);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.world.lock().dropped(self.conn);
    }
}
