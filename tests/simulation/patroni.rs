//! Patroni's rules, as far as they matter to a proxy: who may hold the key, when a leader steps down, how a switchover
//! and a rejoin go.

use crate::{
    conn::Ending,
    node::{Ailment, Pg},
    shape::Replication,
    store::Key,
    transactions::Xids,
    world::{Event, Ms, World},
};

impl World {
    /// A cluster that has just been set up: the first node leads, the others follow.
    pub(crate) fn bootstrap(&mut self) {
        let now = self.now();
        self.store.is_up = true;
        self.nodes[0].pg = Pg::Primary;
        self.nodes[0].primary_since = Some(now);
        self.append(0, [].into(), 8192);
        for node in 1..self.nodes.len() {
            self.nodes[node].upstream = Some(0);
            self.stream(node);
        }
        self.take_key(0);
        for node in 0..self.nodes.len() {
            let delay = self.rng.within(1, 300);
            self.after(delay, Event::Patroni(node));
        }
        self.after(50, Event::Noise);
    }

    /// A run of the HA loop.
    pub(crate) fn patroni(&mut self, node: usize) {
        let jitter = self.rng.within(0, 40);
        self.after(self.shape.loop_wait + jitter, Event::Patroni(node));
        self.patroni_once(node);
    }

    pub(crate) fn patroni_once(&mut self, node: usize) {
        if !self.nodes[node].patroni_runs() {
            return;
        }
        let pg = self.nodes[node].pg;
        let leads = matches!(pg, Pg::Primary | Pg::Promoting);
        if !self.store.is_up || self.nodes[node].has(Ailment::NoStore) {
            // It steps down before anybody else can take the key.
            if leads && self.now() - self.nodes[node].renewed_at >= self.shape.ttl * 6 / 10 {
                self.note("STEPS DOWN without the store", node, 0);
                self.demote(node);
            } else if pg == Pg::Down {
                self.start(node);
            }
            return;
        }
        match self.store.leader.as_ref().map(|key| key.node) {
            Some(holder) if holder == node => match pg {
                Pg::Primary | Pg::Promoting => self.renew(node),
                Pg::Standby => self.promote(node),
                Pg::Starting if self.nodes[node].resumes => self.renew(node),
                Pg::Down | Pg::Starting | Pg::Masked => {
                    self.drop_key("GIVES THE KEY UP");
                    if pg == Pg::Down {
                        self.start(node);
                    }
                }
            },
            Some(_) if leads => {
                self.note("STEPS DOWN for another", node, 0);
                self.demote(node);
            }
            Some(holder) if pg == Pg::Standby => self.follow(node, holder),
            Some(_) | None if pg == Pg::Down => self.start(node),
            None if pg == Pg::Primary || (pg == Pg::Standby && self.is_best(node)) => {
                if self.is_eligible(node) {
                    self.take_key(node);
                    if pg == Pg::Standby {
                        self.promote(node);
                    }
                } else if leads {
                    self.demote(node);
                }
            }
            _ => {}
        }
    }

    fn is_eligible(&self, node: usize) -> bool {
        let known = &self.store;
        let in_sync = self.shape.replication == Replication::Asynchronous
            || known.sync_leader == Some(node)
            || known.sync_standby == Some(node);
        in_sync
            && self.nodes[node].timeline == self.timeline
            && known.candidate.is_none_or(|only| only == node)
    }

    /// Whether nobody else who could lead has more of the log.
    fn is_best(&self, node: usize) -> bool {
        let own = self.nodes[node].received_to();
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        self.is_eligible(node)
            && others.into_iter().all(|other| {
                let rival = self.nodes[other].patroni_runs() && self.nodes[other].pg == Pg::Standby;
                !(rival && self.is_eligible(other) && self.nodes[other].received_to() > own)
            })
    }

    pub(crate) fn take_key(&mut self, node: usize) {
        let deadline = self.now() + self.shape.ttl;
        self.note("TAKES THE KEY", node, 0);
        self.nodes[node].renewed_at = self.now();
        self.nodes[node].sync_with = None;
        self.store.sync_leader = Some(node);
        self.store.sync_standby = None;
        self.store.candidate = None;
        self.store.switchover = None;
        self.store.revision += 1;
        let elected_at = self.store.revision;
        self.store.leader = Some(Key { node, elected_at, deadline });
        self.after(self.shape.ttl, Event::Expiry);
        self.store_changed();
        for other in 0..self.nodes.len() {
            let delay = self.rng.within(30, 200);
            self.after(delay, Event::Glance(other));
        }
    }

    fn renew(&mut self, node: usize) {
        let now = self.now();
        self.nodes[node].renewed_at = now;
        if let Some(key) = &mut self.store.leader {
            key.deadline = now + self.shape.ttl;
        }
        self.after(self.shape.ttl, Event::Expiry);
        if self.nodes[node].pg == Pg::Primary && self.shape.replication == Replication::Synchronous {
            self.choose_sync(node);
        }
    }

    /// Chooses the standby that commits wait for: one that is caught up; none rather than one that is gone.
    fn choose_sync(&mut self, leader: usize) {
        let good = |standby: &usize| {
            *standby != leader
                && self.streams_from(*standby) == Some(leader)
                && self.nodes[*standby].runs()
                && self.nodes[*standby].log.len() == self.nodes[leader].flushed
        };
        let kept = self.nodes[leader]
            .sync_with
            .filter(|standby| self.streams_from(*standby) == Some(leader) && self.nodes[*standby].runs());
        let chosen = kept.or_else(|| (0..self.nodes.len()).find(good));
        if chosen != self.nodes[leader].sync_with {
            self.note("SYNCHRONOUS STANDBY of", leader, chosen.map_or(99, |node| node as u64));
            self.nodes[leader].sync_with = chosen;
            self.store.sync_standby = chosen;
            self.store.revision += 1;
            self.store_changed();
            self.release_commits(leader);
        }
    }

    pub(crate) fn drop_key(&mut self, why: &'static str) {
        let Some(key) = self.store.leader.take() else { return };
        self.note(why, key.node, 0);
        self.store.revision += 1;
        self.store_changed();
        for other in 0..self.nodes.len() {
            let delay = self.rng.within(60, 160);
            self.after(delay, Event::Glance(other));
        }
    }

    pub(crate) fn expire(&mut self) {
        let now = self.now();
        if self.store.is_up && self.store.leader.as_ref().is_some_and(|key| key.deadline <= now) {
            self.drop_key("LEASE EXPIRES of");
        }
    }

    pub(crate) fn promote(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.nodes[node].pg = Pg::Promoting;
        self.nodes[node].upstream = None;
        let delay = self.rng.within(100, 500);
        self.after(delay, Event::Promoted { node, life });
    }

    pub(crate) fn promoted(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life || self.nodes[node].pg != Pg::Promoting {
            return;
        }
        if !self.nodes[node].runs() {
            self.after(50, Event::Promoted { node, life });
            return;
        }
        self.timeline += 1;
        self.ledger.count.terms += 1;
        self.note("PROMOTED", node, self.timeline.into());
        let now = self.now();
        let promoted = &mut self.nodes[node];
        promoted.pg = Pg::Primary;
        promoted.promoted_at = Some(promoted.received_to());
        promoted.xids = Xids::after(&promoted.log);
        promoted.primary_since = Some(now);
        promoted.timeline = self.timeline;
        promoted.replayed = promoted.log.len();
        self.append(node, [].into(), 4096);
    }

    /// Another server is at a node's address. Whoever holds the key is left alone: from outside nobody can tell a copy at
    /// the leader's address from a leader that was promoted anew.
    pub(crate) fn masked(&mut self, node: usize, life: u32) {
        let ails = self.nodes[node].has(Ailment::Foreign) || self.nodes[node].has(Ailment::Restored);
        let holds_key = self.store.leader.as_ref().is_some_and(|key| key.node == node);
        if ails && self.nodes[node].life == life && self.nodes[node].pg == Pg::Down {
            if holds_key && self.nodes[node].has(Ailment::Restored) {
                return self.after(500, Event::Masked { node, life });
            }
            self.note("MASKED", node, 0);
            self.nodes[node].pg = Pg::Masked;
        }
    }

    /// Every server is stopped and started as one of a cluster with another identifier, whose timelines begin anew.
    pub(crate) fn set_up_anew(&mut self) {
        if !self.store.is_up || self.leader().is_none() {
            return;
        }
        self.note("SET UP ANEW", 0, 0);
        self.system_id += 2;
        let newest = std::mem::replace(&mut self.timeline, 1);
        for node in 0..self.nodes.len() {
            if self.nodes[node].pg != Pg::Masked {
                self.crash(node, Ending::Reset);
            }
            let known = self.nodes[node].timeline;
            self.nodes[node].timeline = if known == newest { 1 } else { 0 };
        }
        self.drop_key("GIVES THE KEY UP, set up anew");
    }

    /// The server is shut down and started as a standby.
    pub(crate) fn demote(&mut self, node: usize) {
        self.close_all(node, Ending::Shutdown);
        self.leaves_office(node);
        self.nodes[node].flushed = self.nodes[node].log.len();
        self.nodes[node].pg = Pg::Down;
        self.start(node);
    }

    fn leaves_office(&mut self, node: usize) {
        if self.nodes[node].pg == Pg::Primary {
            self.nodes[node].led_at = Some(self.now());
        }
    }

    /// A server dies, and is started again at once: the leader's before anybody else takes over, on the same timeline.
    pub(crate) fn restart(&mut self, node: usize) {
        let leads = self.leader() == Some(node);
        if !self.nodes[node].patroni_runs() || !(leads || self.nodes[node].pg == Pg::Standby) {
            return;
        }
        self.note("RESTARTS", node, 0);
        let sync_with = self.nodes[node].sync_with;
        self.crash(node, Ending::Reset);
        self.start_within(node, 50, if leads { 1200 } else { 400 });
        self.nodes[node].sync_with = sync_with.filter(|_| leads);
        self.nodes[node].resumes = leads;
    }

    fn resume(&mut self, node: usize) {
        self.note("RESUMES", node, 0);
        let now = self.now();
        let leader = &mut self.nodes[node];
        leader.pg = Pg::Primary;
        leader.resumes = false;
        leader.primary_since = Some(now);
        leader.replayed = leader.log.len();
        leader.xids = Xids::after(&leader.log);
        self.append(node, [].into(), 4096);
        // Whoever has waited for it.
        self.others_commit(node, 500);
    }

    /// The server dies on the spot.
    pub(crate) fn crash(&mut self, node: usize, how: Ending) {
        self.close_all(node, how);
        self.leaves_office(node);
        let node = &mut self.nodes[node];
        node.lose_unflushed();
        node.promoted_at = None;
        node.resumes = false;
        node.pg = Pg::Down;
        node.life += 1;
        node.upstream = None;
        node.primary_since = None;
    }

    fn start(&mut self, node: usize) {
        self.start_within(node, 300, 1200);
    }

    pub(crate) fn start_within(&mut self, node: usize, least: Ms, most: Ms) {
        let delay = self.rng.within(least, most);
        let starting = &mut self.nodes[node];
        starting.pg = Pg::Starting;
        starting.life += 1;
        starting.upstream = None;
        starting.primary_since = None;
        starting.sync_with = None;
        starting.promoted_at = None;
        starting.resumes = false;
        let life = starting.life;
        self.after(delay, Event::Started { node, life });
    }

    pub(crate) fn started(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life || self.nodes[node].pg != Pg::Starting {
            return;
        }
        if !self.nodes[node].runs() {
            self.after(50, Event::Started { node, life });
            return;
        }
        if self.nodes[node].resumes && self.store.leader.as_ref().is_some_and(|key| key.node == node) {
            return self.resume(node);
        }
        self.note("STARTED", node, 0);
        self.nodes[node].pg = Pg::Standby;
        self.begin_replay(node);
        self.patroni_once(node);
    }

    /// Follows a leader, after a rewind if its own log has gone another way.
    fn follow(&mut self, node: usize, leader: usize) {
        if self.nodes[leader].pg != Pg::Primary || self.nodes[node].has(Ailment::NoReplication) {
            return;
        }
        let serials = |node: usize| self.nodes[node].log.iter().map(|record| record.serial);
        let common = serials(node).zip(serials(leader)).take_while(|(a, b)| a == b).count();
        if common < self.nodes[node].log.len() {
            self.note("REWINDS", node, (self.nodes[node].log.len() - common) as u64);
            self.close_all(node, Ending::Shutdown);
            self.nodes[node].log.truncate(common);
            self.start(node);
            return;
        }
        let timeline = self.nodes[leader].timeline;
        let follower = &mut self.nodes[node];
        if follower.upstream != Some(leader) || follower.timeline != timeline {
            follower.upstream = Some(leader);
            follower.timeline = timeline;
            self.note("FOLLOWS", node, leader as u64);
        }
        self.stream(node);
    }
}
