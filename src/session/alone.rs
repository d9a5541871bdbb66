//! A statement that needs a database to itself: servers that idle there are closed as it is sent.
//!
//! PostgreSQL refuses such a statement (55006) while others are connected to the database, having waited five seconds for
//! them to leave. A client knows nothing of servers that idle for nobody; so they leave when the last client has. As long as
//! there are clients, PostgreSQL is left to say what it says.

use std::{sync::Arc, time::Duration};

use super::{
    context::Context,
    exchange::Exchange,
    reading::{Lexicon, Text},
    session::Session,
};
use crate::{
    cluster::ids::MemberName,
    sql::alone::{Alone, Others, alone},
};

/// For how long PostgreSQL waits for others to leave (`CountOtherDBBackends`).
const AWAITED_FOR: Duration = Duration::from_secs(5);

/// How often it looks, and how often it is looked here whether clients are left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Text<'_> {
    /// The database that it needs to itself, as far as the text is understood.
    pub(super) fn alone(self, lexicon: Lexicon) -> Option<Alone> {
        let Self::Whole(text) = self else { return None };
        let is_plain = matches!(lexicon, Lexicon::Standard | Lexicon::Backslash) || text.is_ascii();
        is_plain.then(|| alone(text, lexicon != Lexicon::Backslash)).flatten()
    }
}

/// A database on a member that a client wants to have to itself.
struct Wanted {
    context: Arc<Context>,
    cluster: Arc<str>,
    member: MemberName,
    database: Box<[u8]>,
    /// The process id that the client was told.
    client: u32,
}

impl Session {
    /// What is sent now needs a database to itself.
    #[cold]
    pub(super) fn make_room_in(&self, x: &Exchange, alone: Alone) {
        let Some(lease) = &x.lease else { return };
        let wanted = Wanted {
            context: self.context.clone(),
            cluster: self.tenant.account.cluster.clone(),
            member: lease.pool().member().clone(),
            database: alone.database,
            client: self.entry.key.pid,
        };
        if alone.others == Others::SentAway || wanted.is_left() {
            wanted.vacate();
        } else {
            tokio::spawn(wanted.vacate_when_left());
        }
    }
}

impl Wanted {
    /// Whether no other client is connected there.
    fn is_left(&self) -> bool {
        let mut others = 0;
        self.context.registry.for_each(|entry| {
            let account = &entry.account;
            let there = account.cluster == self.cluster && account.database.as_bytes() == &*self.database;
            others += usize::from(there && entry.key.pid != self.client);
        });
        others == 0
    }

    fn vacate(&self) {
        self.context.pools.vacate(&self.cluster, &self.member, &self.database, AWAITED_FOR);
    }

    async fn vacate_when_left(self) {
        let until = self.context.clock.now() + AWAITED_FOR;
        while self.context.clock.now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.is_left() {
                return self.vacate();
            }
        }
    }
}
