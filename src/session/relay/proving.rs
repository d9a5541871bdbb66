//! A leader's answers are believed only while somebody watches it.
//!
//! Whoever stood still for a while (suspended, stopped, starved) finds answers of a server that may have been deposed
//! meanwhile. They wait until the leader has been asked since and has answered as the leader that it was. If it is that no more
//! the lease is revoked, and the client hears what is so: that nobody knows.

use std::task::Context;

use super::{Answers, Cut, Exchange, Moment, Session};

impl Session {
    /// Whether what the server has said may be passed on, at this very moment, which is `now` from here on. A replica is in no
    /// office. Somebody who watches revokes first, so it is looked whether that was done since this poll began.
    #[inline]
    pub(super) fn proves(&self, x: &Exchange, now: &mut Option<Moment>) -> bool {
        let Some(lease) = &x.lease else { return true };
        lease.office() == 0
            || (self.context.router.fence().is_attended(*now.insert(self.context.clock.now()))
                && !self.entry.tether.is_revoked(lease.number()))
    }

    /// What waited is heard, if the leader is watched again.
    #[cold]
    pub(super) fn hear_at_last(
        &mut self,
        x: &mut Exchange,
        output: &mut Vec<u8>,
        now: &mut Option<Moment>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Cut> {
        let proves = self.proves(x, now);
        let now = self.time(now);
        if !proves {
            // Also where more was sent meanwhile: it is looked again, and not for ever.
            x.fenced_since.get_or_insert(now);
            return Ok(false);
        }
        x.answers = Answers::Pass;
        if x.to_server.is_empty() {
            x.fenced_since = None;
        }
        let received = std::mem::take(&mut x.server_in);
        self.hear_server(x, &received, output, now, cx)
    }
}

/// What the server has said waits.
#[cold]
pub(super) fn wait_for_proof(x: &mut Exchange, received: &[u8], now: Moment) {
    x.server_in = received.to_vec();
    x.answers = Answers::Wait;
    x.fenced_since.get_or_insert(now);
    x.alarm = None;
}
