//! Bytes between a client and the server it has: both directions in one poll, nothing copied that need not be.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use super::{
    backend::{ClientSide, LastWord, Progress},
    context::Scratch,
    exchange::{Answers, ClientEnd, Exchange, Telling},
    frontend::OWED_MAX,
    session::{INBOX_BYTES_MAX, Session},
    split::trial::Beginning,
};
use crate::{
    client::registry::{Activity, Order},
    clock::Moment,
    pool::{account::PoolMode, tether::Revoked},
    wire::{
        error::{PgError, SqlState},
        pipeline::TransactionStatus,
    },
};

/// Rounds of reading in one poll, so that a bulk transfer does not starve its neighbours.
const ROUNDS_MAX: u32 = 16;

/// The Sync that a failed copy still needs.
const SYNC: &[u8] = b"S\0\0\0\x04";

/// How soon bytes that wait for the right to write are looked at again.
const FENCE_RECHECK: Duration = Duration::from_millis(5);

/// How long what runs goes on for a client that has ended its side of the connection.
const HALF_CLOSED_GRACE: Duration = Duration::from_secs(2);

/// How a relay goes on.
pub(super) enum Relayed {
    /// Everything is answered, and the server is free.
    Settled,
    /// The server has put settings back to its own start instead of the client's.
    Unequal,
    /// What the client may have committed is still to be placed, by asking the server.
    Unplaced,
    /// The server has gone, how that showed, while nothing of the client's was with it.
    Forsaken(String),
    /// The server has turned the request away before it began with any of it.
    TurnedAway,
    /// Something must come first.
    Blocked,
    /// There is more to do, but it is others' turn.
    Yield,
    /// It has ended early.
    Cut(Cut),
}

/// Why a relay ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// The lease was revoked: the server's member was deposed.
    Revoked(Revoked),
    /// The right to write did not come back in time.
    NoRight,
    /// The server is gone; how that showed.
    ServerGone(String),
    /// The client is gone, or has left work behind that nobody waits for.
    ClientGone,
    /// The client did something that ends its connection.
    ClientFault(PgError),
    /// It was told to end, by a time limit or because the program stops.
    Ordered(Order, PgError),
}

impl Session {
    /// Moves what can be moved.
    pub(super) fn relay(
        &mut self,
        x: &mut Exchange,
        now: &mut Option<Moment>,
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
    ) -> Relayed {
        for _ in 0..ROUNDS_MAX {
            if let Some(lease) = &x.lease
                && self.entry.tether.is_revoked(lease.number())
            {
                if self.only_places(x) {
                    return Relayed::Forsaken(self.entry.tether.revocation().reason.to_string());
                }
                return Relayed::Cut(Cut::Revoked(self.entry.tether.revocation()));
            }
            let came = match self.read_server(x, scratch, now, cx) {
                Ok(came) => came,
                Err(Cut::ServerGone(why)) if self.is_settled(x) || self.only_places(x) => {
                    return Relayed::Forsaken(why);
                }
                Err(cut) => return Relayed::Cut(cut),
            };
            if x.untried.is_turned_away() {
                return Relayed::TurnedAway;
            }
            if x.tenancy.placing.is_due() && self.must_place(x) {
                return Relayed::Unplaced;
            }
            if self.is_settled(x) {
                return match x.backend.last_word() {
                    LastWord::Unheard => Relayed::Forsaken("it ended the session".to_owned()),
                    LastWord::None | LastWord::Said | LastWord::Kept => Relayed::Settled,
                };
            }
            if x.tenancy.must_equalize() && self.is_between_requests(x) {
                return Relayed::Unequal;
            }
            let went = match self.read_client(x, scratch, self.time(now), cx) {
                Ok(went) => went,
                Err(cut) => return Relayed::Cut(cut),
            };
            if !came && !went {
                if Self::is_waited_for(x) {
                    self.tell_unplaced(x);
                    continue;
                }
                return self.blocked(x, self.time(now), cx);
            }
        }
        Relayed::Yield
    }

    /// Nothing moves. Is anybody still waited for, and for how long?
    fn blocked(&self, x: &mut Exchange, now: Moment, cx: &mut Context<'_>) -> Relayed {
        let running = !x.pipeline.is_empty();
        let mut look_again = None;
        match x.client {
            ClientEnd::Open => {}
            ClientEnd::Terminated | ClientEnd::HalfClosed(_) if !running => {
                return Relayed::Cut(Cut::ClientGone);
            }
            ClientEnd::Terminated => {}
            ClientEnd::HalfClosed(since) => match HALF_CLOSED_GRACE.checked_sub(now.since(since)) {
                Some(left) if !left.is_zero() => look_again = Some(left),
                _ => return Relayed::Cut(Cut::ClientGone),
            },
        }
        if let Some(since) = x.fenced_since {
            let limit = self.tenant.account.settings.load().leader_wait_timeout;
            if limit.is_some_and(|limit| now.since(since) >= limit) {
                return Relayed::Cut(Cut::NoRight);
            }
            look_again = Some(FENCE_RECHECK);
        }
        if x.transaction_must_fail() {
            look_again = Some(FENCE_RECHECK);
        }
        match self.left_for_position(x, now) {
            None => {}
            Some(Duration::ZERO) => return Relayed::Forsaken("it tells no position".to_owned()),
            left => look_again = left,
        }
        match look_again {
            None => x.alarm = None,
            Some(pause) => {
                if x.alarm.is_none() {
                    x.set_alarm(pause);
                }
                if x.alarmed(cx) {
                    return Relayed::Yield;
                }
            }
        }
        Relayed::Blocked
    }

    /// Whether everything is answered and the client may do without its server.
    fn is_settled(&self, x: &Exchange) -> bool {
        x.pipeline.may_release() && self.is_quiet(x) && !x.keeps_server(self.mode)
    }

    /// Whether everything is answered, in a transaction or not, so that something of ours may be run.
    fn is_between_requests(&self, x: &Exchange) -> bool {
        x.pipeline.is_between_messages()
            && x.pipeline.status() != TransactionStatus::Failed
            && self.is_quiet(x)
    }

    /// Whether no message is under way.
    #[inline]
    pub(super) fn is_quiet(&self, x: &Exchange) -> bool {
        x.to_server.is_empty()
            && x.refused.is_none()
            && x.server_in.is_empty()
            && !x.backend.is_inside_message()
            && !self.frontend.is_inside_message()
    }

    /// Reads from the server and passes it on; whether anything came.
    fn read_server(
        &mut self,
        x: &mut Exchange,
        scratch: &mut Scratch,
        now: &mut Option<Moment>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        if x.telling == Telling::Freely {
            match self.poll_tell(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(Cut::ClientGone),
                // The client does not read: nothing more is read for it.
                Poll::Pending => return Ok(false),
            }
        }
        let Scratch { input, output } = scratch;
        if x.answers == Answers::Wait {
            return self.hear_at_last(x, output, now, cx);
        }
        let Some(server) = x.lease.as_mut().and_then(crate::pool::lease::Lease::server) else {
            return Err(Cut::ServerGone("it was given back".to_owned()));
        };
        let bytes = match server.conn.stream.poll_receive(cx, input) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(Cut::ServerGone("it closed the connection".to_owned())),
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(error)) => return Err(Cut::ServerGone(error.to_string())),
        };
        self.context.worker.counters.server_bytes.add(bytes as u64);
        let mut kept = std::mem::take(&mut x.server_in);
        let received = if kept.is_empty() {
            &input[..bytes]
        } else {
            kept.extend_from_slice(&input[..bytes]);
            &kept[..]
        };
        if !self.proves(x, now) {
            proving::wait_for_proof(x, received, self.time(now));
            return Ok(false);
        }
        self.hear_server(x, received, output, self.time(now), cx)
    }

    /// Hears what the server has said; whether anything came.
    fn hear_server(
        &mut self,
        x: &mut Exchange,
        received: &[u8],
        output: &mut Vec<u8>,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        if x.untried.is_unsent() && self.ends_before_it(x, received) {
            return Err(Cut::ServerGone("it ended the session".to_owned()));
        }
        match x.trial.hear(received, &x.pipeline) {
            Beginning::Answer => {}
            other => return self.not_answered(x, &other, received, output),
        }
        if x.untried.is_kept() && self.holds_first_words(x, received, now) {
            x.server_in = received.to_vec();
            return Ok(true);
        }
        self.pass_to_client(x, received, output, now, cx)?;
        Ok(true)
    }

    /// Passes on what the server has sent, as far as it is understood.
    fn pass_to_client(
        &mut self,
        x: &mut Exchange,
        received: &[u8],
        output: &mut Vec<u8>,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<(), Cut> {
        if !x.to_server.is_empty() {
            x.pipeline.forget_sequence();
        }
        let mode = x.mode(self.mode);
        let Some(server) = x.lease.as_mut().and_then(crate::pool::lease::Lease::server) else {
            return Err(Cut::ServerGone("it was given back".to_owned()));
        };
        let (pools, target, own) = (&self.context.pools, &server.cancel, self.entry.key.pid);
        let mut client = ClientSide {
            frontend: &mut self.frontend,
            parameters: &mut self.parameters,
            reset_values: &self.reset_values,
            state: &mut self.state,
            tenancy: &mut x.tenancy,
            mode,
            heard: self.ears.as_mut().map(|ears| ears.beside(target.key.pid)),
            client_of: &|pid| {
                if pid == target.key.pid { Some(own) } else { pools.client_of(&target.address, pid) }
            },
            catalog: &self.context.catalog,
        };
        let passed = x
            .backend
            .forward(received, output, &mut server.conn, &mut x.pipeline, &mut client)
            .map_err(|fault| Cut::ServerGone(fault.to_string()))?;
        self.follow(passed.progress, x, now);
        if x.tenancy.placing.is_on() {
            // Before the client is told: then everybody is to see it.
            self.note_position(x);
        }
        if !passed.bytes.is_empty() {
            x.trial.passed();
            x.untried.answered();
            let Progress { queries, statements, .. } = passed.progress;
            let ended = queries + statements > 0;
            let bytes = if ended { self.without_block(passed.bytes, x) } else { passed.bytes };
            let completed = queries > 0 || (statements > 0 && x.pipeline.may_be_committed());
            let holds = self.holds_telling(x, completed);
            if self.withhold(x) || holds || !self.outbox.is_empty() {
                self.outbox.push(bytes);
            } else {
                self.outbox.send(&mut self.stream, cx, bytes).map_err(|_| Cut::ClientGone)?;
            }
        }
        let progress = passed.progress;
        let left = &received[passed.taken..];
        if !left.is_empty() {
            x.server_in = left.to_vec();
        }
        if let Some(again) = x.pipeline.take_again() {
            x.tenancy.placing.may_commit_more();
            self.write_server(x, &again, now, cx)?;
        }
        self.note(progress, x, now)?;
        self.tried(x);
        Ok(())
    }

    /// Reads from the client and passes it on; whether anything went.
    fn read_client(
        &mut self,
        x: &mut Exchange,
        scratch: &mut Scratch,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        if !x.to_server.is_empty() && !self.flush_to_server(x, now, cx)? {
            return Ok(false);
        }
        if x.pipeline.sync_is_due() {
            self.write_server(x, SYNC, now, cx)?;
            return Ok(true);
        }
        if x.refused.is_some() {
            return self.see_refusal_through(x, scratch, now, cx);
        }
        // The rest of a message that is on its way always follows: without it there is no answer to wait for.
        let full = x.trial.is_sent() && self.inbox.len() >= INBOX_BYTES_MAX;
        let holds = x.tenancy.holds_client() || x.pipeline.len() >= OWED_MAX || full || x.is_over(self.mode);
        if holds && !self.frontend.is_inside_message() {
            return Ok(false);
        }
        let Scratch { input, output } = scratch;
        if self.resume && !self.inbox.is_empty() {
            let inbox = std::mem::take(&mut self.inbox);
            let taken = self.send_on(x, &inbox, output, now, cx)?;
            self.keep(inbox, taken);
            // Where more bytes are needed, they must be read: otherwise nobody would be woken by them.
            if taken > 0 || self.resume {
                return Ok(taken > 0);
            }
        }
        if x.client != ClientEnd::Open {
            return Ok(false);
        }
        let bytes = match self.stream.poll_receive(cx, input) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => {
                x.client = ClientEnd::HalfClosed(now);
                return Ok(true);
            }
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(_)) => return Err(Cut::ClientGone),
        };
        self.context.worker.counters.client_bytes.add(bytes as u64);
        if self.inbox.is_empty() {
            let taken = self.send_on(x, &input[..bytes], output, now, cx)?;
            if taken < bytes {
                self.inbox.extend_from_slice(&input[taken..bytes]);
            }
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(&input[..bytes]);
            let taken = self.send_on(x, &inbox, output, now, cx)?;
            self.keep(inbox, taken);
        }
        Ok(true)
    }
}

mod noting;
mod proving;
mod refusing;
mod sending;
mod trying;
