//! A client that has a server.

use super::{
    super::{
        exchange::{ClientEnd, Telling},
        relay::{Cut, Relayed},
        untried::Loss,
    },
    Ended, Exchange, Finish, Flow, Moment, Phase, Scratch, Session, TaskContext,
    ending::cancelled,
};

impl Session {
    pub(super) fn relaying(
        &mut self,
        mut exchange: Box<Exchange>,
        now: &mut Option<Moment>,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        let was_behind = self.is_behind();
        if !was_behind {
            self.hear_at_rest(&exchange);
        }
        let relayed = self.relay(&mut exchange, now, scratch, cx);
        let now = self.time(now);
        match relayed {
            Relayed::Settled => self.settled(exchange, now),
            Relayed::Unplaced => self.place_afterwards(exchange, now),
            Relayed::Unequal => self.equalize(exchange, now),
            Relayed::Forsaken(why) => {
                if let Some(lease) = &exchange.lease {
                    lease.pool().suspect(&format!("a connection that was free broke: {why}"));
                }
                self.give_back(exchange, Finish::Broken, now);
                self.resume = !self.inbox.is_empty();
                Flow::Again
            }
            Relayed::TurnedAway => self.take_back(exchange, now),
            Relayed::Blocked if exchange.fenced_since.is_some() => self.held_back(exchange, now, scratch, cx),
            Relayed::Blocked => {
                self.phase = Phase::Relaying(exchange);
                // What has come for it meanwhile is next.
                if was_behind && !self.is_behind() { Flow::Again } else { Flow::Wait }
            }
            Relayed::Yield => {
                cx.waker().wake_by_ref();
                self.phase = Phase::Relaying(exchange);
                Flow::Wait
            }
            Relayed::Cut(cut) => self.cut(exchange, cut, now),
        }
    }

    /// A server has turned away what the client has sent before it began with any of it, or a replica was lost under what
    /// only reads: that goes to another server, or waits for one.
    #[cold]
    pub(super) fn take_back(&mut self, mut exchange: Box<Exchange>, now: Moment) -> Flow {
        let mut bytes = exchange.untried.take();
        let Exchange { lease, pipeline, tenancy, untried, .. } = &mut *exchange;
        if let Some(lease) = lease {
            if let Some(server) = lease.server() {
                let conn = &mut server.conn;
                pipeline.take_back(&mut |undo| self.frontend.undo(undo, conn, tenancy));
            }
            match untried.loss() {
                None => lease.pool().suspect("a server was told to end, and has begun nothing of a request"),
                Some(Loss::Gone) => lease.pool().suspect("a connection in use broke, or was told to end"),
                Some(Loss::CutOff | Loss::Conflict) => {}
            }
        }
        match untried.loss() {
            None => self.context.worker.counters.turned_away.add(1),
            Some(loss) => self.avoid(lease.as_ref(), loss),
        }
        bytes.append(&mut self.inbox);
        self.inbox = bytes;
        self.give_back(exchange, Finish::Broken, now);
        self.resume = true;
        Flow::Again
    }

    /// What the client has sent waits for the right to write. That it leaves meanwhile is noticed.
    #[cold]
    fn held_back(
        &mut self,
        exchange: Box<Exchange>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if exchange.client == ClientEnd::Open
            && let Flow::End(Ended::ByClient) = self.listen_while_waiting(scratch, cx)
        {
            return self.cut(exchange, Cut::ClientGone, now);
        }
        self.resume |= !self.inbox.is_empty();
        self.phase = Phase::Relaying(exchange);
        Flow::Wait
    }

    /// Whether the client has sent something of which nothing was understood: it waits for the right to write, or until it
    /// is known what the request before has left.
    pub(super) fn holds_back(&self) -> bool {
        let waits = match &self.phase {
            Phase::Relaying(exchange) => exchange.holds_back(),
            Phase::Settling(settling) => !settling.exchange.drops(),
            Phase::Parting(parting) => !parting.exchange.drops(),
            _ => false,
        };
        waits && !self.inbox.is_empty() && !self.frontend.is_inside_message()
    }

    /// The client cancels what it has sent, of which nothing has reached the server.
    pub(super) fn cancel_held_back(&mut self, now: Moment, cx: &mut TaskContext<'_>) -> Flow {
        let mut phase = std::mem::take(&mut self.phase);
        let exchange = match &mut phase {
            Phase::Relaying(exchange) => exchange,
            Phase::Settling(settling) => &mut settling.exchange,
            Phase::Parting(parting) => &mut parting.exchange,
            _ => return Flow::Again,
        };
        self.refuse(exchange, &cancelled());
        let dropped = self.drop_refused(exchange, now);
        if exchange.telling == Telling::Freely {
            // Should the client be gone, reading from it tells.
            let _flushed = self.poll_tell(cx);
        }
        self.phase = phase;
        match dropped {
            Err(Cut::ClientFault(error)) => self.end("client_fault", error),
            Ok(()) | Err(_) => Flow::Again,
        }
    }
}
