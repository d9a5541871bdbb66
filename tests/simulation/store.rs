//! The store: keys on a lease, watched and read as `cluster::store::etcd` does it.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use pgsteer::{
    clock::Moment,
    cluster::{
        ids::MemberName,
        store::{
            ClusterSettings, Due, LeaderKey, MemberRecord, Store, StoreEvent, StoreSnapshot, Switchover,
        },
    },
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::sleep,
};

use crate::{
    faults::Strike,
    node::Pg,
    world::{Event, Ms, Shared, World},
};

/// How often the store is read again.
const REREAD: Duration = Duration::from_millis(1000);
/// How many changes a member of the store may lag behind.
const PAST_MAX: usize = 6;
/// A request takes no longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The leader key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) node: usize,
    pub(crate) elected_at: u64,
    pub(crate) deadline: Ms,
}

/// The store itself, and the way to it.
#[derive(Debug, Default)]
pub(crate) struct StoreModel {
    pub(crate) is_up: bool,
    pub(crate) revision: u64,
    pub(crate) leader: Option<Key>,
    pub(crate) sync_leader: Option<usize>,
    pub(crate) sync_standby: Option<usize>,
    /// The only one who may take the key after a planned switchover.
    pub(crate) candidate: Option<usize>,
    /// The leader that is to step down as planned, and the revision at which that was asked for.
    pub(crate) switchover: Option<(usize, u64)>,
    /// What it held before, for members that lag behind.
    past: VecDeque<StoreSnapshot>,
    /// What is wrong between the program and the store.
    pub(crate) trouble: Vec<Strike>,
    /// Counts the records of all logs.
    pub(crate) serial: u64,
    /// The program is to be suspended when a client next sends something.
    pub(crate) suspend_next: Option<Ms>,
    /// What the watch has yet to tell, by number.
    told: u64,
    last_told_at: Ms,
    broadcasts: VecDeque<(u64, StoreSnapshot)>,
    /// What has come out of the watch.
    inbox: VecDeque<StoreSnapshot>,
    pub(crate) woken: Arc<Notify>,
    delivered_revision: u64,
    /// Whom the program was last told to lead, and when.
    pub(crate) delivered: Option<(Option<usize>, Ms)>,
    /// Whom it was last told of by name.
    named: Option<usize>,
}

impl World {
    fn has_trouble(&self, strike: Strike) -> bool {
        self.store.trouble.contains(&strike)
    }

    fn snapshot(&self, asked_at: Moment, right_until: Option<Moment>) -> StoreSnapshot {
        let key = |key: &Key| LeaderKey {
            member: self.nodes[key.node].name.clone(),
            elected_at: key.elected_at,
            right_until,
        };
        let record = |node: &crate::node::Node| MemberRecord {
            state: if node.pg == Pg::Starting { "starting" } else { "running" }.to_owned(),
            ..MemberRecord::replica(node.name.clone(), node.address.clone())
        };
        StoreSnapshot {
            asked_at,
            revision: self.store.revision,
            system_id: Some(self.system_id),
            leader: self.store.leader.as_ref().map(key),
            members: self.nodes.iter().map(record).collect(),
            settings: ClusterSettings {
                ttl: Duration::from_millis(self.shape.ttl),
                ..ClusterSettings::default()
            },
            history: Vec::new(),
            sync_standbys: self.store.sync_standby.iter().map(|n| self.nodes[*n].name.clone()).collect(),
            switchover: self.store.switchover.map(|(from, revision)| Switchover {
                revision,
                from: Some(self.nodes[from].name.clone()),
                due: Due::Now,
            }),
        }
    }

    /// What the store shows to one who asks now: from a member that lags behind, what it held before.
    fn as_seen(&mut self, asked_at: Moment) -> StoreSnapshot {
        let lags = self.has_trouble(Strike::StoreLags) && self.rng.chance(60) && !self.store.past.is_empty();
        if !lags {
            return self.snapshot(asked_at, None);
        }
        let place = self.rng.below(self.store.past.len());
        let past = self.store.past[place].clone();
        StoreSnapshot { asked_at, ..past }
    }

    /// Something was written: the watch will tell, in order.
    pub(crate) fn store_changed(&mut self) {
        let snapshot = self.snapshot(self.clock().now(), None);
        self.store.past.push_back(snapshot.clone());
        if self.store.past.len() > PAST_MAX {
            self.store.past.pop_front();
        }
        self.store.told += 1;
        let (number, now) = (self.store.told, self.now());
        self.store.broadcasts.push_back((number, snapshot));
        let late = self.has_trouble(Strike::WatchLate);
        let delay = if late { self.rng.within(100, 2000) } else { self.rng.within(0, 5) };
        let at = (now + delay).max(self.store.last_told_at);
        self.store.last_told_at = at;
        self.after(at - now, Event::Tell(number));
    }

    pub(crate) fn tell(&mut self, number: u64) {
        while self.store.broadcasts.front().is_some_and(|(known, _)| *known <= number) {
            let Some((_, snapshot)) = self.store.broadcasts.pop_front() else { break };
            let cut = self.has_trouble(Strike::StoreSilent) || self.has_trouble(Strike::StoreRefused);
            if !self.has_trouble(Strike::WatchSilent) && !cut && self.store.is_up {
                self.store.inbox.push_back(snapshot);
            }
        }
        self.store.woken.notify_one();
    }

    /// The program has been told this.
    fn delivered(&mut self, leader: Option<&MemberName>) {
        let now = self.now();
        let named = leader.and_then(|name| self.nodes.iter().position(|node| node.name == *name));
        let before = self.store.named;
        self.store.named = named.or(before);
        if self.store.delivered.is_none_or(|(known, _)| known != named) {
            self.note("Told of the leader", named.unwrap_or(99), 0);
            self.store.delivered = Some((named, now));
        }
        // One who was named and never reached has had no clients that could wait for its deposition.
        let in_office = |node: usize| {
            let known = self.eyes.as_ref().map(|eyes| eyes.topology());
            known.is_some_and(|known| known.term().is_some_and(|term| term.member == self.nodes[node].name))
        };
        if let (Some(before), Some(named)) = (before, named)
            && before != named
            && in_office(before)
        {
            self.after(1000, Event::Overdue { node: before, named_at: now });
        }
    }

    /// Why the store cannot be asked now, and how long it takes to notice.
    fn out_of_reach(&self) -> Option<(Duration, &'static str)> {
        if self.has_trouble(Strike::StoreSilent) {
            Some((REQUEST_TIMEOUT, "no answer"))
        } else if self.has_trouble(Strike::StoreRefused) || !self.store.is_up {
            Some((Duration::from_millis(2), "connection refused"))
        } else {
            None
        }
    }
}

/// The way to the store that the program is given.
pub(crate) struct FakeStore(pub(crate) Shared);

enum End {
    Lost(&'static str),
    NobodyListens,
}

impl Store for FakeStore {
    fn watch(
        self: Box<Self>,
        events: mpsc::Sender<StoreEvent>,
        mut hurry: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            loop {
                match self.follow(&events, &mut hurry).await {
                    End::NobodyListens => return,
                    End::Lost(reason) => {
                        self.0.lock().note("Store lost", 0, 0);
                        if events.send(StoreEvent::Lost { reason: reason.to_owned() }).await.is_err() {
                            return;
                        }
                        let pause = self.0.lock().rng.within(100, 600);
                        sleep(Duration::from_millis(pause)).await;
                    }
                }
            }
        })
    }
}

impl FakeStore {
    async fn follow(&self, events: &mpsc::Sender<StoreEvent>, hurry: &mut watch::Receiver<u64>) -> End {
        let woken = self.0.lock().store.woken.clone();
        {
            let store = &mut self.0.lock().store;
            store.inbox.clear();
            store.delivered_revision = 0;
        }
        let mut newest = match self.read(None).await {
            Ok(snapshot) => snapshot,
            Err(reason) => return End::Lost(reason),
        };
        if self.send(events, newest.clone()).await.is_err() {
            return End::NobodyListens;
        }
        let mut due = Box::pin(sleep(REREAD));
        loop {
            let at_once = || Box::pin(sleep(Duration::ZERO));
            tokio::select! {
                biased;
                () = woken.notified() => {
                    if let Some((after, reason)) = self.0.lock().out_of_reach()
                        && after < REQUEST_TIMEOUT
                    {
                        return End::Lost(reason);
                    }
                    let told = std::mem::take(&mut self.0.lock().store.inbox);
                    for snapshot in told {
                        let again = self.0.lock().rng.chance(3);
                        if again && self.send(events, newest.clone()).await.is_err() {
                            return End::NobodyListens;
                        }
                        if snapshot.revision > newest.revision {
                            if snapshot.leader != newest.leader {
                                due = at_once();
                            }
                            newest = snapshot.clone();
                        } else if !self.0.lock().rng.chance(20) {
                            // A reading was faster. (Now and then it is told all the same.)
                            continue;
                        }
                        if self.send(events, snapshot).await.is_err() {
                            return End::NobodyListens;
                        }
                    }
                }
                changed = hurry.changed() => match changed {
                    Ok(()) => due = at_once(),
                    Err(_) => return End::NobodyListens,
                },
                () = &mut due => {
                    let lease = newest.leader.as_ref().map(|key| key.elected_at);
                    let snapshot = match self.read(lease).await {
                        Ok(snapshot) => snapshot,
                        Err(reason) => return End::Lost(reason),
                    };
                    due = Box::pin(sleep(REREAD));
                    newest = snapshot.clone();
                    if self.send(events, snapshot).await.is_err() {
                        return End::NobodyListens;
                    }
                }
            }
        }
    }

    async fn send(&self, events: &mpsc::Sender<StoreEvent>, snapshot: StoreSnapshot) -> Result<(), ()> {
        let (leader, revision) = (snapshot.leader.clone(), snapshot.revision);
        events.send(StoreEvent::Read(snapshot)).await.map_err(|_| ())?;
        let mut world = self.0.lock();
        if revision >= world.store.delivered_revision {
            world.store.delivered_revision = revision;
            world.delivered(leader.as_ref().map(|key| &key.member));
        }
        Ok(())
    }

    /// Asks for the lease first and for the keys after that, as the real reader does, and for its reasons.
    async fn read(&self, mut lease: Option<u64>) -> Result<StoreSnapshot, &'static str> {
        let asked_at = self.0.lock().clock().now();
        loop {
            let asked = self.0.lock().clock().now();
            self.travel().await?;
            let left = {
                let world = self.0.lock();
                let key = world.store.leader.as_ref().filter(|key| lease == Some(key.elected_at));
                // etcd rounds down to seconds.
                key.map(|key| key.deadline.saturating_sub(world.now()) / 1000).filter(|left| *left > 0)
            };
            self.travel().await?;
            let seen = self.0.lock().as_seen(asked_at);
            let found = seen.leader.as_ref().map(|key| key.elected_at);
            if found.is_some() && found != lease {
                lease = found;
                continue;
            }
            let right = left.filter(|_| found.is_some()).map(|left| asked + Duration::from_secs(left));
            let leader = seen.leader.map(|key| LeaderKey { right_until: right, ..key });
            return Ok(StoreSnapshot { leader, ..seen });
        }
    }

    /// A request's way there, or back.
    async fn travel(&self) -> Result<(), &'static str> {
        let (delay, trouble) = {
            let mut world = self.0.lock();
            let slow = world.rng.chance(5);
            let delay = if slow { world.rng.within(20, 400) } else { world.rng.within(0, 2) };
            (delay, world.out_of_reach())
        };
        if let Some((after, reason)) = trouble {
            sleep(after).await;
            return Err(reason);
        }
        sleep(Duration::from_millis(delay)).await;
        Ok(())
    }
}
