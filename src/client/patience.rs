//! Making those wait who have failed too often.

use std::{net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    auth::throttle::{Throttle, ThrottlePolicy, Turn},
    clock::Clock,
    metrics::Events,
    wire::error::{PgError, SqlState},
};

/// What is remembered of addresses, and how it is acted upon.
pub struct Patience {
    throttle: Mutex<Throttle>,
    clock: Clock,
    events: Arc<Events>,
}

impl Patience {
    /// Remembers nothing yet.
    pub fn new(clock: Clock, events: Arc<Events>) -> Self {
        Self { throttle: Mutex::default(), clock, events }
    }

    /// Waits for the turn of a login; an error if too many wait already. While it waits it holds nothing but its
    /// connection.
    pub(super) async fn wait(
        &self,
        policy: &ThrottlePolicy,
        from: IpAddr,
        user: &str,
    ) -> Result<(), PgError> {
        let turn = self.throttle.lock().arrives(policy, from, user, self.clock.now());
        match turn {
            Turn::Now => Ok(()),
            Turn::After(delay) => {
                self.events.delays.count(["delayed"]);
                Box::pin(self.sit_out(from, delay)).await;
                Ok(())
            }
            Turn::Refused => {
                self.events.delays.count(["refused"]);
                let message = "too many failed logins from your address";
                Err(PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, message).hint("Try again later."))
            }
        }
    }

    async fn sit_out(&self, from: IpAddr, delay: Duration) {
        /// Ends the wait also if the client's login is given up meanwhile.
        struct Seat<'a>(&'a Patience, IpAddr);
        impl Drop for Seat<'_> {
            fn drop(&mut self) {
                self.0.throttle.lock().has_waited(self.1);
            }
        }
        let _seat = Seat(self, from);
        tokio::time::sleep(delay).await;
    }

    /// A login failed because who it was could not be proved.
    pub(super) fn fails(&self, from: IpAddr, user: &str) {
        self.throttle.lock().fails(from, user, self.clock.now());
    }

    /// A login succeeded.
    pub(super) fn succeeds(&self, from: IpAddr, user: &str) {
        self.throttle.lock().succeeds(from, user);
    }
}
