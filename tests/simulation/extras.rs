//! What some runs have beside the others: clients whose statements are split, promises to readers, commits that are asked
//! about, replicas that replay late.

use crate::{
    ambush::Ambush,
    faults::Strike,
    node::Ailment,
    random::Rng,
    shape::Replication,
    world::{Event, Ms, World},
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Extras {
    /// Clients of the listener that splits.
    pub(crate) splitters: usize,
    /// What a read must see.
    pub(crate) consistency: &'static str,
    /// Whether a commit that was cut off is asked about.
    pub(crate) commit_fate: bool,
    /// Who says which member leads.
    pub(crate) authority: Asked,
    /// A replica replays what it has received so much later, at most.
    pub(crate) replay_delay: Ms,
}

/// Who says which member leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Store,
    /// The servers themselves (`store = "none"`).
    Hosts,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            splitters: 0,
            consistency: "eventual",
            commit_fate: false,
            authority: Asked::Store,
            replay_delay: 0,
        }
    }
}

impl Extras {
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        if rng.chance(20) {
            return Self::default();
        }
        Self {
            splitters: 1 + rng.below(2),
            consistency: match rng.below(10) {
                0 | 1 => "eventual",
                2..6 => "session",
                _ => "global",
            },
            commit_fate: rng.chance(60),
            authority: Asked::Store,
            replay_delay: if rng.chance(75) { rng.within(20, 400) } else { 0 },
        }
    }

    /// Whether there is anything of it, so that servers must answer more questions.
    pub(crate) const fn is_any(&self) -> bool {
        self.splitters > 0
    }

    /// Whether reads must show what was committed before.
    pub(crate) fn is_consistent(&self) -> bool {
        self.consistency != "eventual"
    }
}

impl World {
    /// What goes wrong besides, where it matters what has been committed: the leader's server is restarted, standbys fall
    /// behind, and the one that has fallen behind takes over.
    pub(crate) fn draw_extras(&mut self, from: Ms, rng: &mut Rng) {
        if !self.shape.extras.is_any() || self.shape.is_orderly() {
            return;
        }
        let ambushes = if self.shape.extras.commit_fate { rng.within(1, 3) } else { 0 };
        for _ in 0..ambushes {
            let at = rng.within(0, self.shape.trouble * 7 / 10);
            let (strike, lasts) = (Strike::Ambush(Ambush::drawn(rng)), self.shape.trouble - at);
            self.after(from + at, Event::Begin { strike, lasts });
        }
        if self.shape.replication == Replication::Asynchronous && rng.chance(60) {
            self.leave_behind(from, rng);
        }
        if rng.chance(30) {
            let at = from + rng.within(0, self.shape.trouble * 7 / 10);
            self.after(at, Event::Begin { strike: Strike::Flicker, lasts: 0 });
        }
        for _ in 0..rng.within(0, 4) {
            let at = from + rng.within(0, self.shape.trouble * 8 / 10);
            let lasts = rng.within(200, 3000);
            let node = rng.below(self.nodes.len());
            let strike = match rng.below(6) {
                0 => Strike::Restart(usize::MAX),
                1 | 2 => Strike::Restart(node),
                3 => Strike::Switchover,
                4 => Strike::Ails(node, Ailment::Lag),
                _ => Strike::Ails(node, Ailment::NoReplication),
            };
            self.after(at, Event::Begin { strike, lasts });
        }
    }

    /// Nobody receives anything from the leader for a while, and then it dies: what was committed meanwhile is lost.
    fn leave_behind(&mut self, from: Ms, rng: &mut Rng) {
        let at = from + rng.within(0, self.shape.trouble / 2);
        let lasts = rng.within(100, 1500);
        for node in 0..self.nodes.len() {
            let strike = Strike::Ails(node, Ailment::NoReplication);
            self.after(at, Event::Begin { strike, lasts: lasts + 100 });
        }
        self.after(at + lasts, Event::Begin { strike: Strike::Crash(usize::MAX), lasts: 0 });
    }
}
