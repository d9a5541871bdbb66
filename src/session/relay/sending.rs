//! Bytes on their way out, to the server only with the right to write there.

use std::{
    io,
    task::{Context, Poll},
};

use super::{Activity, Cut, Exchange, Moment, PoolMode, Session};

impl Session {
    /// Sends bytes to the server, or keeps them until there is the right to. Nothing may be waiting before.
    pub(super) fn write_server(
        &self,
        x: &mut Exchange,
        bytes: &[u8],
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<(), Cut> {
        if self.entry.activity().0 != Activity::Running {
            self.entry.enter(Activity::Running, now);
        }
        if x.mode(self.mode) == PoolMode::Session && self.entry.transaction_since().is_none() {
            self.entry.in_transaction(Some(now));
        }
        let Some(lease) = x.lease.as_mut() else { return Ok(()) };
        if !self.may_send(lease.term()) {
            x.to_server.push(bytes);
            x.fenced_since = Some(now);
            x.alarm = None;
        } else if let Some(server) = lease.server() {
            let sent = x.to_server.send(&mut server.conn.stream, cx, bytes);
            sent.map_err(|error| Cut::ServerGone(error.to_string()))?;
        }
        Ok(())
    }

    /// Whether there is the right to write in a term, at this very moment: the process may have stood still since the
    /// poll began, and what is sent now have come after that.
    fn may_send(&self, term: u64) -> bool {
        term == 0 || self.context.router.may_send(term, self.context.clock.now())
    }

    pub(super) fn outbox_send(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        if self.outbox.is_empty() {
            return self.outbox.send(&mut self.stream, cx, bytes);
        }
        self.outbox.push(bytes);
        Ok(())
    }

    /// Sends what waits for the server, if it may be sent; whether nothing waits any more.
    pub(super) fn flush_to_server(
        &self,
        x: &mut Exchange,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        let Some(lease) = x.lease.as_mut() else { return Ok(false) };
        if !self.may_send(lease.term()) {
            x.fenced_since.get_or_insert(now);
            return Ok(false);
        }
        x.fenced_since = None;
        let Some(server) = lease.server() else { return Ok(false) };
        match x.to_server.poll_flush(&mut server.conn.stream, cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Cut::ServerGone(error.to_string())),
            Poll::Pending => Ok(false),
        }
    }

    /// What was not dealt with is kept.
    pub(super) fn keep(&mut self, mut inbox: Vec<u8>, taken: usize) {
        if taken < inbox.len() {
            inbox.drain(..taken);
            self.inbox = inbox;
        }
    }
}
