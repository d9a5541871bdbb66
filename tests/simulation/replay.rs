//! Standbys replay what they have received: at once, or a while later.

use crate::{
    node::{Ailment, Pg},
    world::{Event, World},
};

/// Records, at most, that a standby has to replay again after a restart before it shows what it has shown.
const REPLAYED_AGAIN_MAX: usize = 30;

impl World {
    /// What a standby has received it will have replayed soon.
    pub(crate) fn replay(&mut self, node: usize) {
        let standby = &self.nodes[node];
        if standby.has(Ailment::Lag) || standby.replayed == standby.log.len() {
            return;
        }
        let (life, length) = (standby.life, standby.log.len());
        match self.shape.extras.replay_delay {
            0 => self.replayed(node, life, length),
            longest => {
                let delay = self.rng.within(0, longest);
                self.after(delay, Event::Replayed { node, life, length });
            }
        }
    }

    /// A standby has replayed so much, if it still lives the same life.
    pub(crate) fn replayed(&mut self, node: usize, life: u32, length: usize) {
        let standby = &mut self.nodes[node];
        if standby.life != life || standby.has(Ailment::Lag) || standby.pg != Pg::Standby {
            return;
        }
        if !standby.runs() {
            return self.after(20, Event::Replayed { node, life, length });
        }
        standby.replayed = standby.replayed.max(length.min(standby.log.len()));
        self.measure_lag();
    }

    /// Whether a standby has replayed all, or all but what has come lately.
    pub(crate) fn replays(&self, node: usize) -> bool {
        let (standby, now) = (&self.nodes[node], self.now());
        let oldest = standby.log.get(standby.replayed);
        oldest.is_none_or(|record| now - record.at <= self.shape.extras.replay_delay + 50)
            && (oldest.is_none() || self.shape.extras.replay_delay > 0)
    }

    /// A standby that was restarted shows less than it had shown, until it has replayed that again.
    pub(crate) fn begin_replay(&mut self, node: usize) {
        let all = self.nodes[node].log.len();
        if self.shape.extras.replay_delay == 0 {
            self.nodes[node].replayed = all;
            return;
        }
        let again = self.rng.below(REPLAYED_AGAIN_MAX).min(all - 1);
        self.nodes[node].replayed = all - again;
        // Recovery has to begin further back.
        let (life, length) = (self.nodes[node].life, all);
        let delay = self.rng.within(0, 3 * self.shape.extras.replay_delay);
        self.after(delay, Event::Replayed { node, life, length });
    }
}
