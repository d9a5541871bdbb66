//! A stream that plays a script, for tests: bytes in chunks as cut by the test, and what was written.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Address, Dial, Stream};

/// What was written to a [`Stream`] made by [`scripted`].
pub(crate) type Written = Arc<Mutex<Vec<u8>>>;

struct Scripted {
    /// Each turn's bytes come once something was written since the turn before; its chunks come one by one.
    turns: VecDeque<VecDeque<Vec<u8>>>,
    answered: usize,
    written: Written,
}

/// A stream whose peer says `turns`, each only after an answer to the one before, and then ends.
///
/// `cut` is where, counted over all turns, the bytes are cut in two reads.
pub(crate) fn scripted(turns: &[&[u8]], cut: usize) -> (Stream, Written) {
    let mut before = 0;
    let turns = turns.iter().map(|turn| {
        let (head, tail) = turn.split_at(cut.saturating_sub(before).min(turn.len()));
        before += turn.len();
        [head, tail].into_iter().filter(|chunk| !chunk.is_empty()).map(<[u8]>::to_vec).collect()
    });
    let written = Written::default();
    let scripted = Scripted { turns: turns.collect(), answered: 0, written: Arc::clone(&written) };
    (Stream::Boxed(Box::new(scripted)), written)
}

impl AsyncRead for Scripted {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let written = this.written.lock().len();
        if this.turns.front().is_some_and(VecDeque::is_empty) {
            this.turns.pop_front();
            assert!(this.turns.is_empty() || written > this.answered, "read on without answering");
            this.answered = written;
        }
        if let Some(chunk) = this.turns.front_mut().and_then(VecDeque::front_mut) {
            let count = chunk.len().min(into.remaining());
            into.put_slice(&chunk[..count]);
            chunk.drain(..count);
            let empty = chunk.is_empty();
            if empty && let Some(turn) = this.turns.front_mut() {
                turn.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Dials to the one stream it was given.
pub(crate) struct Once(pub(crate) Mutex<Option<Stream>>);

impl Dial for Once {
    fn dial<'a>(&'a self, _: &'a Address) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        let stream = self.0.lock().take().ok_or_else(|| io::ErrorKind::ConnectionRefused.into());
        Box::pin(std::future::ready(stream))
    }
}

/// Runs a future that never waits for anything real.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
