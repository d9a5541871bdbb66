//! A server becomes a client's.

use std::sync::Arc;

use super::{
    super::way_out::{Given, WayOut},
    Activity, CommitFate, Exchange, Granted, Moment, Own, Parameters, ReadOnly, Sequences, Session,
};
use crate::{pool::lease::Drawn, server::conn::Recovery};

impl Session {
    /// A server is the client's from here on.
    pub(super) fn begin(&mut self, granted: Granted, now: Moment) -> Box<Exchange> {
        let mut exchange = self.context.worker.spare_exchange();
        let Granted { mut lease, read_only, given } = granted;
        self.context.worker.counters.leases.add(1);
        let number = lease.number();
        if let Some(server) = lease.server() {
            self.entry.leased(&server.cancel);
            if server.conn.recovery == Recovery::Standby {
                // There is no draw there, and none is missed by whoever reads there. What comes after its promotion is another
                // matter.
                exchange.sequences = Sequences::Own;
                server.drawn = Drawn::Anything;
            } else {
                if server.drawn.is_of(self.last_lease) {
                    exchange.sequences = Sequences::Own;
                    server.drawn = Drawn::UpTo(number);
                } else {
                    server.drawn = Drawn::Anything;
                }
                self.last_lease = number;
            }
            self.adopt(&server.conn.parameters);
            let state = &server.conn.state;
            let is_whole = given == Given::All && !state.has_stand_ins();
            if is_whole && !self.state.is_same(state) {
                self.state = state.clone();
            }
        }
        self.entry.enter(Activity::Running, now);
        self.entry.in_transaction(Some(now));
        exchange.read_only = if read_only { ReadOnly::Enforced } else { ReadOnly::ByServer };
        exchange.tenancy.way_out = WayOut::of(given);
        exchange.lease = Some(lease);
        self.keep_read(&mut exchange, now);
        if self.split.is_some() || self.promise.is_some() {
            self.limit_stint(&mut exchange);
        }
        self.begin_placing(&mut exchange);
        if self.inquisitive != CommitFate::Unknown {
            self.begin_inquisitive(&mut exchange);
        }
        exchange
    }

    /// The server has the client's settings; where it writes them differently, the client is told.
    fn adopt(&mut self, have: &Arc<Parameters>) {
        if Arc::ptr_eq(have, &self.parameters) {
            return;
        }
        if *have == self.parameters {
            self.parameters = have.clone();
            return;
        }
        if self.own != Own::ALL {
            // A reset leads to what the configuration says now.
            let start = self.reset_values.only(self.own).or(have);
            self.reset_values = Arc::new(start);
        }
        let told = self.parameters.status_of_difference(have);
        if !told.is_empty() {
            self.outbox.push(&told);
            self.parameters = have.clone();
            self.settings_changed();
        }
    }
}
