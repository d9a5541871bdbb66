//! What goes wrong, and when.

use crate::{
    ambush::Ambush,
    conn::{Ending, Life},
    node::{Ailment, Pg},
    random::Rng,
    world::{Event, Ms, World},
};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// A node ails.
    Ails(usize, Ailment),
    /// A server dies; its kernel says so.
    Crash(usize),
    /// A server dies, and is back at once.
    Restart(usize),
    /// Another leader is named for a moment.
    Flicker,
    /// A server dies in the next commit.
    Ambush(Ambush),
    /// One backend dies.
    Backend,
    /// Somebody asks for a switchover.
    Switchover,
    /// The store has no quorum.
    StoreDown,
    /// The program cannot reach the store: it is refused, or nothing comes back.
    StoreRefused,
    StoreSilent,
    /// The watch is silent, though the store answers.
    WatchSilent,
    /// The watch tells everything late.
    WatchLate,
    /// The program asks a member of the store that lags behind.
    StoreLags,
    /// The cluster is set up anew on the same addresses, as by pg_upgrade: another system identifier, timelines from 1.
    SetUpAnew,
    /// The program is suspended.
    Suspended(Ms),
    /// It is suspended at the very moment a client sends something.
    SuspendedInFlight(Ms),
}

impl World {
    /// Draws the faults of this run. All are over when the trouble is.
    pub(crate) fn draw_faults(&mut self, from: Ms) {
        if self.shape.is_orderly() {
            for at in [0, self.shape.trouble / 3, self.shape.trouble * 2 / 3] {
                let at = from + at + self.rng.within(0, 300);
                self.after(at, Event::Begin { strike: Strike::Switchover, lasts: 0 });
            }
        } else if self.shape.more && self.rng.chance(25) {
            self.sleep_through_a_switchover(from);
        } else if self.rng.chance(35) {
            self.draw_plot(from);
        }
        for _ in 0..self.shape.faults {
            let at = from + self.rng.within(0, self.shape.trouble * 6 / 10);
            let left = from + self.shape.trouble - at;
            let lasts = if self.rng.chance(50) { left } else { self.rng.within(50, left) };
            let strike = self.draw();
            self.after(at, Event::Begin { strike, lasts });
        }
    }

    /// What happens once in years: other servers at known addresses, a cluster that is set up anew, a store that shows the
    /// past. Drawn apart, so that the other faults of a seed stay what they were.
    pub(crate) fn draw_rarities(&mut self, from: Ms, rng: &mut Rng) {
        if self.shape.is_orderly() || !rng.chance(30) {
            return;
        }
        for _ in 0..rng.within(1, 2) {
            let at = from + rng.within(0, self.shape.trouble * 6 / 10);
            let left = from + self.shape.trouble - at;
            let node = rng.below(self.nodes.len());
            let node = if rng.chance(30) { usize::MAX } else { node };
            let strike = match rng.below(4) {
                0 => Strike::Ails(node, Ailment::Foreign),
                1 => Strike::Ails(node, Ailment::Restored),
                2 => Strike::StoreLags,
                _ => Strike::SetUpAnew,
            };
            self.after(at, Event::Begin { strike, lasts: left });
        }
    }

    /// Two or three faults that go together: each alone is harmless.
    fn draw_plot(&mut self, from: Ms) {
        let at = from + self.rng.within(0, self.shape.trouble / 3);
        let lasts = from + self.shape.trouble - at;
        let leader = usize::MAX;
        let begin = |strike| Event::Begin { strike, lasts };
        let soon = at + self.rng.within(0, 600);
        let long = self.shape.ttl + self.rng.within(0, 2000);
        match self.rng.below(6) {
            // The leader's lease runs out under a server that goes on, and nobody tells the program.
            0 => {
                self.after(at, begin(Strike::Ails(leader, Ailment::PatroniFrozen)));
                self.after(soon, begin(Strike::StoreSilent));
            }
            1 => {
                self.after(at, begin(Strike::Ails(leader, Ailment::PatroniFrozen)));
                self.after(soon, begin(Strike::StoreRefused));
            }
            2 => {
                self.after(at, begin(Strike::Ails(leader, Ailment::PatroniFrozen)));
                self.after(soon, begin(Strike::SuspendedInFlight(long)));
            }
            // A switchover that is told late, to a program that cannot see the old leader.
            3 => {
                self.after(at, begin(Strike::WatchLate));
                self.after(at, begin(Strike::Ails(leader, Ailment::NoLink)));
                self.after(soon, begin(Strike::Switchover));
            }
            // The leader stands still, is replaced, and goes on with what was sent to it.
            4 => {
                self.after(at, begin(Strike::WatchSilent));
                self.after(soon, begin(Strike::Ails(leader, Ailment::Frozen)));
            }
            _ => {
                self.after(at, begin(Strike::Ails(leader, Ailment::NoStore)));
                self.after(soon, begin(Strike::Ails(leader, Ailment::NoLink)));
            }
        }
    }

    /// The program stands still for longer than it may vouch for what it knows, and for less than the leader's lease lasts;
    /// meanwhile the leader is changed on purpose.
    fn sleep_through_a_switchover(&mut self, from: Ms) {
        let at = from + self.rng.within(0, self.shape.trouble / 3);
        let asleep = self.rng.within(2000, self.shape.ttl);
        let lasts = from + self.shape.trouble - at;
        self.after(at, Event::Begin { strike: Strike::SuspendedInFlight(asleep), lasts });
        let asked = at + self.rng.within(0, 300);
        self.after(asked, Event::Begin { strike: Strike::Switchover, lasts });
    }

    fn draw(&mut self) -> Strike {
        let node = self.rng.below(self.nodes.len());
        // Half of all trouble is the leader's; who that is then, shows when it strikes.
        let node = if self.rng.chance(50) { usize::MAX } else { node };
        let pause =
            if self.rng.chance(50) { self.rng.within(200, 2000) } else { self.rng.within(2000, 9000) };
        match self.rng.below(26) {
            0 | 1 => Strike::Crash(node),
            2 => Strike::Ails(node, Ailment::Off),
            3 | 4 => Strike::Ails(node, Ailment::Frozen),
            5 | 6 => Strike::Ails(node, Ailment::PatroniFrozen),
            7 => Strike::Ails(node, Ailment::NoStore),
            8 | 9 => Strike::Ails(node, Ailment::NoLink),
            10 => Strike::Ails(node, Ailment::SlowProbe),
            11 => Strike::Ails(node, Ailment::FailProbe),
            12 | 23 => Strike::Ails(node, Ailment::Lag),
            13 | 24 => Strike::Ails(node, Ailment::NoReplication),
            14 => Strike::Backend,
            15 => Strike::Switchover,
            16 => Strike::StoreDown,
            17 => Strike::StoreRefused,
            18 => Strike::StoreSilent,
            19 => Strike::WatchSilent,
            20 => Strike::WatchLate,
            21 => Strike::Suspended(pause),
            _ => Strike::SuspendedInFlight(pause),
        }
    }

    /// Whoever leads now, where a fault is to strike the leader.
    fn aim(&self, strike: Strike) -> Strike {
        let now = |node: usize| if node < self.nodes.len() { node } else { self.leader().unwrap_or(0) };
        match strike {
            Strike::Ails(node, ailment) => Strike::Ails(now(node), ailment),
            Strike::Crash(node) => Strike::Crash(now(node)),
            Strike::Restart(node) => Strike::Restart(now(node)),
            other => other,
        }
    }

    pub(crate) fn begin(&mut self, strike: Strike, lasts: Ms) {
        let strike = self.aim(strike);
        self.after(lasts, Event::End(strike));
        match strike {
            Strike::Ails(node, ailment) => {
                self.note(ailment.began(), node, 0);
                self.nodes[node].ails(ailment);
                match ailment {
                    Ailment::Off => self.crash(node, Ending::Silence),
                    Ailment::Foreign | Ailment::Restored => {
                        self.crash(node, Ending::Reset);
                        let life = self.nodes[node].life;
                        let delay = self.rng.within(2500, 4000);
                        self.after(delay, Event::Masked { node, life });
                    }
                    _ => {}
                }
            }
            Strike::Crash(node) => {
                self.note("CRASHES", node, 0);
                self.crash(node, Ending::Reset);
            }
            Strike::Backend => {
                let open =
                    |conn: &&usize| self.conns[**conn].life == Life::Open && self.conns[**conn].is_client();
                let all: Vec<usize> = (0..self.conns.len()).collect();
                let open: Vec<usize> = all.iter().filter(open).copied().collect();
                if !open.is_empty() {
                    let conn = open[self.rng.below(open.len())];
                    self.note("BACKEND DIES", conn, 0);
                    self.reset(conn);
                }
            }
            Strike::Switchover => self.switch_over(),
            Strike::StoreDown => {
                self.note("STORE DOWN", 0, 0);
                self.store.is_up = false;
                self.store.woken.notify_one();
            }
            Strike::StoreRefused | Strike::StoreSilent => {
                self.note("STORE CUT OFF", 0, u64::from(strike == Strike::StoreSilent));
                self.store.trouble.push(strike);
                self.store.woken.notify_one();
            }
            Strike::StoreLags => {
                self.note("STORE LAGS", 0, 0);
                self.store.trouble.push(strike);
            }
            Strike::Restart(node) => self.restart(node),
            Strike::Flicker => self.flicker(),
            Strike::Ambush(ambush) => self.ambush = Some(ambush),
            Strike::SetUpAnew => self.set_up_anew(),
            Strike::WatchSilent | Strike::WatchLate => {
                self.note("WATCH TROUBLE", 0, u64::from(strike == Strike::WatchSilent));
                self.store.trouble.push(strike);
            }
            Strike::Suspended(length) => self.suspend(length),
            Strike::SuspendedInFlight(length) => self.store.suspend_next = Some(length),
        }
    }

    pub(crate) fn end(&mut self, strike: Strike) {
        match strike {
            Strike::Ails(node, ailment) => {
                let now = self.now();
                self.nodes[node].probed_well_since = now;
                if self.nodes[node].is_cured(ailment) {
                    self.note(ailment.ended(), node, 0);
                    self.cured(node, ailment);
                }
            }
            Strike::StoreDown => {
                self.note("STORE UP", 0, 0);
                self.store.is_up = true;
                // A new leader of the store gives every lease its full time again.
                let deadline = self.now() + self.shape.ttl;
                if let Some(key) = &mut self.store.leader {
                    key.deadline = key.deadline.max(deadline);
                }
                self.after(self.shape.ttl, Event::Expiry);
            }
            Strike::StoreRefused
            | Strike::StoreSilent
            | Strike::StoreLags
            | Strike::WatchSilent
            | Strike::WatchLate => {
                self.note("STORE IN REACH", 0, 0);
                if let Some(place) = self.store.trouble.iter().position(|known| *known == strike) {
                    self.store.trouble.remove(place);
                }
            }
            Strike::SuspendedInFlight(_) => self.store.suspend_next = None,
            Strike::Ambush(_) => self.ambush = None,
            Strike::Crash(_)
            | Strike::Restart(_)
            | Strike::Flicker
            | Strike::Backend
            | Strike::Switchover
            | Strike::SetUpAnew
            | Strike::Suspended(_) => {}
        }
    }

    fn cured(&mut self, node: usize, ailment: Ailment) {
        match ailment {
            Ailment::Off => {
                let dead: Vec<usize> = (0..self.conns.len())
                    .filter(|conn| self.conns[*conn].node == node && self.conns[*conn].life == Life::Silent)
                    .collect();
                for conn in dead {
                    let delay = self.rng.within(1, 1500);
                    self.after(delay, Event::Keepalive(conn));
                }
                self.patroni_once(node);
            }
            Ailment::Frozen | Ailment::NoLink => {
                for conn in 0..self.conns.len() {
                    if self.conns[conn].node == node {
                        if ailment == Ailment::NoLink {
                            self.conns[conn].in_flight = 0;
                        }
                        self.conns[conn].wake();
                        self.advance(conn);
                    }
                }
                for standby in 0..self.nodes.len() {
                    self.stream(standby);
                }
            }
            Ailment::Lag | Ailment::NoReplication => self.stream(node),
            Ailment::Foreign | Ailment::Restored => self.crash(node, Ending::Reset),
            _ => {}
        }
    }

    /// Whether everything is as it should be, so that clients must be served from here on.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let follows = |node: usize| self.streams_from(node) == Some(leader) && self.replays(node);
        self.store.is_up
            && self.store.trouble.is_empty()
            && (0..self.nodes.len()).all(|node| {
                self.nodes[node].is_askable()
                    && self.nodes[node].patroni_runs()
                    && (node == leader || (self.nodes[node].pg == Pg::Standby && follows(node)))
            })
    }
}

impl Ailment {
    const fn began(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Frozen => "FROZEN",
            Self::PatroniFrozen => "PATRONI FROZEN",
            Self::NoStore => "CUT OFF FROM THE STORE",
            Self::NoLink => "CUT OFF FROM US",
            Self::SlowProbe => "SLOW PROBES",
            Self::FailProbe => "FAILING PROBES",
            Self::Lag => "LAGS",
            Self::NoReplication => "RECEIVES NOTHING",
            Self::Foreign => "ANOTHER CLUSTER AT THE ADDRESS OF",
            Self::Restored => "A RESTORED COPY AT THE ADDRESS OF",
        }
    }

    const fn ended(self) -> &'static str {
        match self {
            Self::Off => "ON AGAIN",
            Self::Frozen => "THAWS",
            Self::PatroniFrozen => "PATRONI THAWS",
            Self::NoStore => "SEES THE STORE",
            Self::NoLink => "SEES US",
            Self::SlowProbe | Self::FailProbe => "PROBES WELL",
            Self::Lag => "REPLAYS",
            Self::NoReplication => "RECEIVES",
            Self::Foreign | Self::Restored => "ITSELF AGAIN",
        }
    }
}
