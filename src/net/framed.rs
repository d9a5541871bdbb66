//! Whole messages off a stream, for logins and our own queries. The relay does not use this.

use std::{future::poll_fn, io};

use super::Stream;

/// The least that is read at once, in bytes: every message of a login fits.
const CHUNK: usize = 1024;
/// The most that is read at once, in bytes.
const CHUNK_MAX: usize = 64 * 1024;

/// Bytes that were read and not yet used.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The message is longer than we take, or its length is impossible.
    #[error("invalid length {length} of message {tag:?}")]
    Length {
        /// The message's type.
        tag: char,
        /// The length it gives.
        length: u32,
    },
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error,
            length @ FrameError::Length { .. } => Self::new(io::ErrorKind::InvalidData, length),
        }
    }
}

impl Inbox {
    /// Begins with what was read before.
    pub const fn new(unread: Vec<u8>) -> Self {
        Self { bytes: unread, start: 0 }
    }

    /// What is there and not used.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Marks this many bytes as used.
    pub fn consume(&mut self, count: usize) {
        self.start = self.bytes.len().min(self.start + count);
    }

    /// Gives up what is not used.
    pub fn into_unread(mut self) -> Vec<u8> {
        if self.start == self.bytes.len() {
            return Vec::new();
        }
        self.bytes.drain(..self.start);
        self.bytes
    }

    /// Reads more; the end of the stream is an error ([`io::ErrorKind::UnexpectedEof`]). Cancel-safe.
    pub async fn fill(&mut self, stream: &mut Stream) -> io::Result<()> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let filled = self.bytes.len();
        // Doubles, so that a long message costs few reads.
        let chunk = filled.clamp(CHUNK, CHUNK_MAX);
        let received = poll_fn(|cx| {
            self.bytes.resize(filled + chunk, 0);
            let received = stream.poll_receive(cx, &mut self.bytes[filled..]);
            let kept = if let std::task::Poll::Ready(Ok(count)) = received { count } else { 0 };
            self.bytes.truncate(filled + kept);
            received
        })
        .await?;
        if received == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The length of the next message with its tag, once its header is there, if `limit` allows its body.
    fn next_length(&self, limit: usize) -> Result<Option<usize>, FrameError> {
        let [tag, a, b, c, d, ..] = *self.unread() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        let body = (length as usize).checked_sub(4).filter(|body| *body <= limit);
        body.map(|body| Some(body + 5)).ok_or(FrameError::Length { tag: char::from(tag), length })
    }

    /// The next message, if all of it is there: its tag and body of at most `limit` bytes.
    fn take_frame(&mut self, limit: usize) -> Result<Option<(u8, &[u8])>, FrameError> {
        let Some(length) = self.next_length(limit)?.filter(|length| self.unread().len() >= *length) else {
            return Ok(None);
        };
        let start = self.start;
        self.start += length;
        Ok(Some((self.bytes[start], &self.bytes[start + 5..start + length])))
    }

    /// The next message: its tag and body of at most `limit` bytes. Cancel-safe.
    pub async fn frame(&mut self, stream: &mut Stream, limit: usize) -> Result<(u8, &[u8]), FrameError> {
        while self.next_length(limit)?.is_none_or(|length| self.unread().len() < length) {
            self.fill(stream).await?;
        }
        self.take_frame(limit)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{run, scripted};

    /// Every message of `bytes`, cut in two reads anywhere.
    fn frames(bytes: &[u8], limit: usize) -> Vec<String> {
        let read = |cut| {
            run(async {
                let (mut stream, _) = scripted(&[bytes], cut);
                let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
                loop {
                    match inbox.frame(&mut stream, limit).await {
                        Ok((tag, body)) => seen.push(format!("{} {}", char::from(tag), body.len())),
                        Err(error) => break seen.push(error.to_string()),
                    }
                }
                seen
            })
        };
        let whole = read(0);
        for cut in 1..bytes.len().min(64) {
            assert_eq!(read(cut), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn messages() {
        let long = [&b"D\0\0\x20\x04"[..], &[7; 8192], b"Z\0\0\0\x05I"].concat();
        for (bytes, limit, expected) in [
            (&b""[..], 10, &["unexpected end of file"][..]),
            (b"Z\0\0\0\x05IS\0\0\0\x04", 1, &["Z 1", "S 0", "unexpected end of file"]),
            (b"Z\0\0\0\x06I", 10, &["unexpected end of file"]),
            (b"Z\0\0\0\x06", 1, &["invalid length 6 of message 'Z'"]),
            (b"Z\0\0\0\x03", 10, &["invalid length 3 of message 'Z'"]),
            (b"Z\xff\xff\xff\xff", 10, &["invalid length 4294967295 of message 'Z'"]),
            (&long, 8192, &["D 8192", "Z 1", "unexpected end of file"]),
        ] {
            assert_eq!(frames(bytes, limit), expected);
        }
    }

    #[test]
    fn what_is_left_is_given_up() {
        let mut inbox = Inbox::new(b"Z\0\0\0\x05IQ\0\0".to_vec());
        assert!(inbox.take_frame(1).is_ok_and(|frame| frame == Some((b'Z', &b"I"[..]))));
        assert!(inbox.take_frame(1).is_ok_and(|frame| frame.is_none()));
        assert_eq!(inbox.into_unread(), b"Q\0\0");
        assert_eq!(Inbox::default().into_unread().capacity(), 0);
    }
}
