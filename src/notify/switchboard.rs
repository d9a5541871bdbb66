//! All hubs, each with its connection, and the clients at them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    hub::{Action, Channel, Event, Hub, Mark, Member},
    link::Link,
    mailbox::{Mailbox, Shared},
};
use crate::{
    net::Address,
    pool::{account::Account, pools::Pools, tether::Tether},
    route::router::Router,
};

/// All hubs.
pub struct Switchboard {
    pools: Pools,
    /// Where connections live.
    runtime: tokio::runtime::Handle,
    /// Part of the name of the channels for marks, so that no other program hits on it.
    nonce: u64,
    next: AtomicU64,
    shared: Arc<Shared>,
    halls: DashMap<HallKey, Arc<Hall>>,
}

/// What is to be seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections that listen, beside the pools.
    pub connections: u64,
    /// Notifications passed on to clients, one that goes to several counted for each.
    pub delivered: u64,
}

/// Cluster, database, client encoding.
type HallKey = (Arc<str>, Arc<str>, Arc<str>);

/// One hub with what belongs to it.
pub(super) struct Hall {
    pub(super) pools: Pools,
    pub(super) router: Arc<Router>,
    pub(super) encoding: Arc<str>,
    runtime: tokio::runtime::Handle,
    next_mark: AtomicU64,
    /// Notifications that were put into mailboxes.
    delivered: AtomicU64,
    state: Mutex<State>,
}

struct State {
    hub: Hub,
    seats: BTreeMap<Member, Seat>,
    /// The attempt that is heeded.
    link: u64,
    failures: u32,
    scripts: Option<mpsc::Sender<Vec<u8>>>,
    task: Option<AbortHandle>,
}

/// A notification.
#[derive(Clone, Copy)]
struct News<'a> {
    /// The client that had its server last, by the process id that it was told.
    sender: u32,
    /// The client before that one.
    earlier: u32,
    channel: &'a [u8],
    payload: &'a [u8],
}

struct Seat {
    /// The process id that its client was told.
    pid: u32,
    mailbox: Arc<Mailbox>,
    account: Arc<Account>,
    joined: Option<oneshot::Sender<()>>,
}

/// A client's place at a hub; leaves when it is dropped.
pub struct Subscription {
    hall: Arc<Hall>,
    member: Member,
    /// Where its notifications are.
    pub mailbox: Arc<Mailbox>,
    marks: Channel,
}

impl Switchboard {
    /// Nobody listens so far. Connections are opened on `runtime`.
    pub fn new(pools: Pools, runtime: tokio::runtime::Handle, nonce: u64) -> Self {
        Self { pools, runtime, nonce, next: AtomicU64::new(1), shared: Arc::default(), halls: DashMap::new() }
    }

    /// What is to be seen of it from outside.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for hall in &self.halls {
            let is_up = hall.state.lock().hub.is_connected();
            figures.connections += u64::from(is_up);
            figures.delivered += hall.delivered.load(Ordering::Relaxed);
        }
        figures
    }

    /// A place for a client of this account, by the process id that it was told, that reads this encoding and is woken so.
    pub fn subscribe(
        &self,
        pid: u32,
        account: &Arc<Account>,
        router: &Arc<Router>,
        encoding: &Arc<str>,
        tether: &Arc<Tether>,
    ) -> Subscription {
        let key = (account.cluster.clone(), account.database.clone(), encoding.clone());
        let marks: Channel = format!("pgsteer.mark.{:016x}", self.nonce).into_bytes().into();
        let hall = self.halls.entry(key).or_insert_with(|| {
            let hub = Hub::new(marks.clone());
            let seats = BTreeMap::new();
            let state = State { hub, seats, link: 0, failures: 0, scripts: None, task: None };
            Arc::new(Hall {
                pools: self.pools.clone(),
                router: router.clone(),
                encoding: encoding.clone(),
                runtime: self.runtime.clone(),
                next_mark: AtomicU64::new(1),
                delivered: AtomicU64::new(0),
                state: Mutex::new(state),
            })
        });
        let hall = hall.clone();
        let member = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes_max = account.settings.load().notify_bytes_max;
        let mailbox = Arc::new(Mailbox::new(tether.clone(), bytes_max, self.shared.clone()));
        let seat = Seat { pid, mailbox: mailbox.clone(), account: account.clone(), joined: None };
        hall.state.lock().seats.insert(member, seat);
        Subscription { hall, member, mailbox, marks }
    }
}

impl Hall {
    /// Something has happened to the connection of this number.
    pub(super) fn happens(self: &Arc<Self>, link: u64, event: Event) {
        let mut state = self.state.lock();
        if state.link != link {
            return;
        }
        match event {
            Event::Broke => state.failures = state.failures.saturating_add(1),
            Event::Ran => state.failures = 0,
            _ => {}
        }
        self.handle(&mut state, event, None);
    }

    /// A notification has come, from a backend at this address.
    pub(super) fn heard(
        self: &Arc<Self>,
        link: u64,
        address: &Address,
        pid: u32,
        channel: &[u8],
        payload: &[u8],
    ) {
        let mut state = self.state.lock();
        if state.link == link {
            let sender = self.pools.client_of(address, pid).unwrap_or(pid);
            let earlier = self.pools.earlier_client_of(address, pid).unwrap_or(pid);
            let event = Event::Heard(channel.into(), payload.into());
            self.handle(&mut state, event, Some(News { sender, earlier, channel, payload }));
        }
    }

    fn handle(self: &Arc<Self>, state: &mut State, event: Event, news: Option<News<'_>>) {
        for action in state.hub.handle(event) {
            match action {
                Action::Open => self.open(state),
                Action::Run(script) => {
                    // There is never more than one.
                    if let Some(scripts) = &state.scripts {
                        let _ = scripts.try_send(script);
                    }
                }
                Action::Close => state.close(),
                Action::Joined(member) => {
                    if let Some(joined) = state.seats.get_mut(&member).and_then(|seat| seat.joined.take()) {
                        let _ = joined.send(());
                    }
                }
                Action::Refused(member) => {
                    if let Some(seat) = state.seats.get_mut(&member) {
                        seat.joined = None;
                    }
                }
                Action::Deliver(member) => {
                    if let (Some(seat), Some(news)) = (state.seats.get(&member), news) {
                        // What it has sent itself its own server has told it.
                        let sender = if news.sender == seat.pid { news.earlier } else { news.sender };
                        seat.mailbox.notify(sender, news.channel, news.payload);
                        self.delivered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Action::Abreast(member) => {
                    if let Some(seat) = state.seats.get(&member) {
                        seat.mailbox.comes_abreast();
                    }
                }
                Action::Gap(member) => {
                    if let Some(seat) = state.seats.get(&member) {
                        seat.mailbox.gap();
                    }
                }
            }
        }
    }

    fn open(self: &Arc<Self>, state: &mut State) {
        state.close();
        let Some(account) = state.seats.values().next().map(|seat| seat.account.clone()) else { return };
        let (sender, scripts) = mpsc::channel(1);
        state.scripts = Some(sender);
        let (number, failures) = (state.link, state.failures);
        let link = Link { hall: self.clone(), number, failures, account, scripts };
        state.task = Some(self.runtime.spawn(link.run()).abort_handle());
    }
}

impl State {
    /// Ends the connection, and takes no more notice of it.
    fn close(&mut self) {
        self.link += 1;
        self.scripts = None;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Subscription {
    /// The channel on which marks are sent.
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }

    /// A mark that was never used before.
    pub fn next_mark(&self) -> Mark {
        self.hall.next_mark.fetch_add(1, Ordering::Relaxed)
    }

    /// Listens on exactly these channels from now on; ends when the shared connection does. Whether there was room.
    /// What is new is heard from this mark on.
    pub async fn listen(&self, channels: Vec<Channel>, mark: Mark) -> bool {
        let (sender, joined) = oneshot::channel();
        {
            let mut state = self.hall.state.lock();
            if let Some(seat) = state.seats.get_mut(&self.member) {
                seat.joined = Some(sender);
            }
            self.hall.handle(&mut state, Event::Wants(self.member, channels, mark), None);
        }
        joined.await.is_ok()
    }

    /// Asks for everything that is committed by now; the mailbox says when it is there.
    pub fn ask(&self) {
        let mut state = self.hall.state.lock();
        self.mailbox.falls_behind();
        self.hall.handle(&mut state, Event::Asks(self.member), None);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.hall.state.lock();
        self.hall.handle(&mut state, Event::Leaves(self.member), None);
        state.seats.remove(&self.member);
    }
}
