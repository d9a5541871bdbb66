//! A client's place among those who wait for a server of a pool; it is given up when it is dropped.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    lease::{Lease, Refusal},
    pool::Pool,
    slots::{Event, Flavour, Return, Ticket},
    tether::{Mail, Tether},
};
use crate::clock::Moment;

/// A place in the line; leaving it early gives it up.
pub struct WaitGuard {
    pool: Arc<Pool>,
    tether: Arc<Tether>,
    ticket: Option<Ticket>,
    term: u64,
}

impl WaitGuard {
    pub(super) const fn new(pool: Arc<Pool>, tether: Arc<Tether>, ticket: Ticket, term: u64) -> Self {
        Self { pool, tether, ticket: Some(ticket), term }
    }

    /// What has come, if something has.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Lease, Refusal>> {
        let Poll::Ready(mail) = self.tether.poll_mail(cx) else { return Poll::Pending };
        self.ticket = None;
        Poll::Ready(match mail {
            Mail::Granted(server, number) => {
                let id = server.cancel.server;
                Ok(Lease::new(server, self.pool.clone(), id, number, self.term))
            }
            Mail::Refused(refusal) => Err(refusal),
        })
    }

    /// Waits for what comes.
    pub async fn wait(mut self) -> Result<Lease, Refusal> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let now = self.pool.shared.clock.now();
        let mut state = self.pool.state.lock();
        match self.tether.take_mail() {
            Some(Mail::Granted(server, _)) => {
                let id = server.cancel.server;
                state.note_return(id);
                state.put(id, server);
                self.pool.handle_locked(state, now, Event::Returned(id, Return::Clean));
            }
            // Whoever delivers mail has taken the ticket back.
            Some(Mail::Refused(_)) => {}
            None => {
                state.waiting.try_remove(ticket);
                self.pool.handle_locked(state, now, Event::GiveUp(ticket));
            }
        }
    }
}

impl Pool {
    /// Sends everybody who waits here to look for another route.
    pub(super) fn reroute_waiting(self: &Arc<Self>, now: Moment) {
        self.refuse_waiting(&Refusal::Rerouted, None, now);
    }

    /// Ends the waiting of everybody here, or of those who need certain start-up settings.
    pub(super) fn refuse_waiting(self: &Arc<Self>, refusal: &Refusal, only: Option<Flavour>, now: Moment) {
        let mut state = self.state.lock();
        let meant =
            state.waiting.iter().filter(|(_, waiting)| only.is_none_or(|only| waiting.flavour == only));
        let tickets: Vec<Ticket> = meant.map(|(ticket, _)| ticket).collect();
        for ticket in tickets {
            let waiting = state.waiting.remove(ticket);
            let actions = state.slots.handle(now, Event::GiveUp(ticket));
            debug_assert!(actions.is_empty());
            waiting.tether.deliver(Mail::Refused(refusal.clone()));
        }
    }
}
