//! Planned switchovers: announced in the store, then carried out or given up.

use crate::{
    node::Ailment,
    shape::Replication,
    world::{Event, World},
};

impl World {
    /// Somebody asks for a switchover; Patroni has the leader checkpoint before it steps down.
    pub(crate) fn switch_over(&mut self) {
        let Some(from) = self.leader() else { return };
        let Some(to) = self.successor(from) else { return };
        if self.store.switchover.is_some() {
            return;
        }
        self.note("SWITCHOVER ASKED FOR", from, to as u64);
        self.store.revision += 1;
        let revision = self.store.revision;
        self.store.switchover = Some((from, revision));
        self.store_changed();
        if self.rng.chance(20) {
            let delay = self.rng.within(50, 3000);
            self.after(delay, Event::GiveUp(revision));
        } else {
            let delay = self.rng.within(self.shape.notice, self.shape.notice + 800);
            self.after(delay, Event::StepDown { from, to, revision });
        }
    }

    /// Who can take over from a leader whose Patroni works.
    fn successor(&self, from: usize) -> Option<usize> {
        let works = |node: usize| self.nodes[node].patroni_runs() && !self.nodes[node].has(Ailment::NoStore);
        let synchronous = self.shape.replication == Replication::Synchronous;
        let fit = |node: &usize| {
            self.streams_from(*node) == Some(from)
                && works(*node)
                && (!synchronous || self.nodes[from].sync_with == Some(*node))
        };
        if self.store.is_up && works(from) { (0..self.nodes.len()).find(fit) } else { None }
    }

    /// The old leader stops taking writes, ships the rest, and only then gives the key up.
    pub(crate) fn step_down(&mut self, from: usize, to: usize, revision: u64) {
        if self.leader() != Some(from) || self.successor(from) != Some(to) {
            return self.give_up(revision);
        }
        self.note("SWITCHOVER", from, to as u64);
        self.nodes[from].flushed = self.nodes[from].log.len();
        self.stream(to);
        self.demote(from);
        self.after(300, Event::HandOver { from, to, revision });
    }

    pub(crate) fn hand_over(&mut self, from: usize, to: usize, revision: u64) {
        if self.store.is_up && self.store.leader.as_ref().is_some_and(|key| key.node == from) {
            self.store.candidate = Some(to);
            self.drop_key("HANDS THE KEY OVER");
        }
        self.after(2000, Event::GiveUp(revision));
    }

    /// The request is taken away; whoever leads goes on.
    pub(crate) fn give_up(&mut self, revision: u64) {
        if !self.store.is_up {
            return self.after(500, Event::GiveUp(revision));
        }
        if self.store.switchover.is_some_and(|(_, known)| known == revision) {
            self.note("SWITCHOVER GIVEN UP", 0, 0);
            self.store.switchover = None;
            self.store.revision += 1;
            self.store_changed();
        }
    }
}
