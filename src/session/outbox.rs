//! Bytes that a peer has not taken yet. They exist only while it is slow, and hold memory only then.

use std::{
    io,
    task::{Context, Poll},
};

use crate::net::Stream;

/// Bytes waiting to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Whether nothing waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing waits any more.
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes that wait.
    pub const fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// How many bytes there are, with those that were sent of them: where what is added next begins.
    pub const fn end(&self) -> usize {
        self.bytes.len()
    }

    /// Takes out what waits from here on.
    pub fn split_off(&mut self, begin: usize) -> Vec<u8> {
        self.bytes.split_off(begin.clamp(self.sent, self.bytes.len()))
    }

    /// Adds to what waits.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends `bytes` at once as far as the peer takes them; the rest waits. Nothing may be waiting before.
    #[inline]
    pub fn send(&mut self, stream: &mut Stream, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.poll_send(cx, &bytes[sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(more)) => sent += more,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.push(&bytes[sent..]);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends what waits. Ready when nothing does any more.
    #[inline]
    pub fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() { Poll::Ready(Ok(())) } else { self.poll_flush_some(stream, cx) }
    }

    fn poll_flush_some(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            match stream.poll_send(cx, &self.bytes[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => self.sent += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.clear();
        Poll::Ready(Ok(()))
    }
}
