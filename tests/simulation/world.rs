//! Everything outside the program: a discrete-event world with a heap of what happens next.
//!
//! Nothing in it waits: the program's calls (a read, a write, a dial) find it as it is now, and what follows from
//! them later is put on the heap. So the world can go on while the program is suspended.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use pgsteer::{clock::Clock, cluster::watcher::WatcherHandle};
use tokio::sync::Notify;

use crate::{
    ambush::{Ambush, Who},
    conn::Conn,
    faults::Strike,
    ledger::Ledger,
    node::Node,
    random::Rng,
    shape::Shape,
    store::StoreModel,
    trace::Trace,
};

/// Milliseconds since the beginning, those included during which the program was suspended.
pub(crate) type Ms = u64;

/// The world, for everybody in it.
pub(crate) type Shared = Arc<Mutex<World>>;

/// The cluster's system identifier, until it is set up anew.
pub(crate) const SYSTEM_ID: u64 = 7;

/// What happens at a certain time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A backend has done what it was doing.
    Backend { conn: usize, step: u32 },
    /// A node's Patroni runs its loop.
    Patroni(usize),
    /// A promotion is complete, if the server still lives the same life.
    Promoted { node: usize, life: u32 },
    /// A server has started.
    Started { node: usize, life: u32 },
    /// Another server has started at a node's address.
    Masked { node: usize, life: u32 },
    /// A primary has flushed its log, if it still lives the same life.
    Flush { node: usize, life: u32 },
    /// A standby has replayed so much.
    Replayed { node: usize, life: u32, length: usize },
    /// A standby receives what its upstream has.
    Stream(usize),
    /// The leader writes something of its own.
    Noise,
    /// A lease may have run out.
    Expiry,
    /// The key is given up at the end of a planned switchover.
    HandOver { from: usize, to: usize, revision: u64 },
    /// The leader steps down as planned.
    StepDown { from: usize, to: usize, revision: u64 },
    /// A planned switchover does not come about.
    GiveUp(u64),
    /// Whoever watches the store is told.
    Tell(u64),
    /// A node's Patroni looks, besides its loop.
    Glance(usize),
    /// Something goes wrong, for so long.
    Begin { strike: Strike, lasts: Ms },
    /// It is well again.
    End(Strike),
    /// A second after the store named another leader: is anybody left waiting on the old one?
    Overdue { node: usize, named_at: Ms },
    /// The kernel gives up a connection to a host that is gone.
    Keepalive(usize),
    /// The leader that was deposed for a moment is named again.
    NamedAgain { node: usize, elected_at: u64 },
    /// Whoever was ambushed dies.
    Spring { conn: usize, who: Who },
}

pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) rng: Rng,
    pub(crate) nodes: Vec<Node>,
    pub(crate) conns: Vec<Conn>,
    pub(crate) store: StoreModel,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    /// The program has been told to stop.
    pub(crate) is_stopping: bool,
    /// What is to happen in the next commit.
    pub(crate) ambush: Option<Ambush>,
    /// The cluster's system identifier.
    pub(crate) system_id: u64,
    /// The highest timeline there is.
    pub(crate) timeline: u32,
    /// What the program knows, to hold it to.
    pub(crate) eyes: Option<WatcherHandle>,
    /// When the program was last resumed.
    pub(crate) resumed_at: Ms,
    clock: Clock,
    slept: &'static AtomicU64,
    events: BTreeMap<(Ms, u64), Event>,
    count: u64,
    pub(crate) driver: Arc<Notify>,
    wakes_at: Ms,
}

impl World {
    pub(crate) fn new(shape: Shape, rng: Rng, wanted: bool) -> Self {
        // Eight bytes for each run: the clock is copied everywhere and cannot own them.
        let slept: &'static AtomicU64 = Box::leak(Box::default());
        let nodes = (0..shape.nodes).map(|place| Node::new(place, shape.extras.authority)).collect();
        Self {
            nodes,
            rng,
            conns: Vec::new(),
            store: StoreModel::default(),
            ledger: Ledger::default(),
            trace: Trace::new(wanted),
            is_stopping: false,
            ambush: None,
            timeline: 1,
            system_id: SYSTEM_ID,
            eyes: None,
            resumed_at: 0,
            clock: Clock::suspendable(slept),
            slept,
            events: BTreeMap::new(),
            count: 0,
            driver: Arc::default(),
            wakes_at: 0,
            shape,
        }
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn now(&self) -> Ms {
        self.clock.now().nanos() / 1_000_000
    }

    pub(crate) fn note(&mut self, what: &'static str, a: usize, b: u64) {
        let now = self.now();
        self.trace.note(now, what, a as u64, b);
    }

    /// A promise was broken.
    pub(crate) fn violated(&mut self, what: String) {
        self.note("VIOLATION", 0, 0);
        let now = self.now();
        self.ledger.violations.push(format!("at {now} ms: {what}"));
    }

    /// Lets something happen in so many milliseconds.
    pub(crate) fn after(&mut self, delay: Ms, event: Event) {
        let at = self.now() + delay;
        self.count += 1;
        self.events.insert((at, self.count), event);
        if at < self.wakes_at {
            self.wakes_at = at;
            self.driver.notify_one();
        }
    }

    /// Suspends the program: the world goes on, no task runs, no timer advances.
    pub(crate) fn suspend(&mut self, length: Ms) {
        let until = self.now() + length;
        self.note("SUSPENDED", 0, length);
        while let Some((at, event)) = self.next_until(until) {
            self.sleep_until(at);
            self.happen(event);
        }
        self.sleep_until(until);
        self.resumed_at = until;
        self.note("RESUMED", 0, 0);
    }

    fn sleep_until(&self, at: Ms) {
        let missing = Duration::from_millis(at.saturating_sub(self.now()));
        let nanos = u64::try_from(missing.as_nanos()).unwrap_or(u64::MAX);
        self.slept.fetch_add(nanos, Ordering::AcqRel);
    }

    fn next_until(&mut self, until: Ms) -> Option<(Ms, Event)> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }

    /// What is due happens; when to come again.
    pub(crate) fn run(&mut self) -> Duration {
        loop {
            let now = self.now();
            match self.next_until(now) {
                Some((_, event)) => self.happen(event),
                None => break,
            }
        }
        self.wakes_at = self.events.first_key_value().map_or(Ms::MAX, |((at, _), _)| *at);
        Duration::from_millis(self.wakes_at.saturating_sub(self.now()).min(10_000))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Backend { conn, step } => self.backend_done(conn, step),
            Event::Patroni(node) => self.patroni(node),
            Event::Promoted { node, life } => self.promoted(node, life),
            Event::Started { node, life } => self.started(node, life),
            Event::Masked { node, life } => self.masked(node, life),
            Event::Flush { node, life } if self.nodes[node].life == life => self.flushed(node),
            Event::Flush { .. } => {}
            Event::Replayed { node, life, length } => self.replayed(node, life, length),
            Event::Stream(node) => self.stream(node),
            Event::Noise => self.noise(),
            Event::Expiry => self.expire(),
            Event::HandOver { from, to, revision } => self.hand_over(from, to, revision),
            Event::StepDown { from, to, revision } => self.step_down(from, to, revision),
            Event::GiveUp(revision) => self.give_up(revision),
            Event::Tell(broadcast) => self.tell(broadcast),
            Event::Glance(node) => self.patroni_once(node),
            Event::Begin { strike, lasts } => self.begin(strike, lasts),
            Event::End(strike) => self.end(strike),
            Event::Overdue { node, named_at } => self.overdue(node, named_at),
            Event::Keepalive(conn) => self.reset(conn),
            Event::NamedAgain { node, elected_at } => self.named_again(node, elected_at),
            Event::Spring { conn, who } => self.spring(conn, who),
        }
    }
}

/// Runs the world for as long as it is polled.
pub(crate) async fn drive(world: Shared) {
    let woken = world.lock().driver.clone();
    loop {
        let pause = world.lock().run();
        tokio::select! {
            biased;
            () = woken.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
