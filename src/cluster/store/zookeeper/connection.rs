//! A session with one server of ZooKeeper, one question at a time.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::jute::{self, AUTH, Connected, EVENT, Head, NO_NODE, Operation, PING, Reader};
use crate::{
    cluster::store::follow::{READ_TIMEOUT, within},
    net::{Stream, secured::Secured},
};

/// The timeout that is asked for: nothing of ours ends with the session. The server allows no less than two ticks.
const SESSION: Duration = Duration::from_secs(6);
/// Longest message that is taken, in bytes; ZooKeeper itself sends 1 MiB at most unless told otherwise.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// A session.
pub(super) struct Connection {
    stream: Stream,
    /// What was received of the next message.
    received: Vec<u8>,
    number: i32,
    /// The newest change that the server has spoken of.
    pub(super) zxid: i64,
    /// How long the server waits for a sign of life.
    timeout: Duration,
}

impl Connection {
    /// Begins a session, as `user:password` if there are any.
    pub(super) async fn open(to: &Secured, login: Option<&str>) -> Result<Self, String> {
        let stream = to.connect().await?;
        let mut this = Self { stream, received: Vec::new(), number: 0, zxid: 0, timeout: SESSION };
        this.send(&jute::connect(i32::try_from(SESSION.as_millis()).unwrap_or(i32::MAX))).await?;
        let connected = Connected::read(&this.message().await?)?;
        let timeout = u64::try_from(connected.timeout).unwrap_or(0);
        if timeout == 0 {
            return Err("it refused the session".to_owned());
        }
        this.timeout = Duration::from_millis(timeout);
        if let Some(pair) = login {
            this.send(&jute::digest(pair)).await?;
            this.answer(AUTH).await?;
        }
        Ok(this)
    }

    /// Asks about a node. `None`: there is no such node.
    pub(super) async fn ask<T>(
        &mut self,
        operation: Operation,
        path: &str,
        watch: bool,
        read: impl Fn(Reader<'_>) -> Result<T, jute::Malformed>,
    ) -> Result<Option<T>, String> {
        self.number = self.number.wrapping_add(1).max(1);
        self.send(&jute::request(self.number, operation, path, watch)).await?;
        match self.answer(self.number).await {
            Ok(message) => Ok(Some(read(Reader(&message))?)),
            Err(Refused::With(NO_NODE)) => Ok(None),
            Err(refused) => Err(format!("{path}: {}", String::from(refused))),
        }
    }

    /// Waits for a watch's event, and meanwhile keeps the session alive.
    pub(super) async fn event(&mut self) -> Result<(), String> {
        loop {
            let Ok(message) = tokio::time::timeout(self.timeout / 3, self.message()).await else {
                self.send(&jute::ping()).await?;
                // A server that does not answer it is gone, whatever else it says.
                if within(READ_TIMEOUT, self.pong()).await? == Heard::Event {
                    return Ok(());
                }
                continue;
            };
            if Head::read(&message?)?.0.number == EVENT {
                return Ok(());
            }
        }
    }

    async fn pong(&mut self) -> Result<Heard, String> {
        let mut heard = Heard::Nothing;
        loop {
            let message = self.message().await?;
            match Head::read(&message)?.0.number {
                PING => return Ok(heard),
                EVENT => heard = Heard::Event,
                _ => {}
            }
        }
    }

    /// The answer to a request, without its head. An event that comes before it is left out: what it is about is being
    /// read.
    async fn answer(&mut self, number: i32) -> Result<Vec<u8>, Refused> {
        loop {
            let message = self.message().await.map_err(Refused::Broken)?;
            let (head, rest) = Head::read(&message).map_err(|malformed| Refused::Broken(malformed.into()))?;
            if head.number != number {
                continue;
            }
            self.zxid = self.zxid.max(head.zxid);
            return if head.error == 0 { Ok(rest.0.to_vec()) } else { Err(Refused::With(head.error)) };
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), String> {
        let sent = async {
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| error.to_string())
    }

    /// The next message. May be given up and called again: what was received so far stays.
    async fn message(&mut self) -> Result<Vec<u8>, String> {
        const LENGTH: usize = 4;
        loop {
            if let Some(length) = self.received.first_chunk::<LENGTH>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > MESSAGE_MAX {
                    return Err(jute::Malformed.into());
                }
                if self.received.len() >= LENGTH + length {
                    let rest = self.received.split_off(LENGTH + length);
                    let message = std::mem::replace(&mut self.received, rest);
                    return Ok(message.get(LENGTH..).unwrap_or_default().to_vec());
                }
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// What was heard before a ping's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Event,
}

/// Why a request has no answer.
enum Refused {
    /// The server says so.
    With(i32),
    /// The connection is of no use any more.
    Broken(String),
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::With(error) => jute::in_words(error),
            Refused::Broken(why) => why,
        }
    }
}
