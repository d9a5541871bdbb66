//! Runs the store and the probes, folds what they tell, and publishes.
//!
//! One task folds: fact by fact, each with its fence and its publication in one go. The store and each member's
//! prober are tasks of their own, which only send facts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use super::{
    fact::{Command, Fact, ProbeOutcome},
    fence::Fence,
    headway::tracker::Tracker,
    ids::{Lsn, MemberName, Timeline},
    names,
    observer::Observer,
    orders::Orders,
    policy::{ClusterPolicy, ReadPolicy},
    probe::{Pace, Prober},
    rest::Confirmer,
    store::{Store, StoreEvent},
    topology::{Member, Topology},
};
use crate::{
    clock::{Clock, Moment, wall_time},
    net::{Address, Dial},
};

/// What is called with each new topology, in order, right after the fence was written. Must not block.
pub type Publish = Box<dyn Fn(&Arc<Topology>) + Send>;

/// Facts of one kind that may wait to be folded; whoever sends more waits.
const QUEUE: usize = 64;
/// Suspicions that may wait to be folded; more are dropped.
const SUSPICIONS: usize = 256;

/// A running watcher, for everybody else. It runs until the last handle is dropped.
#[derive(Clone, Debug)]
pub struct WatcherHandle {
    suspicions: mpsc::Sender<Fact>,
    topology: Arc<ArcSwap<Topology>>,
    fence: Arc<Fence>,
}

impl WatcherHandle {
    /// Reports that something seems wrong with a member: a connection that worked broke, a connect was refused.
    /// Never a refused password, which any client could provoke. Never waits; one report more or less does not
    /// matter while the queue is full, since the member is being asked then.
    pub fn suspect(&self, member: MemberName, why: &str) {
        let _ = self.suspicions.try_send(Fact::Suspected { member, why: why.to_owned() });
    }

    /// Replicas are to be judged by these bounds from now on. False if too much waits to be taken in: try again.
    pub fn set_reads(&self, reads: ReadPolicy) -> bool {
        self.suspicions.try_send(Fact::ReadPolicy(reads)).is_ok()
    }

    /// An operator orders this. False if too much waits to be taken in: try again.
    pub fn order(&self, command: Command) -> bool {
        self.suspicions.try_send(Fact::Ordered(command)).is_ok()
    }

    /// What is known now.
    pub fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    /// The fence this watcher writes.
    pub fn fence(&self) -> Arc<Fence> {
        Arc::clone(&self.fence)
    }
}

/// Folds what the store and the probes of one cluster tell.
pub struct Watcher {
    runtime: Handle,
    clock: Clock,
    dial: Arc<dyn Dial>,
    policy: ClusterPolicy,
    observer: Observer,
    fence: Arc<Fence>,
    /// For how long, and up to when, the fence may stay open without another fold.
    attention: Duration,
    attentive_until: Moment,
    /// When this process last woke up after it had stood still, as long as the leader has not answered since.
    awoke_at: Option<Moment>,
    published: Arc<ArcSwap<Topology>>,
    publish: Publish,
    probers: BTreeMap<MemberName, RunningProber>,
    /// Where timelines were left, as the store had it last.
    history: Vec<(Timeline, Lsn)>,
    confirming: Option<(Confirmer, Running)>,
    _names: Option<Running>,
    /// Hours of a pin's age that were warned of.
    pin_hours: u64,
    probed: mpsc::Sender<Fact>,
    hurry: watch::Sender<u64>,
}

/// A task that ends with its owner.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct RunningProber {
    address: Address,
    pace: watch::Sender<Pace>,
    _task: Running,
    /// Asks how far it has come, when somebody waits for that.
    tracker: Option<Running>,
}

/// What the fold reads from.
struct Sources {
    /// `None` without a store.
    store: Option<mpsc::Receiver<StoreEvent>>,
    probes: mpsc::Receiver<Fact>,
    suspicions: mpsc::Receiver<Fact>,
    _store_task: Option<Running>,
}

impl Sources {
    /// What the store says next; for ever pending without one. A store that ended by itself is a lost store.
    async fn store_event(store: &mut Option<mpsc::Receiver<StoreEvent>>) -> StoreEvent {
        let Some(events) = store else { return std::future::pending().await };
        let event = events.recv().await;
        event.unwrap_or_else(|| {
            *store = None;
            StoreEvent::Lost { reason: "it is not watched any more".to_owned() }
        })
    }
}

impl Watcher {
    /// Starts to watch a cluster on `runtime`. `fence` is written and `publish` called from there, for the first time
    /// before this returns. `store` is `None` exactly if the policy's authority are the hosts.
    pub fn spawn(
        runtime: Handle,
        clock: Clock,
        dial: Arc<dyn Dial>,
        store: Option<Box<dyn Store>>,
        policy: ClusterPolicy,
        fence: Arc<Fence>,
        publish: Publish,
    ) -> WatcherHandle {
        let attention = policy.observer().fresh_for();
        let observer = Observer::new(policy.observer(), clock.now());
        let published = Arc::new(ArcSwap::new(Arc::clone(observer.topology())));
        let (probed, probes) = mpsc::channel(QUEUE);
        let (suspicions, suspected) = mpsc::channel(SUSPICIONS);
        let (hurry, hurried) = watch::channel(0);
        let (store, store_task) = store
            .map(|store| {
                let (events, received) = mpsc::channel(QUEUE);
                (received, Running(runtime.spawn(store.watch(events, hurried))))
            })
            .unzip();
        let names = policy.names_interval.map(|interval| {
            let watched = names::watch(Arc::clone(&dial), interval, Arc::clone(&published), probed.clone());
            Running(runtime.spawn(watched))
        });
        let sources = Sources { store, probes, suspicions: suspected, _store_task: store_task };
        let handle =
            WatcherHandle { suspicions, topology: Arc::clone(&published), fence: Arc::clone(&fence) };
        let mut watcher = Self {
            runtime: runtime.clone(),
            clock,
            dial,
            policy,
            observer,
            fence,
            attention,
            attentive_until: Moment::ZERO,
            awoke_at: None,
            published,
            publish,
            probers: BTreeMap::new(),
            history: Vec::new(),
            confirming: None,
            _names: names,
            pin_hours: 0,
            probed,
            hurry,
        };
        let first = Arc::clone(watcher.observer.topology());
        watcher.put_in_force(&first);
        watcher.attend(clock.now());
        runtime.spawn(watcher.run(sources));
        handle
    }

    async fn run(mut self, mut from: Sources) {
        loop {
            let wait = self.until_due();
            let fact = tokio::select! {
                biased;
                event = Sources::store_event(&mut from.store) => Fact::Store(self.dated(event)),
                Some(fact) = from.probes.recv() => fact,
                suspicion = from.suspicions.recv() => match suspicion {
                    Some(suspicion) => suspicion,
                    None => return,
                },
                () = sleep(wait) => Fact::Tick,
            };
            self.fold(&fact);
        }
    }

    /// What is scheduled by the wall clock is so by ours.
    fn dated(&self, mut event: StoreEvent) -> StoreEvent {
        if let StoreEvent::Read(snapshot) = &mut event {
            let now = self.clock.now();
            snapshot.switchover =
                snapshot.switchover.take().map(|switchover| switchover.dated(now, wall_time()));
        }
        event
    }

    /// How long until something known runs out. Never longer than a probe's interval: the runtime's clock stands
    /// still while the machine is suspended, ours does not.
    fn until_due(&self) -> Duration {
        let now = self.clock.now();
        let longest = self.policy.probe.interval;
        let due = self.observer.wake_at(now).map_or(longest, |due| due.since(now)).min(longest);
        // The runtime's timers count milliseconds.
        due.max(Duration::from_millis(1))
    }

    /// Folds one fact. The fence is written before anybody hears of the new topology, and all of it happens before
    /// the next fact is looked at.
    fn fold(&mut self, fact: &Fact) {
        let now = self.clock.now();
        if let Fact::Store(StoreEvent::Read(snapshot)) = fact {
            self.history.clone_from(&snapshot.history);
        }
        if now >= self.attentive_until {
            self.awoke_at = Some(now);
        }
        if let Some(topology) = self.observer.observe(fact, now) {
            self.put_in_force(&topology);
        }
        self.awoke_at = self.awoke_at.filter(|awoke_at| !self.has_leader_answered(*awoke_at));
        self.attend(now);
        self.warn_of_pin(now);
    }

    /// A pin is for an emergency: one that grows old is told of every hour. It stops nothing by itself.
    fn warn_of_pin(&mut self, now: Moment) {
        let pin = self.observer.topology().pin.as_ref();
        let hours = pin.map_or(0, |pin| now.since(pin.seen_at).as_secs() / 3600);
        if let Some(pin) = pin.filter(|_| hours > self.pin_hours) {
            tracing::warn!(cluster = &*self.policy.name, member = %pin.member, hours,
                "a leader is still pinned by an operator: the store's word does not count");
        }
        self.pin_hours = hours;
    }

    /// Keeps the fence open for a while longer. A lease in the store may outlive a planned change of leader, during
    /// which this process stood still (suspended, stopped, starved): whoever wakes up before this task does finds the
    /// fence closed, and open again only after what is known has been judged, and published, by its age.
    fn attend(&mut self, now: Moment) {
        self.attentive_until = now + self.attention;
        self.set_fence(self.observer.topology());
        self.fence.attend(if self.awoke_at.is_none() { self.attentive_until } else { Moment::ZERO });
    }

    /// Whether the leader in office, if there is one, was asked since then and has answered: if not as the leader, it is in
    /// office no more.
    fn has_leader_answered(&self, since: Moment) -> bool {
        let topology = self.observer.topology();
        let Some(member) = topology.term().and_then(|term| topology.members.get(&term.member)) else {
            return true;
        };
        member.probe.as_ref().is_some_and(|probe| {
            probe.asked_at >= since && matches!(probe.outcome, ProbeOutcome::Answered(_))
        })
    }

    fn set_fence(&self, topology: &Topology) {
        let epoch = topology.term().map_or(0, |term| term.epoch);
        self.fence.set(epoch, topology.right.deadline.min(self.attentive_until));
    }

    fn put_in_force(&mut self, topology: &Arc<Topology>) {
        self.set_fence(topology);
        self.policy.headway.follow(topology, &self.history);
        self.published.store(Arc::clone(topology));
        (self.publish)(topology);
        self.log(topology);
        self.order(topology);
    }

    fn log(&self, topology: &Topology) {
        for change in &topology.changes {
            tracing::info!(
                cluster = &*self.policy.name,
                subject = change.subject,
                from = change.from,
                to = change.to,
                evidence = change.evidence,
                "topology changed"
            );
        }
    }

    /// Has members asked as often, and the store as soon, as the topology wants it.
    fn order(&mut self, topology: &Topology) {
        let orders = Orders::derive(topology, &self.policy.authority);
        let doubt = orders.doubt.map_or(0, Moment::nanos);
        self.hurry.send_if_modified(|hurry| {
            let newer = doubt > *hurry;
            *hurry = doubt.max(*hurry);
            newer
        });
        self.confirm(orders.confirm.as_ref());
        self.probers.retain(|name, _| topology.members.contains_key(name));
        for (name, member) in &topology.members {
            let pace = orders.pace(name);
            match self.probers.get(name) {
                Some(prober) if prober.address == member.address => {
                    prober.pace.send_if_modified(|before| std::mem::replace(before, pace) != pace);
                }
                _ => {
                    let prober = self.prober(name, &member.address, pace);
                    self.probers.insert(name.clone(), prober);
                }
            }
            self.track(name, member);
        }
    }

    /// Has replicas that serve reads asked how far they have come, whenever somebody waits for that.
    fn track(&mut self, name: &MemberName, member: &Member) {
        let Some(prober) = self.probers.get_mut(name) else { return };
        if !member.reads.serves() {
            prober.tracker = None;
        } else if prober.tracker.is_none() {
            let tracker = Tracker {
                member: name.clone(),
                address: member.address.clone(),
                dial: Arc::clone(&self.dial),
                clock: self.clock,
                policy: self.policy.probe.clone(),
                headway: Arc::clone(&self.policy.headway),
            };
            prober.tracker = Some(Running(self.runtime.spawn(tracker.run())));
        }
    }

    /// Has a leader's Patroni asked whether it leads without the store, for as long as that is wanted.
    fn confirm(&mut self, wanted: Option<&Confirmer>) {
        if self.confirming.as_ref().map(|(asked, _)| asked) == wanted {
            return;
        }
        let ClusterPolicy { probe, rest, .. } = &self.policy;
        self.confirming = wanted.zip(rest.clone()).map(|(confirmer, rest)| {
            let pace = [probe.interval, probe.timeout];
            let asking = confirmer.clone().run(rest, self.clock, pace, self.probed.clone());
            (confirmer.clone(), Running(self.runtime.spawn(asking)))
        });
    }

    fn prober(&self, name: &MemberName, address: &Address, pace: Pace) -> RunningProber {
        let (pace, urged) = watch::channel(pace);
        let prober = Prober {
            member: name.clone(),
            address: address.clone(),
            dial: Arc::clone(&self.dial),
            clock: self.clock,
            policy: self.policy.probe.clone(),
            pace: urged,
            facts: self.probed.clone(),
            headway: Arc::clone(&self.policy.headway),
        };
        let task = Running(self.runtime.spawn(prober.run()));
        RunningProber { address: address.clone(), pace, _task: task, tracker: None }
    }
}

#[cfg(test)]
mod tests;
