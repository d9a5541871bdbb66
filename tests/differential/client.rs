//! A client that knows nothing but messages.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use pgsteer_testkit::Result;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::script::Copied;

/// A query that waits for a server may wait longer than this only if something is wrong.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// A message: its tag and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// One connection, welcomed.
pub(crate) struct Client {
    stream: TcpStream,
    read: BytesMut,
    /// The process id that it was told.
    pub(crate) pid: i32,
    /// What the other side said of its own accord about a channel while nothing was asked, in order.
    pub(crate) heard: Vec<Message>,
    /// How many of that it has waited for.
    awaited: usize,
}

impl Client {
    pub(crate) async fn connect(at: SocketAddr, parameters: &[(&str, &str)]) -> Result<(Self, Vec<Message>)> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, read: BytesMut::new(), pid: 0, heard: Vec::new(), awaited: 0 };
        let mut hello = BytesMut::new();
        frontend::startup_message(parameters.iter().copied(), &mut hello)?;
        client.send(&hello).await?;
        let mut welcome = client.until_ready(None).await?;
        let key = welcome.iter().find(|message| message.tag == b'K').context("no key")?;
        client.pid = (&key.body[..4]).get_i32();
        welcome.retain(|message| message.tag != b'K');
        Ok((client, welcome))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Everything up to `ReadyForQuery`, or to the end of the connection; a COPY is given its data on the way, and the
    /// Sync that the server does not heed while it copies. Notifications stand in front of `ReadyForQuery`: those that come sooner
    /// may have been on their way already.
    pub(crate) async fn until_ready(&mut self, copied: Option<&Copied>) -> Result<Vec<Message>> {
        let (mut messages, mut heard) = (Vec::new(), Vec::new());
        let reading = async {
            while let Some(message) = self.next().await? {
                let tag = message.tag;
                if tag == b'A' {
                    heard.push(message);
                    continue;
                }
                if tag == b'Z' {
                    messages.append(&mut heard);
                }
                messages.push(message);
                match tag {
                    b'Z' => break,
                    b'G' => self.give(copied, is_extended(&messages)).await?,
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(ANSWER_TIME_MAX, reading).await.context("no ReadyForQuery")??;
        Ok(messages)
    }

    async fn give(&mut self, copied: Option<&Copied>, with_sync: bool) -> Result {
        let mut bytes = BytesMut::new();
        match copied {
            None => frontend::copy_fail("the script gives nothing", &mut bytes)?,
            Some(given) => {
                for part in given.data.as_bytes().chunks(7) {
                    frontend::CopyData::new(part)?.write(&mut bytes);
                }
                if given.fails {
                    frontend::copy_fail("the script gives up", &mut bytes)?;
                } else {
                    frontend::copy_done(&mut bytes);
                }
            }
        }
        if with_sync {
            frontend::sync(&mut bytes);
        }
        self.send(&bytes).await
    }

    /// Waits until as many notifications more were heard while nothing was asked.
    pub(crate) async fn hears(&mut self, number: usize) -> Result {
        self.awaited += number;
        let waiting = async {
            while self.heard.len() < self.awaited {
                let message = self.next().await?.context("the connection ended")?;
                ensure!(message.tag == b'A', "{message:?} while waiting for notifications");
                self.heard.push(message);
            }
            Ok(())
        };
        tokio::time::timeout(ANSWER_TIME_MAX, waiting).await.context("not heard in time")?
    }

    /// The next message; nothing when the connection has ended.
    async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if self.read.len() >= 5 {
                let length = (&self.read[1..5]).get_u32() as usize;
                if self.read.len() > length {
                    let tag = self.read[0];
                    let frame = self.read.split_to(length + 1);
                    return Ok(Some(Message { tag, body: frame[5..].to_vec() }));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                ensure!(self.read.is_empty(), "the connection ended within a message");
                return Ok(None);
            }
        }
    }

    /// Says good-bye.
    pub(crate) async fn leave(mut self) -> Result {
        let mut bytes = BytesMut::new();
        frontend::terminate(&mut bytes);
        self.send(&bytes).await
    }
}

fn is_extended(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.tag == b'2')
}
