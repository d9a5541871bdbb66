//! A client's end of a connection, as a driver has it.

use pgsteer::wire::{
    error::ServerError,
    message::{decode_command_complete, decode_data_row, decode_parameter_status},
    startup::{Protocol, encode_startup},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::ledger::Row;

pub(crate) struct Wire {
    stream: DuplexStream,
    inbox: Vec<u8>,
}

/// What the server said in one message.
#[derive(Debug)]
pub(crate) enum Said {
    Row(Vec<String>),
    Complete(String),
    Notice(ServerError),
    Error(ServerError),
    Setting(String, String),
    Key(Vec<u8>),
    /// The server waits for the data of a COPY.
    CopyIn,
    Ready,
    Other,
    /// The connection ended, in the middle of a message or not.
    Gone {
        midway: bool,
    },
}

impl Wire {
    pub(crate) const fn new(stream: DuplexStream) -> Self {
        Self { stream, inbox: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // Whether it is gone shows when it is read from.
        let _sent = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn greet(&mut self, user: &str, name: &str) {
        let mut hello = Vec::new();
        let settings = [("user", user), ("database", "app"), ("application_name", name)];
        encode_startup(&mut hello, Protocol::V3_0, settings.into_iter());
        self.send(&hello).await;
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Said {
        loop {
            if let [tag, a, b, c, d, ..] = self.inbox[..] {
                let length = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
                if self.inbox.len() >= length {
                    let message: Vec<u8> = self.inbox.drain(..length).collect();
                    return Said::read(tag, &message[5..]);
                }
            }
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return Said::Gone { midway: !self.inbox.is_empty() },
                Ok(_) => {}
            }
        }
    }
}

impl Said {
    fn read(tag: u8, body: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match tag {
            b'D' => {
                let values = decode_data_row(body).unwrap_or_default();
                Self::Row(values.into_iter().map(|value| text(value.unwrap_or_default())).collect())
            }
            b'C' => Self::Complete(text(decode_command_complete(body).unwrap_or_default())),
            b'N' => ServerError::decode(body).map_or(Self::Other, Self::Notice),
            b'E' => ServerError::decode(body).map_or(Self::Other, Self::Error),
            b'S' => decode_parameter_status(body)
                .map_or(Self::Other, |(name, value)| Self::Setting(text(name), text(value))),
            b'K' => Self::Key(body.to_vec()),
            b'G' => Self::CopyIn,
            b'Z' => Self::Ready,
            _ => Self::Other,
        }
    }
}

/// A simple query.
pub(crate) fn query(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    pgsteer::wire::message::encode_query(&mut bytes, text);
    bytes
}

/// Parse.
pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    pgsteer::wire::frame::put(&mut bytes, b'P', |out| {
        out.extend_from_slice(format!("{name}\0{text}\0\0\0").as_bytes());
    });
    bytes
}

/// Bind of two values in text form, Describe, Execute, Sync.
pub(crate) fn run(name: &str, (client, number): Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    pgsteer::wire::frame::put(&mut bytes, b'B', |out| {
        out.extend_from_slice(format!("\0{name}\0\0\0\0\x02").as_bytes());
        for value in [client.to_string(), number.to_string()] {
            out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"\0\0");
    });
    bytes.extend_from_slice(b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
    bytes
}

/// A statement without values: Parse, Bind, Execute, Sync.
pub(crate) fn once(text: &str) -> Vec<u8> {
    let mut bytes = parse("", text);
    bytes.extend_from_slice(b"B\0\0\0\x0C\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
    bytes
}
