//! Making a server fit for the next client: a transaction rolled back, foreign state discarded, a cancel request
//! awaited. Whatever does not work within a bound closes it.

use std::{sync::Arc, time::Duration};

use super::{
    lease::{Drawn, Finish, Server},
    pool::Pool,
    slots::{Event, ServerId},
};
use crate::server::{
    conn::{End, Hygiene},
    simple_query,
};

/// A server that cannot be put in order within this time is closed.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// A cancel request takes no longer.
const CANCEL_MAX: Duration = Duration::from_secs(5);

impl Pool {
    /// Puts a server in order and gives it back to the pool.
    pub(super) fn recover(self: &Arc<Self>, id: ServerId, mut server: Box<Server>, how: Finish) {
        let pool = self.clone();
        self.shared.workers[server.worker].spawn(async move {
            let done = tokio::select! {
                biased;
                () = pool.is_deposed() => Err("its member was deposed".to_owned()),
                done = tokio::time::timeout(RECOVERY_MAX, put_in_order(&mut server, how)) => match done {
                    Ok(done) => done,
                    Err(_) => Err("it takes too long".to_owned()),
                },
            };
            let now = pool.shared.clock.now();
            let event = match done {
                Ok(()) => Event::Recovered(id),
                Err(why) => {
                    tracing::info!(member = %pool.member, "closing a server instead of resetting it: {why}");
                    server.end = End::Silent;
                    Event::Broken(id)
                }
            };
            server.conn.idle_since = now;
            server.conn.schema_change = None;
            let mut state = pool.state.lock();
            state.put(id, server);
            pool.handle_locked(state, now, event);
        });
    }

    /// Cancels what still runs on a server that nobody waits for, and closes it.
    pub(super) fn abandon(self: &Arc<Self>, server: Box<Server>) {
        let pool = self.clone();
        self.shared.workers[server.worker].spawn(async move {
            let target = &server.cancel;
            let dial = &*pool.shared.dial;
            let cancel = crate::server::cancel(dial, &target.address, &target.approach, &target.key);
            let cancelled = tokio::select! {
                biased;
                () = pool.is_deposed() => false,
                sent = tokio::time::timeout(CANCEL_MAX, cancel) => matches!(sent, Ok(Ok(()))),
            };
            if !cancelled {
                tracing::info!(member = %pool.member, "could not cancel what a client left running");
            }
            pool.shared.events.closed.count(pool.labels());
            // It is in the middle of something: a goodbye would not be heard.
            server.conn.close(End::Silent);
        });
    }
}

async fn put_in_order(server: &mut Server, how: Finish) -> Result<(), String> {
    server.cancel.settled().await;
    if server.cancel.is_astray() {
        return Err("a cancel request for it has gone astray".to_owned());
    }
    if how == Finish::InTransaction {
        tell(server, "ROLLBACK").await?;
    }
    if server.conn.hygiene == Hygiene::Dirty {
        tell(server, "DISCARD ALL").await?;
        server.conn.discarded();
        server.drawn = Drawn::Nothing;
    }
    Ok(())
}

async fn tell(server: &mut Server, sql: &str) -> Result<(), String> {
    let answer = simple_query(&mut server.conn.stream, sql).await.map_err(|error| error.to_string())?;
    server.conn.note(&answer.parameters);
    Ok(())
}
