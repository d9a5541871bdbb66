//! How a client that listens does without its server: the shared connection takes its channels over.

use std::{collections::BTreeSet, io, pin::Pin, sync::Arc, task::Poll};

use super::{Ended, Exchange, Flow, Moment, Phase, Scratch, Session, TaskContext};
use crate::{
    client::registry::Activity,
    notify::hub::Channel,
    pool::lease::Lease,
    session::{
        ears::{Ears, Parted, Sent, others, part},
        exchange::ClientEnd,
        relay::Cut,
        withheld::Withheld,
    },
    sql::touches::Kinds,
    wire::{
        parameters::tracked,
        state::{Carried, SessionState},
    },
};

/// A client's channels are being taken over.
pub(super) struct Parting {
    pub(super) exchange: Box<Exchange>,
    /// The lease's number.
    number: u64,
    channels: BTreeSet<Channel>,
    parted: Pin<Box<dyn Future<Output = (Lease, Parted)> + Send>>,
}

impl Session {
    /// Nothing keeps the client on its server, unless it listens there: then the shared connection takes that over.
    pub(super) fn part(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        let channels = self.state.get().map(SessionState::channels).filter(|channels| !channels.is_empty());
        let Some(channels) = channels.cloned() else {
            self.listens_no_more();
            return self.release(exchange, now);
        };
        if exchange.client != ClientEnd::Open && self.inbox.is_empty() {
            return self.release(exchange, now);
        }
        let Some(lease) = exchange.lease.take() else { return self.release(exchange, now) };
        self.entry.released();
        self.entry.in_transaction(None);
        self.entry.enter(Activity::Idle, now);
        let ears = self.take_ears();
        let mark = (channels != ears.channels).then(|| ears.seat.next_mark());
        let wanted = channels.iter().cloned().collect();
        let patience = self.tenant.account.settings.load().leader_wait_timeout;
        let number = lease.number();
        let parted = Box::pin(part(self.context.clone(), lease, ears.seat.clone(), wanted, mark, patience));
        self.ears = Some(ears);
        self.phase = Phase::Parting(Box::new(Parting { exchange, number, channels, parted }));
        Flow::Again
    }

    /// The client's place at the shared connection, for the encoding it reads now.
    fn take_ears(&mut self) -> Box<Ears> {
        let place = tracked("client_encoding");
        let encoding = place.and_then(|place| self.parameters.get(place)).cloned().unwrap_or_default();
        if self.ears.as_ref().is_some_and(|ears| ears.encoding != encoding) {
            self.withhold_nothing();
        }
        let before = self.ears.take();
        if let Some(mut ears) = before {
            let own = self.entry.key.pid;
            if ears.encoding == encoding {
                return ears;
            }
            // What comes from here on is heard anew; of what came last it cannot be said.
            self.outbox.push(&ears.take(own));
            ears.seat.mailbox.gap();
            self.outbox.push(&ears.take(own));
        }
        let Self { context, tenant, entry, .. } = self;
        let seat = context.switchboard.subscribe(
            entry.key.pid,
            &tenant.account,
            &context.router,
            &encoding,
            &entry.tether,
        );
        Box::new(Ears {
            seat: Arc::new(seat),
            encoding,
            channels: BTreeSet::new(),
            heard: BTreeSet::new(),
            sent: Sent::default(),
            withheld: Withheld::default(),
        })
    }

    /// The channels are being taken over. What the client sends meanwhile is kept.
    pub(super) fn parting(
        &mut self,
        mut parting: Box<Parting>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if self.entry.tether.is_revoked(parting.number) {
            let revoked = self.entry.tether.revocation();
            return self.cut(parting.exchange, Cut::Revoked(revoked), now);
        }
        let Poll::Ready((lease, parted)) = parting.parted.as_mut().poll(cx) else {
            let open = parting.exchange.client == ClientEnd::Open;
            let flow = if open { self.listen_while_waiting(scratch, cx) } else { Flow::Wait };
            if let Flow::End(Ended::ByClient) = flow {
                parting.exchange.client = ClientEnd::HalfClosed(now);
            }
            self.tell_meanwhile(&parting.exchange, cx);
            self.phase = Phase::Parting(parting);
            return Flow::Wait;
        };
        let Parting { mut exchange, channels, .. } = *parting;
        exchange.lease = Some(lease);
        match parted {
            Parted::Done(notifications) => {
                self.parted(&mut exchange, channels, &notifications);
                self.release(exchange, now)
            }
            Parted::Stays => {
                exchange.tenancy.pins |= Kinds::LISTENS;
                self.keep_server(exchange, now)
            }
            Parted::Lost(why) => self.cut(exchange, Cut::ServerGone(why), now),
            Parted::NoRight => self.cut(exchange, Cut::NoRight, now),
        }
    }

    fn parted(&mut self, exchange: &mut Exchange, channels: BTreeSet<Channel>, notifications: &[u8]) {
        if let Some(server) = exchange.lease.as_mut().and_then(Lease::server) {
            let mut state = server.conn.state.get().cloned().unwrap_or_default();
            state.set_channels(BTreeSet::new());
            server.conn.state = Carried::NOTHING.become_or_stay(state);
        }
        self.hear_otherwise(exchange, notifications);
        if let Some(ears) = &mut self.ears {
            ears.heard.clone_from(&channels);
        }
        self.hear();
        if let Some(ears) = &mut self.ears {
            ears.channels = channels;
        }
    }

    /// Tells the client what waits for it, and then what has come. Ready when it has taken all of that. Notifications stay in
    /// their box, which has its bounds, while it does not read.
    #[inline]
    pub(super) fn poll_told(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_behind = self.is_behind();
            if !is_behind {
                self.hear();
            }
            match self.poll_tell(cx) {
                Poll::Ready(Ok(())) if is_behind => {}
                told => return told,
            }
        }
    }

    /// Whether somebody listens who has not taken yet what was sent before.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.ears.is_some() && !self.outbox.is_empty()
    }

    /// The same for a client that keeps a server and has nothing to do there.
    #[inline]
    pub(super) fn hear_at_rest(&mut self, x: &Exchange) {
        if x.pin.is_some() && x.pipeline.may_release() && !x.backend.is_inside_message() {
            self.hear();
        }
    }

    /// What the client's own server has told it.
    pub(super) fn hear_otherwise(&mut self, exchange: &mut Exchange, notifications: &[u8]) {
        let Some(server) = exchange.lease.as_mut().and_then(Lease::server) else { return };
        let (pools, target, own) = (&self.context.pools, &server.cancel, self.entry.key.pid);
        let client_of =
            |pid| if pid == target.key.pid { Some(own) } else { pools.client_of(&target.address, pid) };
        self.outbox.push(&others(notifications, self.ears.as_deref(), &client_of));
    }

    /// What has come for the client goes to it now, outside any transaction and between two messages.
    #[inline]
    pub(super) fn hear(&mut self) {
        let own = self.entry.key.pid;
        if let Some(ears) = &mut self.ears {
            let mail = ears.take(own);
            if ears.withheld.since().is_some() {
                ears.withheld.hear(&mail);
            } else if !mail.is_empty() {
                self.outbox.push(&mail);
            }
        }
    }
}
