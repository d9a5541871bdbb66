//! What a client that listens is told at the end of a transaction waits for the notifications that belong in front of it.

use std::{io, task::Poll};

use super::{Exchange, Session, TaskContext};
use crate::session::{
    exchange::Telling,
    withheld::{End, Place},
};

impl Session {
    /// Notifications belong at these places of what is told next: the shared connection is asked for them.
    #[inline]
    pub(in crate::session) fn withhold(&mut self, places: Vec<Place>, x: &Exchange) {
        if !places.is_empty()
            && let Some(ears) = &mut self.ears
        {
            let end = if x.runs() { End::More } else { End::Last };
            ears.withheld.add(places, self.outbox.end(), end);
            ears.seat.ask();
        }
    }

    /// Tells the client what waits for it. Ready when it has taken all of that.
    #[inline]
    pub(in crate::session) fn poll_tell(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() { Poll::Ready(Ok(())) } else { self.poll_tell_some(cx) }
    }

    fn poll_tell_some(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if self.withholds() {
            if self.ears.as_ref().is_some_and(|ears| !ears.seat.mailbox.is_abreast()) {
                return Poll::Pending;
            }
            self.withhold_nothing();
        }
        self.outbox.poll_flush(&mut self.stream, cx)
    }

    /// The same while its server is still busy with what is ours.
    #[inline]
    pub(super) fn tell_meanwhile(&mut self, x: &Exchange, cx: &mut TaskContext<'_>) {
        if !self.outbox.is_empty() && x.telling == Telling::Freely {
            // Should the client be gone, reading from it tells.
            let _told = self.poll_tell(cx);
        }
    }

    /// Whether something waits for notifications.
    pub(super) fn withholds(&self) -> bool {
        self.ears.as_ref().is_some_and(|ears| ears.withheld.since().is_some())
    }

    /// What was withheld goes on, with what has come so far.
    pub(in crate::session) fn withhold_nothing(&mut self) {
        let own = self.entry.key.pid;
        let Some(ears) = &mut self.ears else { return };
        let Some(since) = ears.withheld.since() else { return };
        let mail = ears.take(own);
        ears.withheld.hear(&mail);
        let held = self.outbox.split_off(since);
        self.outbox.push(&ears.withheld.merge(&held));
        if ears.heard.is_empty() && self.state.get().is_none_or(|state| state.channels().is_empty()) {
            self.ears = None;
        }
    }

    /// The client listens on nothing. What was there before that it is still to be told.
    pub(super) fn listens_no_more(&mut self) {
        if !self.withholds() {
            self.ears = None;
        }
    }
}
