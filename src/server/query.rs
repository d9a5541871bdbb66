//! Our own small queries: probes, resets and SETs.

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::{login::set_parameter, questions::Questions};
use crate::{
    net::{FrameError, Inbox, Stream},
    wire::{
        description::{Shape, result},
        error::{ServerError, Severity},
        frame::put,
        message::{
            Malformed, decode_data_row, decode_parameter_status, decode_ready_for_query, encode_query_with,
        },
    },
};

/// The longest answer that is taken, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The rows of every statement, in order; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The settings that the server reported meanwhile, each once, by its last value.
    pub parameters: Vec<(String, String)>,
    /// The transaction status afterwards: `I`, `T` or `E`.
    pub status: u8,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The server refused; the connection is ready for the next query.
    #[error("{0}")]
    Server(ServerError),
    /// The connection is of no further use. If the server had a last word, it is the error's source.
    #[error("{0}")]
    Broken(io::Error),
}

/// What a server answered, byte for byte: its texts are in the encoding of the session.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The rows of every statement, in order; `None` is NULL.
    pub rows: Vec<Vec<Option<Box<[u8]>>>>,
    /// The settings that the server reported meanwhile, each once, by its last value.
    pub parameters: Vec<(String, String)>,
    /// The notifications that came meanwhile: whole messages.
    pub notifications: Vec<u8>,
    /// What was refused: which of the queries, and why. Of each query the first error.
    pub refused: Vec<(usize, ServerError)>,
    /// The same, each as the server said it: the body of its ErrorResponse.
    pub words: Vec<Box<[u8]>>,
    /// What statements take and yield that were to be described: by which of the queries, and what.
    pub shapes: Vec<(usize, Shape)>,
    /// The transaction status afterwards: `I`, `T` or `E`.
    pub status: u8,
}

impl Told {
    /// Why this one of the queries was refused, and how the server said it.
    pub fn refusal(&self, query: usize) -> Option<(&ServerError, &[u8])> {
        let mut refused = self.refused.iter().zip(&self.words);
        refused.find(|((at, _), _)| *at == query).map(|((_, error), words)| (error, &**words))
    }

    /// What the statement takes and yields that this one of the queries has asked for.
    pub fn shape(&self, query: usize) -> Option<&Shape> {
        self.shapes.iter().find(|(at, _)| *at == query).map(|(_, shape)| shape)
    }
}

/// Sends a query (or several, separated by semicolons) by the simple protocol and waits for ReadyForQuery.
///
/// The connection must be at rest. Not cancel-safe: when the future is dropped half-way the rest of the answer is
/// still on its way, and the connection must be closed. COPY is not understood and breaks the connection; an
/// answer of more than 1 MiB does too. The caller bounds the time.
pub async fn simple_query(stream: &mut Stream, sql: &str) -> Result<Answer, QueryError> {
    answer(ask(stream, &[sql.as_bytes()]).await)
}

/// Sends one statement with these values for `$1`, `$2`, … by the extended protocol, as text, and waits for
/// ReadyForQuery. No value contains a zero byte. Otherwise as [`simple_query`].
pub async fn query_with(stream: &mut Stream, sql: &str, values: &[&str]) -> Result<Answer, QueryError> {
    let mut send = Vec::with_capacity(sql.len() + 64);
    encode_query_with(&mut send, sql, values);
    answer(converse(stream, &send, 1).await)
}

fn answer(told: io::Result<Told>) -> Result<Answer, QueryError> {
    let Told { rows, parameters, refused, status, .. } = told.map_err(QueryError::Broken)?;
    if let Some((_, error)) = refused.into_iter().next() {
        return Err(QueryError::Server(error));
    }
    let text = |value: Box<[u8]>| String::from_utf8_lossy(&value).into_owned();
    let rows = rows.into_iter().map(|row| row.into_iter().map(|value| value.map(text)).collect()).collect();
    Ok(Answer { rows, parameters, status })
}

/// The same in bytes, for sessions that are a client's: several queries are sent in one go, and each is run even if one
/// before it fails. An error means that the connection is of no further use.
pub async fn ask<Q: AsRef<[u8]>>(stream: &mut Stream, queries: &[Q]) -> io::Result<Told> {
    ask_all(stream, &queries.iter().collect()).await
}

/// The same of questions of any kind.
pub async fn ask_all(stream: &mut Stream, questions: &Questions) -> io::Result<Told> {
    converse(stream, questions.bytes(), questions.count()).await
}

/// Sends what asks for so many ReadyForQuery, and waits for them.
async fn converse(stream: &mut Stream, send: &[u8], queries: usize) -> io::Result<Told> {
    stream.write_all(send).await?;

    let mut inbox = Inbox::default();
    let (mut told, mut types) = (Told::default(), None);
    let (mut left, mut answered) = (ANSWER_MAX, 0);
    while answered < queries {
        let frame = inbox.frame(stream, left).await;
        let last = |error: FrameError| last_word(told.refused.pop().map(|(_, said)| said), error.into());
        let (tag, body) = frame.map_err(last)?;
        left -= body.len();
        match take(&mut told, tag, body)? {
            Taken::More => {}
            Taken::Types => types = Some(body.into()),
            Taken::Result(yields) => {
                let shape = types.take().zip(yields).map(|(types, result)| Shape { types, result });
                told.shapes.extend(shape.map(|shape| (answered, shape)));
            }
            // The first one counts; a server that gives up has the last word instead.
            Taken::Error(_) if told.refused.last().is_some_and(|(query, _)| *query == answered) => {}
            Taken::Error(error) => {
                told.refused.push((answered, error));
                told.words.push(body.into());
            }
            Taken::Ready => (answered, types) = (answered + 1, None),
        }
    }
    drain_asynchronous(stream, &mut inbox, &mut told).await?;
    Ok(told)
}

/// Reads what a server said by itself behind ReadyForQuery, if it came along: settings and notifications (kept),
/// notices (dropped). Nothing is left unread then; an error there means that the server is giving up.
pub(super) async fn drain_asynchronous(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Told,
) -> io::Result<()> {
    while !inbox.unread().is_empty() {
        let (tag, body) = inbox.frame(stream, ANSWER_MAX).await?;
        match tag {
            b'S' => {
                let (name, value) = decode_parameter_status(body).map_err(invalid)?;
                set_parameter(&mut told.parameters, name, value);
            }
            b'A' => put(&mut told.notifications, tag, |out| out.extend_from_slice(body)),
            b'N' => {}
            b'E' => return Err(io::Error::other(decode_error(body)?)),
            _ => return Err(unexpected(tag)),
        }
    }
    Ok(())
}

enum Taken {
    More,
    /// What a statement takes.
    Types,
    /// What a statement yields, or a query; in a number, if it can be read.
    Result(Option<u64>),
    Error(ServerError),
    Ready,
}

fn take(told: &mut Told, tag: u8, body: &[u8]) -> io::Result<Taken> {
    match tag {
        b'D' => {
            let values = decode_data_row(body).map_err(invalid)?;
            told.rows.push(values.into_iter().map(|value| value.map(Into::into)).collect());
        }
        b'S' => {
            let (name, value) = decode_parameter_status(body).map_err(invalid)?;
            set_parameter(&mut told.parameters, name, value);
        }
        b'E' => return decode_error(body).map(Taken::Error),
        b'Z' => {
            told.status = decode_ready_for_query(body).map_err(invalid)?;
            return Ok(Taken::Ready);
        }
        b'A' => put(&mut told.notifications, tag, |out| out.extend_from_slice(body)),
        b't' => return Ok(Taken::Types),
        b'T' | b'n' => return Ok(Taken::Result(result(tag, body))),
        // A statement's end, an empty statement and notices; ParseComplete, BindComplete and CloseComplete.
        b'C' | b'I' | b'N' | b'1' | b'2' | b'3' => {}
        _ => return Err(unexpected(tag)),
    }
    Ok(Taken::More)
}

/// The error to report when the connection ended: the server's own word, if it said that it would.
fn last_word(said: Option<ServerError>, error: io::Error) -> io::Error {
    match said {
        Some(said) if matches!(said.severity, Severity::Fatal | Severity::Panic) => io::Error::other(said),
        _ => error,
    }
}

fn decode_error(body: &[u8]) -> io::Result<ServerError> {
    ServerError::decode(body).ok_or_else(|| invalid(Malformed("ErrorResponse")))
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

fn unexpected(tag: u8) -> io::Error {
    let text = format!("unexpected message {:?} in the answer to a query", char::from(tag));
    io::Error::new(io::ErrorKind::InvalidData, text)
}
