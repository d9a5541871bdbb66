//! What must hold. Checked when bytes arrive, when a client is told something, and at the end.

use std::{collections::BTreeMap, sync::Arc};

use pgsteer::{
    cluster::topology::{Reads, RightSource, Standing, Topology},
    pool::{pool::PoolKind, pools::Pools, slots::Gauges},
    wire::error::SqlState,
};

use crate::{
    conn::{Life, Role},
    extras::Asked,
    ledger::{Arrival, Told},
    node::Pg,
    shape::{FALLBACK_SERVERS, FRESH_FOR, PROBE_INTERVAL, Replication},
    statement::Statement,
    world::{Ms, World},
};

/// How much longer than two intervals a probe may take that nothing hinders.
const PROBE_SLACK: Ms = 150;

impl World {
    pub(crate) fn known(&self) -> Option<Arc<Topology>> {
        Some(self.eyes.as_ref()?.topology())
    }

    /// A message of the program's has arrived: may it have been sent?
    pub(crate) fn arrived(&mut self, conn: usize, tag: u8, body: &[u8]) {
        self.note("in", conn, u64::from(tag) << 32 | body.len() as u64);
        self.in_office();
        let now = self.now();
        let own = tag == b'Q' && matches!(body, b"ROLLBACK\0" | b"DISCARD ALL\0" | b"DISCARD SEQUENCES\0");
        if matches!(tag, b'Q' | b'S' | b'F' | 0) && self.conns[conn].asked_at.is_none() && !own {
            self.conns[conn].asked_at = Some(now);
        }
        if self.conns[conn].role == Role::Probe {
            return;
        }
        if let Some((client, number)) = self.row_in(conn, tag, body) {
            self.note("statement of client", client as usize, number.into());
            let timeline = self.known().and_then(|known| known.term().map(|term| term.timeline));
            self.ledger.at_server.insert(client, Arrival { conn, timeline });
            self.ledger.sent.insert((client, number));
        }
        let work =
            matches!(tag, b'Q' | b'P' | b'B' | b'E' | b'D' | b'C' | b'S' | b'F' | b'H' | b'd' | b'c' | b'f');
        if !work || !self.conns[conn].is_client() {
            return;
        }
        let text = body[..body.len().min(40)].escape_ascii();
        let writes = self.may_write(conn, tag, body);
        if let Some(why) = self.deposed(conn, writes) {
            let (node, tag) = (self.conns[conn].node, char::from(tag));
            self.violated(format!("{tag} \"{text}\" sent on connection {conn} to n{node}, though {why}"));
        }
        let node = self.conns[conn].node;
        if self.nodes[node].pg == Pg::Masked && self.conns[conn].life == Life::Open {
            self.violated(format!("{text} sent to the other server at the address of n{node}"));
        }
        // Rolling back what a client has left behind is no write.
        if writes && !own {
            return self.has_right(conn, text);
        }
        // A client that keeps its server for the session stays where it is.
        let reads = tag == b'Q' && self.conns[conn].status == b'I' && self.shape.is_shared();
        if reads && self.conns[conn].role != Role::Writer {
            self.is_fresh(conn);
        }
    }

    /// A server begins with a statement. What has only reached its host may be turned away there, and go to another.
    pub(crate) fn begun(&mut self, statement: &Statement) {
        let Some((client, number)) = statement.row() else { return };
        self.ledger.begun.insert((client, number));
        let inserts = matches!(statement, Statement::Insert(_) | Statement::Copy(_));
        if inserts && !self.ledger.inserted.insert((client, number)) {
            self.violated(format!("insert {client}:{number} was begun twice"));
        }
    }

    /// Whether a message is a write, or may be, as far as its connection and itself tell.
    fn may_write(&self, conn: usize, tag: u8, body: &[u8]) -> bool {
        match self.conns[conn].role {
            Role::Writer => true,
            Role::Splitter => {
                let statement = self.statement_in(conn, tag, body);
                statement.is_some_and(|it| it.writes() || matches!(it, Statement::Begin(_)))
            }
            Role::Reader | Role::Probe | Role::Unknown => false,
        }
    }

    /// Why nothing may be sent on this connection any more, as the program knows.
    fn deposed(&self, conn: usize, writes: bool) -> Option<String> {
        let node = self.conns[conn].node;
        let known = self.known()?;
        let member = known.members.get(&self.nodes[node].name)?;
        if member.standing == Standing::Deposed {
            return Some("it is known to be deposed".to_owned());
        }
        let (named, at) = self.store.delivered?;
        let named = named?;
        let other = writes && named != node && at < self.now();
        other.then(|| format!("the store named n{named} at {at} ms"))
    }

    /// Whether a write may go to this server, by what only we know.
    fn has_right(&mut self, conn: usize, text: std::slice::EscapeAscii<'_>) {
        let (node, now) = (self.conns[conn].node, self.now());
        if self.nodes[node].pg != Pg::Primary {
            if self.conns[conn].life == Life::Open {
                self.violated(format!("\"{text}\" sent to n{node}, which is a standby"));
            }
            return;
        }
        let by_lease = self.store.leader.as_ref().is_some_and(|key| key.node == node && now < key.deadline);
        if by_lease {
            return;
        }
        let since = (0..self.nodes.len())
            .filter(|other| *other != node)
            .filter_map(|other| self.nodes[other].primary_since)
            .min();
        if self.shape.extras.authority == Asked::Hosts {
            return self.has_claim(conn, text);
        }
        let by_probes = self.known().is_some_and(|known| known.right.source == RightSource::Probes);
        // What a probe said may be as old as it counts.
        if by_probes && since.is_none_or(|since| now - since <= FRESH_FOR) {
            return;
        }
        self.violated(format!("\"{text}\" sent to n{node} without the right to write"));
    }

    /// Without a store there is no fencing. But nothing goes to a server while another one takes writes too that answers
    /// questions.
    fn has_claim(&mut self, conn: usize, text: std::slice::EscapeAscii<'_>) {
        let (node, now) = (self.conns[conn].node, self.now());
        // Nobody was asked while the program was suspended.
        let enough = |since: Ms| now - since.max(self.resumed_at) > 2 * FRESH_FOR;
        let rival = (0..self.nodes.len()).filter(|other| *other != node).find(|other| {
            let other = &self.nodes[*other];
            let told = |since: Ms| now - since.max(self.resumed_at) > 2 * PROBE_INTERVAL + PROBE_SLACK;
            other.is_askable() && enough(other.probed_well_since) && other.primary_since.is_some_and(told)
        });
        if let Some(rival) = rival {
            self.violated(format!("\"{text}\" sent to n{node}, though n{rival} takes writes too"));
        }
    }

    /// Whether a replica may serve a read, by what only we know.
    fn is_fresh(&mut self, conn: usize) {
        let (node, now) = (self.conns[conn].node, self.now());
        let Some(since) = self.nodes[node].beyond_since else { return };
        let known = self.known();
        let member = known.as_ref().and_then(|known| known.members.get(&self.nodes[node].name));
        let grace = member.is_some_and(|member| matches!(member.reads, Reads::Grace(_)));
        let mut allowed = 2 * PROBE_INTERVAL + PROBE_SLACK;
        for asked in self.leader().into_iter().chain([node]) {
            let asked = &self.nodes[asked];
            if !asked.is_askable() || now - asked.probed_well_since < 2 * FRESH_FOR {
                allowed = allowed.max(2 * FRESH_FOR);
            }
        }
        // Nobody was asked while the program was suspended.
        let since = since.max(self.resumed_at);
        if !grace && now - since > allowed {
            let reads = member.map(|member| member.reads.clone());
            self.violated(format!("read sent to n{node}, beyond its bound since {since} ms ({reads:?})"));
        }
    }

    /// A second after another leader was named, nobody may be left waiting on the old one, and nothing that was idle
    /// there may still be open.
    pub(crate) fn overdue(&mut self, node: usize, named_at: Ms) {
        for conn in 0..self.conns.len() {
            let left = &self.conns[conn];
            if left.node != node || !left.is_client() || left.dropped || left.opened_at >= named_at {
                continue;
            }
            if left.asked_at.is_some_and(|asked_at| asked_at <= named_at) {
                self.violated(format!("connection {conn} still waits for n{node}, deposed at {named_at} ms"));
            } else if left.is_at_rest() && left.role == Role::Writer {
                self.violated(format!(
                    "connection {conn} to n{node}, deposed at {named_at} ms, is still open"
                ));
            }
        }
    }

    /// No pool is larger than it may be, and what is counted is what there is.
    pub(crate) fn count(&mut self, pools: &Pools) {
        for (key, pool) in pools.all() {
            let size = match key.kind {
                // One more where the configuration may change.
                PoolKind::Normal => self.shape.servers() + usize::from(self.shape.extras.is_any()),
                PoolKind::Fallback => FALLBACK_SERVERS,
            };
            let Gauges { opening, idle, leased, recovering, .. } = pool.gauges();
            let there = opening + idle + leased + recovering;
            if there > size {
                self.violated(format!(
                    "the pool of {} on {} has {there} servers of {size}",
                    key.user, key.member
                ));
            }
        }
    }

    /// A client was cut off: had something happened to its server?
    pub(crate) fn cut(&mut self, client: u32, code: SqlState, message: &str) {
        self.note("Cut off", client as usize, 0);
        self.ledger.count.cut += 1;
        if self.is_stopping {
            return;
        }
        let Some(Arrival { conn, timeline }) = self.ledger.at_server.get(&client).copied() else { return };
        let (node, life) = (self.conns[conn].node, self.conns[conn].life);
        let Some(known) = self.known() else { return };
        let member = known.members.get(&self.nodes[node].name);
        let deposed = member.is_none_or(|member| member.standing == Standing::Deposed);
        let replaced = self.conns[conn].role != Role::Reader
            && known.term().is_none_or(|term| term.member != self.nodes[node].name);
        let promoted = self.nodes[node].primary_since.is_none_or(|since| since > self.conns[conn].opened_at);
        // It was promoted while the program could not reach it, which has heard of it only since: the right by which the
        // statement was sent is of a term that is over.
        let heard_late = known.term().is_some_and(|term| {
            let led = term.member == self.nodes[node].name && term.timeline == self.nodes[node].timeline;
            led && timeline.is_some_and(|before| before < term.timeline)
        });
        let renewed = promoted || heard_late;
        let broken = matches!(life, Life::Ended | Life::Broken);
        // What is read on a replica that is out of reach is given up; one that is in reach is not to be called so.
        let host = &self.nodes[node];
        let in_reach = host.is_askable() && self.now() - host.probed_well_since >= 2 * FRESH_FOR;
        let lost = self.conns[conn].role != Role::Writer
            && !in_reach
            && member.is_some_and(|member| matches!(member.standing, Standing::Lost(_)));
        if !(broken || lost || deposed || replaced || renewed || message.contains("not renewed in time")) {
            self.violated(format!("client {client} on healthy n{node} was cut off with {code}: {message}"));
        }
    }

    /// What clients were told, against what is so.
    pub(crate) fn audit(&mut self) {
        let Some(leader) = self.leader() else {
            return self.violated("there is no leader at the end".to_owned());
        };
        let mut found: BTreeMap<_, u32> = BTreeMap::new();
        for record in &self.nodes[leader].log {
            for row in &*record.rows {
                *found.entry(*row).or_default() += 1;
            }
        }
        let told = std::mem::take(&mut self.ledger.told);
        for ((client, number), told) in &told {
            let there = found.get(&(*client, *number)).copied().unwrap_or(0);
            let synchronous = self.shape.replication == Replication::Synchronous;
            match (told, there) {
                (_, 2..) => self.violated(format!("insert {client}:{number} is there {there} times")),
                (Told::Committed, 0) if synchronous => {
                    self.violated(format!("acknowledged insert {client}:{number} is lost"));
                }
                (Told::NotCommitted, 1) => {
                    self.violated(format!(
                        "insert {client}:{number} is there, though its client was told otherwise"
                    ));
                }
                _ => {}
            }
        }
        for (read, hidden) in self.ledger.promises.stale(|row| found.contains_key(row)) {
            self.violated(format!(
                "read {read:?} did not show {hidden:?}, of which its client had been told before"
            ));
        }
        self.ledger.told = told;
    }
}
