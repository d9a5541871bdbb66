//! Refusing a request of a client that has a server: nothing of it goes there, but where a transaction is open, that fails,
//! as it would have if the server itself had refused.

use std::task::{Context, Poll};

use super::{Activity, Cut, Exchange, Moment, PgError, Session, TransactionStatus};
use crate::{
    session::{
        context::Scratch,
        exchange::{Fate, Refused, Rest},
    },
    wire::{
        frame::{Header, put, put_cstr},
        message::encode_ready_for_query,
        pipeline::Owed,
    },
};

/// What makes a transaction fail, whoever runs it: no statement. What it says is for the server's log.
const FAILING: &[u8] = b"the client cancelled its statement while pgsteer held it back";

impl Session {
    /// The client hears `error` instead of what its request would have come to.
    pub(in crate::session) fn refuse(&mut self, x: &mut Exchange, error: &PgError) {
        let mut message = Vec::new();
        error.encode(&mut message);
        self.outbox.push(&message);
        self.context.worker.counters.rejected.count([error.code.as_str()]);
        let is_open = x.pipeline.is_in_sequence() || x.pipeline.status() == TransactionStatus::InBlock;
        let fails = is_open || x.transaction_must_fail();
        // What is open at the server may have ended for the client, by an earlier refusal.
        let in_sequence = x.pipeline.is_in_sequence() && x.refused.is_none();
        let transaction = if fails { Fate::MustFail } else { Fate::Kept };
        x.refused = Some(Box::new(Refused { rest: Rest::Dropped(in_sequence), transaction }));
        x.pipeline.must_fail();
        x.tenancy.failed();
        x.tenancy.unlearnt = None;
        x.fenced_since = None;
        self.resume = true;
    }

    /// Drops what has come of a refused request.
    pub(in crate::session) fn drop_refused(&mut self, x: &mut Exchange, now: Moment) -> Result<(), Cut> {
        let Some(Refused { rest: Rest::Dropped(sequence), transaction }) = x.refused.as_deref_mut() else {
            return Ok(());
        };
        if !std::mem::take(&mut self.resume) || self.inbox.is_empty() {
            return Ok(());
        }
        let dropped = self.frontend.reject(&self.inbox, sequence);
        let (taken, done) = dropped.map_err(Cut::ClientFault)?;
        self.inbox.drain(..taken);
        if !done {
            let leaves = matches!(Header::read(&self.inbox), Ok(Some(Header { tag: b'X', .. })));
            return if leaves { Err(Cut::ClientGone) } else { Ok(()) };
        }
        let transaction = *transaction;
        x.refused =
            (transaction == Fate::MustFail).then(|| Box::new(Refused { rest: Rest::Done, transaction }));
        let mut ready = Vec::new();
        encode_ready_for_query(&mut ready, x.pipeline.status().byte());
        self.outbox.push(&ready);
        self.resume = !self.inbox.is_empty();
        if x.pipeline.status() == TransactionStatus::Idle {
            self.entry.in_transaction(None);
            self.entry.enter(x.activity(x.resting()), now);
        } else {
            self.entry.enter(x.activity(Activity::IdleInTransaction), now);
        }
        Ok(())
    }

    /// Does what is left to do about a refused request; whether that was anything.
    #[cold]
    pub(super) fn see_refusal_through(
        &mut self,
        x: &mut Exchange,
        scratch: &mut Scratch,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        if x.transaction_must_fail() && self.fail_transaction(x, cx)? {
            return Ok(true);
        }
        let before = self.inbox.len();
        self.drop_refused(x, now)?;
        if self.inbox.len() < before || x.refused.is_none() {
            return Ok(true);
        }
        if x.refused.as_ref().is_some_and(|refused| refused.rest == Rest::Done) && !self.inbox.is_empty() {
            self.hold_back(x, now);
            return Ok(false);
        }
        match self.stream.poll_receive(cx, &mut scratch.input) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => Err(Cut::ClientGone),
            Poll::Ready(Ok(bytes)) => {
                self.context.worker.counters.client_bytes.add(bytes as u64);
                self.inbox.extend_from_slice(&scratch.input[..bytes]);
                self.resume = true;
                Ok(true)
            }
        }
    }

    /// Makes the server's transaction fail, if something may be sent there; whether it was.
    fn fail_transaction(&mut self, x: &mut Exchange, cx: &mut Context<'_>) -> Result<bool, Cut> {
        let Some(lease) = x.lease.as_mut().filter(|lease| self.may_send(lease.office())) else {
            return Ok(false);
        };
        let Some(server) = lease.server() else { return Ok(false) };
        let mut query = Vec::with_capacity(FAILING.len() + 6);
        put(&mut query, b'Q', |out| put_cstr(out, FAILING));
        x.pipeline.sent(Owed::Aside(None));
        let sent = x.to_server.send(&mut server.conn.stream, cx, &query);
        sent.map_err(|error| Cut::ServerGone(error.to_string()))?;
        x.refused = x.refused.take().filter(|refused| refused.rest != Rest::Done);
        if let Some(refused) = &mut x.refused {
            refused.transaction = Fate::Kept;
        }
        x.fenced_since = None;
        self.resume = !self.inbox.is_empty();
        Ok(true)
    }
}
