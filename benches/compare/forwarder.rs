//! The least a proxy can do: one thread that copies bytes between a client and a connection of its own to the
//! server. It understands nothing and shares nothing; what it costs is the floor.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

/// The word on the command line that makes this program a forwarder: `--forwarder LISTEN UPSTREAM`.
pub(crate) const FLAG: &str = "--forwarder";

const SCRATCH: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Serves until the process ends.
pub(crate) async fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut address = || -> Result<SocketAddr> { Ok(arguments.next().unwrap_or_default().parse()?) };
    let (listen, upstream) = (address()?, address()?);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that breaks is over, and that is all there is to say about it.
            let _ = serve(client, upstream).await;
        });
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut up = Pump { from: from_client, to: to_server, pending: Vec::new() };
    let mut down = Pump { from: from_server, to: to_client, pending: Vec::new() };
    // Whichever side ends first ends the connection: a benchmark has no half-closed clients.
    poll_fn(|context| match up.poll(context) {
        Poll::Ready(end) => Poll::Ready(end),
        Poll::Pending => down.poll(context),
    })
    .await
}

/// One direction.
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    pending: Vec<u8>,
}

impl Pump<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.pending.is_empty() {
                let sent = ready!(Pin::new(&mut self.to).poll_write(context, &self.pending))?;
                self.pending.drain(..sent);
            }
            let more = BUFFER.with_borrow_mut(|buffer| self.poll_slice(context, buffer));
            if ready!(more)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once, writes that once, and keeps what did not fit.
    fn poll_slice(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.from).poll_read(context, &mut buffer))?;
        let filled = buffer.filled();
        let sent = match Pin::new(&mut self.to).poll_write(context, filled) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.pending.extend_from_slice(&filled[sent..]);
        Poll::Ready(Ok(filled.len()))
    }
}
