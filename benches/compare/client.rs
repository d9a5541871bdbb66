//! A small PostgreSQL client: it counts bytes and keeps none.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::Result;
use crate::scram::{Account, Exchange};

/// Longest message this client is ready to look into (rows and COPY data are skipped, whatever their length).
const MESSAGE_MAX: usize = 1 << 20;

/// A connection that has logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Box<[u8]>,
    start: usize,
    end: usize,
    received: u64,
}

impl Client {
    /// Connects from `source` (many of them spare the kernel's ephemeral ports) and logs in.
    pub(crate) async fn connect(to: SocketAddr, source: Ipv4Addr, account: &Account) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let input = vec![0; 64 << 10].into_boxed_slice();
        let mut client = Self { stream, input, start: 0, end: 0, received: 0 };
        client.log_in(account).await?;
        Ok(client)
    }

    async fn log_in(&mut self, account: &Account) -> Result<()> {
        let mut startup = vec![0; 4];
        startup.extend_from_slice(&(3_i32 << 16).to_be_bytes());
        for word in ["user", &account.user, "database", &account.user, ""] {
            startup.extend_from_slice(word.as_bytes());
            startup.push(0);
        }
        let length = u32::try_from(startup.len())?.to_be_bytes();
        startup[..4].copy_from_slice(&length);
        self.stream.write_all(&startup).await?;

        let exchange = Exchange::begin(account)?;
        loop {
            let (tag, body) = self.message().await?;
            match (tag, body.get(..4)) {
                (b'Z', _) => return Ok(()),
                (b'R', Some([0, 0, 0, 10])) => {
                    let first = exchange.first();
                    let mut answer = b"SCRAM-SHA-256\0".to_vec();
                    answer.extend_from_slice(&u32::try_from(first.len())?.to_be_bytes());
                    answer.extend_from_slice(first.as_bytes());
                    self.send(&[(b'p', &answer)]).await?;
                }
                (b'R', Some([0, 0, 0, 11])) => {
                    let last = exchange.last(std::str::from_utf8(&body[4..])?)?;
                    self.send(&[(b'p', last.as_bytes())]).await?;
                }
                (b'R', Some([0, 0, 0, 0 | 12])) => {}
                (b'R', _) => return Err("the server asks for something other than SCRAM-SHA-256".into()),
                _ => {}
            }
        }
    }

    /// Runs a simple query and returns how many bytes its answer took on the wire.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<u64> {
        let before = self.received;
        self.send(&[(b'Q', &[sql.as_bytes(), b"\0"].concat())]).await?;
        self.until(b'Z').await?;
        Ok(self.received - before)
    }

    /// Prepares the statement under that name and runs it once with one parameter, in one round trip.
    pub(crate) async fn prepare_and_run(&mut self, name: &str, sql: &str, parameter: &str) -> Result<()> {
        let parse = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat();
        let length = u32::try_from(parameter.len())?.to_be_bytes();
        // Unnamed portal, no formats, one parameter, no result formats.
        let bind =
            [b"\0", name.as_bytes(), b"\0\0\0\0\x01", &length[..], parameter.as_bytes(), b"\0\0"].concat();
        self.send(&[(b'P', &parse), (b'B', &bind), (b'E', b"\0\0\0\0\0"), (b'S', b"")]).await?;
        self.until(b'Z').await
    }

    /// Sends the data `times` over as a COPY, and returns how many bytes that took on the wire. As libpq does, every
    /// CopyData is written out by itself.
    pub(crate) async fn copy_in(&mut self, sql: &str, data: &[u8], times: u32) -> Result<u64> {
        self.send(&[(b'Q', &[sql.as_bytes(), b"\0"].concat())]).await?;
        self.until(b'G').await?;
        let mut message = vec![b'd'];
        message.extend_from_slice(&u32::try_from(data.len() + 4)?.to_be_bytes());
        message.extend_from_slice(data);
        for _ in 0..times {
            self.stream.write_all(&message).await?;
        }
        self.send(&[(b'c', b"")]).await?;
        self.until(b'Z').await?;
        Ok(u64::try_from(message.len())? * u64::from(times))
    }

    /// Says good-bye and waits for the other side to close, so that no connection is still being torn down when
    /// the next begins.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.send(&[(b'X', b"")]).await?;
        while self.stream.read(&mut self.input).await? > 0 {}
        Ok(())
    }

    /// The bare socket, without the buffers: for a client that only stays connected.
    pub(crate) fn into_idle(self) -> TcpStream {
        self.stream
    }

    async fn send(&mut self, messages: &[(u8, &[u8])]) -> Result<()> {
        let mut output = Vec::new();
        for (tag, body) in messages {
            output.push(*tag);
            output.extend_from_slice(&u32::try_from(body.len() + 4)?.to_be_bytes());
            output.extend_from_slice(body);
        }
        Ok(self.stream.write_all(&output).await?)
    }

    async fn until(&mut self, wanted: u8) -> Result<()> {
        while self.message().await?.0 != wanted {}
        Ok(())
    }

    /// The next message; the body of rows and COPY data is left out. An ErrorResponse is an error.
    async fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        while self.end - self.start < 5 {
            self.fill().await?;
        }
        let header = &self.input[self.start..self.start + 5];
        let tag = header[0];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut left = usize::try_from(length)?.checked_sub(4).ok_or("a message shorter than its length")?;
        self.start += 5;
        let keep = !matches!(tag, b'D' | b'd');
        if keep && left > MESSAGE_MAX {
            return Err(format!("a message {:?} of {left} bytes", char::from(tag)).into());
        }
        let mut body = Vec::new();
        while left > 0 {
            if self.start == self.end {
                self.fill().await?;
            }
            let piece = left.min(self.end - self.start);
            if keep {
                body.extend_from_slice(&self.input[self.start..self.start + piece]);
            }
            self.start += piece;
            left -= piece;
        }
        if tag == b'E' {
            let fields = body.split(|byte| *byte == 0);
            let text: Vec<_> = fields.filter(|field| matches!(field.first(), Some(b'C' | b'M'))).collect();
            return Err(String::from_utf8_lossy(&text.join(&b' ')).into_owned().into());
        }
        Ok((tag, body))
    }

    async fn fill(&mut self) -> Result<()> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let got = self.stream.read(&mut self.input[self.end..]).await?;
        if got == 0 {
            return Err("the connection was closed".into());
        }
        self.end += got;
        self.received += u64::try_from(got)?;
        Ok(())
    }
}
