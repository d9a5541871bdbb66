//! Bytes on their way out, to the server only with the right to write there.

use std::{
    io,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use super::{Activity, ClientEnd, Cut, Exchange, Moment, PoolMode, Session};
use crate::{
    pool::lease::Lease,
    session::{
        exchange::ReadOnly,
        frontend::{Forwarded, Stop, Terms, Vigilance},
        session::Teller,
    },
};

impl Session {
    /// Passes bytes of the client's on to the server as far as they are understood; how far.
    pub(in crate::session) fn send_on(
        &mut self,
        x: &mut Exchange,
        bytes: &[u8],
        output: &mut Vec<u8>,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<usize, Cut> {
        self.resume = false;
        let bytes = x.trial.bound(bytes);
        let Some(lease) = x.lease.as_mut() else {
            return Err(Cut::ServerGone("it was given back".to_owned()));
        };
        let office = lease.office();
        if office != 0 && !self.context.router.may_send(office, now) {
            self.hold_back(x, now);
            return Ok(0);
        }
        x.fenced_since = None;
        let term = lease.term();
        let account = &self.tenant.account;
        let tells = self.promise.is_some() || self.is_inquisitive() || account.tells.load(Ordering::Relaxed);
        let member = tells.then(|| lease.pool().member().clone());
        let Some(server) = lease.server() else {
            return Err(Cut::ServerGone("it was given back".to_owned()));
        };
        let conn = &mut server.conn;
        let teller = member.map(|member| Teller {
            context: &self.context,
            account: &self.tenant.account,
            entry: &self.entry,
            promise: self.promise.as_deref(),
            state: &self.state,
            inquisitive: self.inquisitive,
            term,
            member,
            opened_at: conn.opened_at,
            now,
        });
        let told = |told| teller.as_ref().and_then(|teller| teller.sql(told));
        let opaque = self.opaque.as_deref();
        let sequences = self.tenant.account.reads_sequences.load(Ordering::Relaxed);
        let all = x.pin.is_some() || opaque.is_some() || sequences;
        let terms = Terms {
            client: self.entry.key.pid,
            catalog: &self.context.catalog,
            scope: &self.scope,
            lexicon: self.lexicon,
            readings: &self.context.worker.readings,
            max_prepared_statements: self.max_prepared_statements,
            unnamed: self.unnamed,
            schema: &self.schema,
            now,
            read_only: x.read_only == ReadOnly::Enforced,
            state: &self.state,
            opaque,
            sequences: x.sequences,
            sequences_are_read: &self.tenant.account.reads_sequences,
            temp_buffers_are_set: &self.tenant.account.sets_temp_buffers,
            told: tells.then_some(&told),
            vigilance: if all { Vigilance::All } else { Vigilance::Suspects },
        };
        // What may be looked at by itself: what is bound or open before it may run with it.
        let begins = !x.pipeline.is_in_sequence() && !self.frontend.is_inside_message();
        let forwarded = self
            .frontend
            .forward(bytes, output, conn, &mut x.pipeline, &mut x.tenancy, &terms)
            .map_err(Cut::ClientFault)?;
        let taken = self.pass_forwarded(x, &forwarded, (bytes, begins), now, cx)?;
        if x.pipeline.only_own_answers() {
            output.clear();
            x.backend.own_answers(&mut x.pipeline, output);
            x.untried.answered();
            self.outbox_send(output, cx).map_err(|_| Cut::ClientGone)?;
        }
        Ok(taken)
    }

    /// Sends what the client's bytes have become, and whether they begin a request.
    #[inline]
    fn pass_forwarded(
        &mut self,
        x: &mut Exchange,
        forwarded: &Forwarded<'_>,
        (bytes, begins): (&[u8], bool),
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<usize, Cut> {
        let taken = forwarded.taken;
        x.trial.sent(taken);
        match forwarded.stop {
            Stop::Incomplete => {}
            // What is left waits for answers, not for more bytes.
            Stop::Unanswered => self.resume = taken < bytes.len(),
            Stop::Terminated => x.client = ClientEnd::Terminated,
        }
        if !x.tenancy.has_only_looked()
            && let Some(server) = x.lease.as_mut().and_then(Lease::server)
        {
            server.cancel.used_by(self.entry.key.pid);
            if let Some(alone) = x.tenancy.needs_alone.take() {
                self.make_room_in(x, *alone);
            }
        }
        if self.is_inquisitive() {
            self.follow_sent(x, now);
        }
        if !forwarded.bytes.is_empty() {
            x.pipeline.sent_bytes(forwarded.bytes);
            if x.tenancy.placing.is_on() {
                let request = if begins { &bytes[..taken] } else { &[] };
                self.write_placing(x, forwarded.bytes, request, now, cx)?;
            } else {
                self.write_server(x, forwarded.bytes, now, cx)?;
            }
        }
        x.untried.sent(&bytes[..taken], x.mode(self.mode), &x.pipeline);
        Ok(taken)
    }

    /// There is no right to write now: what the client has sent waits, and is not understood before, so that it can be
    /// cancelled, or run elsewhere.
    #[cold]
    pub(super) fn hold_back(&mut self, x: &mut Exchange, now: Moment) {
        self.resume = true;
        if x.fenced_since.is_none() {
            x.fenced_since = Some(now);
            x.alarm = None;
            self.entry.enter(x.activity(Activity::Waiting), now);
        }
    }

    /// Sends bytes to the server, or keeps them until there is the right to. Nothing may be waiting before.
    pub(in crate::session) fn write_server(
        &self,
        x: &mut Exchange,
        bytes: &[u8],
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<(), Cut> {
        if self.entry.activity().0 != Activity::Running {
            self.entry.enter(Activity::Running, now);
        }
        let begins = x.mode(self.mode) == PoolMode::Session || x.tenancy.placing.is_on();
        if begins && self.entry.transaction_since().is_none() {
            self.entry.in_transaction(Some(now));
        }
        let Some(lease) = x.lease.as_mut() else { return Ok(()) };
        if !self.may_send(lease.office()) {
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
    pub(super) fn may_send(&self, term: u64) -> bool {
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
        if !self.may_send(lease.office()) {
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

    /// What was not taken of the inbox is there again.
    pub(super) fn keep(&mut self, mut inbox: Vec<u8>, taken: usize) {
        if taken < inbox.len() {
            inbox.drain(..taken);
            self.inbox = inbox;
        }
    }
}
