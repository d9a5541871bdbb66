//! One connection, spoken to in bytes.

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};
use pgsteer_testkit::{Login, Result};

use super::generate::{MARKS, Step};

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The settings that were reported, by their last value.
    pub(super) settings: BTreeMap<String, String>,
}

/// Where an answer ends.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// At the next ReadyForQuery.
    Ready,
    /// At that of the marks.
    Mark,
}

/// What was answered to one step.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) messages: Vec<Message>,
    /// The connection has ended.
    pub(super) ended: bool,
}

/// A message from a server, without what differs between servers.
pub(super) struct Message {
    tag: u8,
    body: Vec<u8>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(300)];
        write!(f, "{} {}", char::from(self.tag), shown.escape_ascii())
    }
}

impl Peer {
    /// A connection that is ready for its first request.
    pub(super) fn connect(address: SocketAddr, database: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut peer = Self { stream, unread: Vec::new(), settings: BTreeMap::new() };
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", Login::TRADER.user, "database", database, ""] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        let length = u32::try_from(body.len() + 4)?;
        peer.stream.write_all(&[&length.to_be_bytes()[..], &body].concat())?;
        loop {
            let (tag, body) = peer.message().context("at the start")?.context("it ended at the start")?;
            ensure!(tag != b'E', "{}", body.escape_ascii());
            ensure!(tag != b'R' || body == [0; 4], "a password is wanted: {}", body.escape_ascii());
            if tag == b'Z' {
                return Ok(peer);
            }
            peer.note(tag, &body);
        }
    }

    /// Sends a step in one piece, and hears all that is answered.
    pub(super) fn play(&mut self, step: &Step, bytes: &[u8]) -> Result<Heard> {
        self.play_in_pieces(&[bytes]).with_context(|| format!("{step}"))
    }

    /// Sends a single query, and hears what it is answered.
    pub(super) fn ask(&mut self, query: &Step) -> Result<Heard> {
        self.stream.write_all(&query.bytes())?;
        self.hear(Until::Ready)
    }

    /// Runs a query that must succeed.
    pub(super) fn say(&mut self, query: &str) -> Result {
        let heard = self.ask(&Step::simple(query))?;
        ensure!(heard.error().is_none(), "{query}: {:?}", heard.error());
        Ok(())
    }

    pub(super) fn play_in_pieces(&mut self, pieces: &[&[u8]]) -> Result<Heard> {
        let mut writing = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            // Beside reading, so that neither side waits for the other to read. That nobody reads any more shows there.
            let sending = scope.spawn(move || pieces.iter().try_for_each(|piece| writing.write_all(piece)));
            let heard = self.hear(Until::Mark);
            drop(sending.join());
            heard
        })
    }

    fn hear(&mut self, until: Until) -> Result<Heard> {
        let (mut heard, mut marks) = (Heard::default(), 0);
        loop {
            let said = self.message();
            let Some((tag, body)) = said.with_context(|| format!("after {}", heard.tail()))? else {
                heard.ended = true;
                return Ok(heard);
            };
            if self.note(tag, &body) {
                continue;
            }
            let is_last = (marks >= MARKS || until == Until::Ready) && tag == b'Z';
            marks = if tag == b'3' { marks + 1 } else { 0 };
            heard.messages.push(Message { tag, body: comparable(tag, body) });
            if is_last {
                return Ok(heard);
            }
        }
    }

    /// Takes note of a setting; whether it was one.
    fn note(&mut self, tag: u8, body: &[u8]) -> bool {
        if tag == b'S' {
            let mut words =
                body.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            if let (Some(name), Some(value)) = (words.next(), words.next()) {
                // What pgsteer tells of itself.
                if !name.starts_with("pgsteer.") {
                    self.settings.insert(name, value);
                }
            }
        }
        tag == b'S'
    }

    /// The next message, or that the connection has ended.
    fn message(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((head, rest)) = self.unread.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
                if rest.len() >= length {
                    let (tag, body) = (head[0], rest[..length].to_vec());
                    self.unread.drain(..5 + length);
                    return Ok(Some((tag, body)));
                }
            }
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(more) => self.unread.extend_from_slice(&bytes[..more]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Heard {
    /// The error that was told first, if one was.
    pub(super) fn error(&self) -> Option<String> {
        self.messages.iter().find(|message| message.tag == b'E').map(ToString::to_string)
    }

    /// Whether no transaction is open behind it.
    pub(super) fn is_idle(&self) -> bool {
        self.messages.last().is_some_and(|message| message.tag == b'Z' && message.body == b"I")
    }

    /// PostgreSQL 18 and later, where Sync comes right behind a query that they have made part of a sequence: behind so many
    /// messages nothing is as it should be. It says that the block is over, and has not ended it.
    pub(super) fn loses_its_way(&self) -> Option<usize> {
        let mut in_block = false;
        let end = self.messages.iter().position(|message| {
            let idle = message.tag == b'Z' && message.body == b"I";
            let lost = in_block && idle;
            in_block =
                if message.tag == b'3' { in_block } else { message.tag == b'Z' && message.body == b"T" };
            lost
        });
        end.map(|end| end + 1)
    }

    /// Whether it is told so.
    pub(super) fn is_told_of_lost_way(&self) -> bool {
        self.messages.iter().any(|message| message.is_error(b"StartTransactionCommand: unexpected state"))
    }

    /// How many columns each description and each row has.
    pub(super) fn columns(&self) -> Vec<u8> {
        let counted = self.messages.iter().filter(|message| matches!(message.tag, b'T' | b'D'));
        counted.filter_map(|message| message.body.get(1).copied()).collect()
    }

    fn tail(&self) -> String {
        self.messages.iter().rev().take(4).rev().map(|message| format!("\n    {message}")).collect()
    }
}

impl Message {
    /// Whether this may be heard in place of what was heard directly: the same; or, of a statement that the server lacks and
    /// cannot be given, why that is so instead of what else is wrong with it.
    pub(super) fn stands_for(&self, directly: &Self) -> bool {
        let same = self.tag == directly.tag && self.body == directly.body;
        same || (directly.is_error(b"\0C08P01\0") && self.is_of_lacking())
            || (directly.is_error(b"\0C22") && self.is_error(TABLE_IS_GONE))
    }

    /// The same for what a statement is described as.
    pub(super) fn stands_for_description(&self, directly: &Self) -> bool {
        directly.tag == b't' && self.is_of_lacking()
    }

    /// Whether an isolation level is chosen too late, because something has taken a snapshot before.
    pub(super) fn is_of_snapshot(&self) -> bool {
        self.is_error(b"\0C25001\0MSET TRANSACTION ISOLATION LEVEL must be called before any query\0")
    }

    /// Whether it is an error.
    pub(super) fn is_refusal(&self) -> bool {
        self.tag == b'E'
    }

    /// Whether a server may say so because it lacks a statement and cannot be given it.
    fn is_of_lacking(&self) -> bool {
        self.is_error(IN_FAILED_TRANSACTION) || self.is_error(TABLE_IS_GONE)
    }

    fn is_error(&self, code: &[u8]) -> bool {
        self.tag == b'E' && self.body.windows(code.len()).any(|part| part == code)
    }
}

/// In a failed transaction a server that lacks a statement cannot be given it, and says so instead of what it would say of
/// the statement: the same, most times, but from another place in its source.
const IN_FAILED_TRANSACTION: &[u8] = b"\0C25P02\0";

/// The same, where a table of the statement is not there.
const TABLE_IS_GONE: &[u8] = b"\0C42P01\0";

/// A statement yields something else than its client was told: where in its source a server would have said so, pgsteer
/// cannot know.
const RESULT_CHANGED: &[u8] = b"\0C0A000\0Mcached plan";

/// The message without numbers of tables.
fn comparable(tag: u8, mut body: Vec<u8>) -> Vec<u8> {
    let says = |code: &[u8]| tag == b'E' && body.windows(code.len()).any(|part| part == code);
    if says(IN_FAILED_TRANSACTION) || says(RESULT_CHANGED) {
        let fields = body.split_inclusive(|byte| *byte == 0);
        return fields
            .filter(|field| !matches!(field.first(), Some(b'F' | b'L' | b'R')))
            .flatten()
            .copied()
            .collect();
    }
    if tag == b'T' {
        let mut place = 2;
        while let Some(end) = body[place..].iter().position(|byte| *byte == 0) {
            let table = place + end + 1;
            if body[table..table + 4] != [0; 4] {
                body[table..table + 4].copy_from_slice(b"tabl");
            }
            place = table + 18;
        }
    }
    body
}
