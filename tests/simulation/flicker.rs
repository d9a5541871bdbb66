//! The store names another leader for a moment, and then the same one again, of which the program has an old answer.

use crate::{
    faults::Strike,
    node::{Ailment, Pg},
    store::Key,
    world::{Event, Ms, World},
};

impl World {
    /// The leader, which the program cannot reach for a while, is deposed and named again before that answer is old. It leads
    /// again only some time after it is named.
    pub(crate) fn flicker(&mut self) {
        let Some(from) = self.leader().filter(|node| self.nodes[*node].patroni_runs() && self.store.is_up)
        else {
            return;
        };
        let works = |node: &usize| self.nodes[*node].patroni_runs() && self.nodes[*node].pg == Pg::Standby;
        let Some(to) = (0..self.nodes.len()).find(works) else { return };
        self.note("FLICKERS", from, to as u64);
        let unreachable = self.rng.within(300, 1200);
        for (node, ailment) in [(from, Ailment::NoLink), (to, Ailment::PatroniFrozen)] {
            let strike = Strike::Ails(node, ailment);
            self.begin(strike, unreachable);
        }
        self.store.revision += 1;
        let (elected_at, deadline) = (self.store.revision, self.now() + self.shape.ttl);
        self.store.leader = Some(Key { node: to, elected_at, deadline });
        self.store_changed();
        self.demote(from);
        self.start_within(from, 20, 120);
        self.after(150, Event::NamedAgain { node: from, elected_at });
    }

    /// The other one gives the key back.
    pub(crate) fn named_again(&mut self, node: usize, elected_at: u64) {
        if self.store.leader.as_ref().is_none_or(|key| key.elected_at != elected_at) {
            return;
        }
        let is_back = self.nodes[node].pg == Pg::Standby && self.nodes[node].timeline == self.timeline;
        if is_back && self.nodes[node].patroni_runs() && self.store.is_up {
            self.take_key(node);
            self.promote(node);
        } else {
            self.drop_key("GIVES THE KEY UP");
        }
    }

    /// When the program was last told of another leader than before.
    fn named_at(&self) -> Ms {
        self.store.delivered.map_or(0, |(_, at)| at)
    }

    /// Whoever the program has put in office has led since it was named.
    pub(crate) fn in_office(&mut self) {
        let Some(known) = self.known() else { return };
        let Some(term) = known.term().filter(|term| term.epoch != self.ledger.epoch) else { return };
        self.ledger.epoch = term.epoch;
        let named_at = self.named_at();
        let Some(node) = self.nodes.iter().find(|node| node.name == term.member) else { return };
        let leads = matches!(node.pg, Pg::Primary | Pg::Masked);
        if !leads && node.led_at.is_none_or(|at| at < named_at) {
            let (name, led_at) = (node.name.clone(), node.led_at);
            self.violated(format!(
                "{name} took office, named at {named_at} ms, which last led at {led_at:?}"
            ));
        }
    }
}
