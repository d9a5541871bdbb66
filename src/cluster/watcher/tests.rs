//! The watcher with a scripted store and servers that exist in memory only, in paused time.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::{
    auth::secrets::Credential,
    cluster::{
        headway::{Headway, Held},
        policy::{Authority, LagBound, ProbePolicy, ReadPolicy},
        rest::PatroniRest,
        store::{ClusterSettings, LeaderKey, MemberRecord, StoreSnapshot},
        token::Token,
        topology::WriteState,
    },
    net::Stream,
    server::ServerLogin,
    wire::frame::message,
};

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Writable(u32),
    Standby(u32),
    /// Was a standby, and takes writes on this timeline, which begins here.
    Promoted(u32, u32),
    /// The same of a server of another cluster.
    Foreign(u32, u32),
    /// Accepts nothing.
    Refused,
    /// Accepts, and then says nothing.
    Hangs,
}

/// Servers by host name, and how often each was asked.
#[derive(Default)]
struct Servers {
    modes: Mutex<BTreeMap<String, Mode>>,
    asked: Mutex<BTreeMap<String, u64>>,
    /// Where names lead; a name that is not here has no address.
    addresses: Mutex<BTreeMap<String, IpAddr>>,
    /// Whether the leader's Patroni leads without the store.
    failsafe: AtomicBool,
}

impl Servers {
    fn set(&self, host: &str, mode: Mode) {
        self.modes.lock().insert(host.to_owned(), mode);
    }

    fn mode(&self, host: &str) -> Mode {
        self.modes.lock().get(host).copied().unwrap_or(Mode::Refused)
    }

    fn asked(&self, host: &str) -> u64 {
        self.asked.lock().get(host).copied().unwrap_or(0)
    }
}

/// The way to the servers, and those that cannot be reached on it.
struct Network(Arc<Servers>, Arc<Hidden>);

type Hidden = Mutex<BTreeSet<String>>;

/// Where every member's Patroni listens.
const PATRONI: u16 = 8008;

/// Answers one question put to Patroni.
async fn answer_for_patroni(mut stream: DuplexStream, servers: Arc<Servers>) -> io::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await?);
    }
    assert!(asked.starts_with(b"GET /patroni HTTP/1.1\r\n"), "{}", asked.escape_ascii());
    let active = servers.failsafe.load(Ordering::Acquire);
    let body = format!(r#"{{"role":"primary","failsafe_mode_is_active":{active}}}"#);
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

impl Dial for Network {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        let Address::Tcp { host, port, .. } = address else { unreachable!("all are TCP") };
        let (servers, host, hidden) = (Arc::clone(&self.0), host.to_string(), Arc::clone(&self.1));
        let port = *port;
        Box::pin(async move {
            if port == PATRONI {
                let (ours, theirs) = duplex(4096);
                tokio::spawn(answer_for_patroni(theirs, servers));
                return Ok(Stream::Boxed(Box::new(ours)));
            }
            if servers.mode(&host) == Mode::Refused || hidden.lock().contains(&host) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = duplex(4096);
            tokio::spawn(serve(theirs, servers, host, hidden));
            Ok(Stream::Boxed(Box::new(ours)))
        })
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let found = self.0.addresses.lock().get(host).copied();
        Box::pin(std::future::ready(found.map(|ip| vec![ip]).ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

/// Serves one connection until the server behaves in a way that ends it.
async fn serve(
    mut stream: DuplexStream,
    servers: Arc<Servers>,
    host: String,
    hidden: Arc<Hidden>,
) -> io::Result<()> {
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    let mut hello = message(b'R', &0u32.to_be_bytes());
    hello.extend(message(b'S', b"server_version\x0015.4\x00"));
    hello.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    hello.extend(message(b'Z', b"I"));
    stream.write_all(&hello).await?;
    loop {
        let _tag = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        stream.read_exact(&mut vec![0; length as usize - 4]).await?;
        if hidden.lock().contains(&host) {
            std::future::pending::<()>().await;
        }
        let row = match servers.mode(&host) {
            Mode::Writable(timeline) => {
                format!("f|7|150004|0/1000|{timeline:08X}|||f||")
            }
            Mode::Promoted(timeline, at) => format!("f|7|150004|0/2000|{timeline:08X}|0/{at:X}||f||"),
            Mode::Foreign(timeline, at) => format!("f|8|150004|0/2000|{timeline:08X}|0/{at:X}||f||"),
            Mode::Standby(timeline) => format!("t|7|150004|||0/1000|0/1000|t|streaming|{timeline}"),
            Mode::Refused => return Ok(()),
            Mode::Hangs => std::future::pending().await,
        };
        *servers.asked.lock().entry(host.clone()).or_default() += 1;
        let columns: Vec<&str> = row.split('|').collect();
        let mut data = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for column in columns {
            let length = if column.is_empty() { -1 } else { i32::try_from(column.len()).unwrap() };
            data.extend(length.to_be_bytes());
            data.extend(column.as_bytes());
        }
        let mut answer = message(b'D', &data);
        answer.extend(message(b'C', b"SELECT 1\x00"));
        answer.extend(message(b'Z', b"I"));
        stream.write_all(&answer).await?;
    }
}

/// A store that says what the test says.
struct Scripted(mpsc::Receiver<StoreEvent>, Arc<Mutex<u64>>);

impl Store for Scripted {
    fn watch(
        mut self: Box<Self>,
        events: mpsc::Sender<StoreEvent>,
        mut hurry: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    event = self.0.recv() => match event {
                        None => return,
                        Some(event) => {
                            if events.send(event).await.is_err() {
                                return;
                            }
                        }
                    },
                    Ok(()) = hurry.changed() => *self.1.lock() += 1,
                }
            }
        })
    }
}

struct Bench {
    servers: Arc<Servers>,
    store: mpsc::Sender<StoreEvent>,
    hurried: Arc<Mutex<u64>>,
    /// Servers that this one cannot reach.
    hidden: Arc<Hidden>,
    headway: Arc<Headway>,
    watcher: WatcherHandle,
    published: Arc<Mutex<Vec<Arc<Topology>>>>,
    /// Up to when the fence was open at each publication.
    open_until: Arc<Mutex<Vec<Moment>>>,
    /// Nanoseconds for which the machine was suspended.
    slept: &'static AtomicU64,
    clock: Clock,
    revision: u64,
}

impl Bench {
    fn new(authority: Authority) -> Self {
        Self::before(authority, Arc::default())
    }

    fn before(authority: Authority, servers: Arc<Servers>) -> Self {
        let hidden = Arc::<Hidden>::default();
        let slept: &'static AtomicU64 = Box::leak(Box::default());
        let clock = Clock::suspendable(slept);
        let published = Arc::new(Mutex::new(Vec::new()));
        let open_until = Arc::new(Mutex::new(Vec::new()));
        let hurried = Arc::new(Mutex::new(0));
        let (store, script) = mpsc::channel(8);
        let login = ServerLogin {
            user: "monitoring".into(),
            database: "postgres".into(),
            parameters: Vec::new(),
            credential: Credential::None,
            protocol: crate::wire::startup::Protocol::NEWEST,
            approach: crate::server::Approach::default(),
        };
        let probe = ProbePolicy {
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            login: Arc::new(ArcSwap::from_pointee(login)),
        };
        let reads = ReadPolicy {
            bounds: vec![LagBound { bytes: 1 << 25, time: Duration::from_secs(1) }],
            slow_start: Duration::from_secs(10),
            no_leader_grace: Duration::from_secs(60),
        };
        let scripted: Option<Box<dyn Store>> = match authority {
            Authority::Store | Authority::Patroni => Some(Box::new(Scripted(script, Arc::clone(&hurried)))),
            Authority::Hosts(_) => None,
        };
        let network: Arc<dyn Dial> = Arc::new(Network(Arc::clone(&servers), Arc::clone(&hidden)));
        let headway = Arc::<Headway>::default();
        let policy = ClusterPolicy {
            name: "test".into(),
            authority,
            probe,
            reads,
            names_interval: Some(Duration::from_secs(15)),
            rest: Some(Arc::new(PatroniRest::new(Arc::clone(&network), None, None))),
            switchover_hold_max: Duration::from_secs(10),
            headway: Arc::clone(&headway),
        };
        let (sink, doors) = (Arc::clone(&published), Arc::clone(&open_until));
        let fence = Arc::new(Fence::closed());
        let seen = Arc::clone(&fence);
        let publish: Publish = Box::new(move |topology| {
            sink.lock().push(Arc::clone(topology));
            doors.lock().push(seen.deadline());
        });
        let watcher = Watcher::spawn(Handle::current(), clock, network, scripted, policy, fence, publish);
        Self {
            servers,
            store,
            hurried,
            hidden,
            headway,
            watcher,
            published,
            open_until,
            slept,
            clock,
            revision: 0,
        }
    }

    /// A reading: who holds the key, and for how long from now.
    async fn key(&mut self, leader: &str, ttl: Duration) {
        self.reading(Some(leader), ttl, false).await;
    }

    /// A reading, in failsafe mode or not.
    async fn reading(&mut self, leader: Option<&str>, ttl: Duration, failsafe_mode: bool) {
        self.revision += 1;
        let record = |name: &str| MemberRecord {
            api_url: Some(format!("http://{name}:{PATRONI}/patroni")),
            ..MemberRecord::replica(name.into(), Address::tcp(name, 5432))
        };
        let snapshot = StoreSnapshot {
            asked_at: self.clock.now(),
            revision: self.revision,
            system_id: Some(7),
            leader: leader.map(|leader| LeaderKey {
                member: leader.into(),
                elected_at: leader.len() as u64,
                right_until: Some(self.clock.now() + ttl),
            }),
            members: ["n1", "n2"].map(record).to_vec(),
            settings: ClusterSettings { failsafe_mode, ..ClusterSettings::default() },
            sync_standbys: Vec::new(),
            history: Vec::new(),
            switchover: None,
        };
        self.store.send(StoreEvent::Read(snapshot)).await.unwrap();
    }

    /// Waits until writes are as `wanted`, and says how long that took.
    async fn until(&self, what: &str, wanted: impl Fn(&WriteState) -> bool) -> Duration {
        let began = self.clock.now();
        for _ in 0..100_000 {
            if wanted(&self.watcher.topology().write) {
                return self.clock.now().since(began);
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("not {what}: {:#?}", self.watcher.topology());
    }

    async fn open(&self, member: &str) -> Duration {
        self.until(member, |write| matches!(write, WriteState::Open(term) if term.member.as_str() == member))
            .await
    }

    fn may_write(&self) -> bool {
        let fence = self.watcher.fence();
        fence.may_send(fence.epoch(), self.clock.now())
    }
}

const TTL: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_leader_is_found_and_a_new_one_within_milliseconds() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    assert!(!bench.may_write());
    bench.key("n1", TTL).await;
    assert!(bench.open("n1").await < Duration::from_millis(10));
    assert!(bench.may_write());
    sleep(Duration::from_secs(3)).await;
    let steady = bench.servers.asked("n2");
    assert!((5..=9).contains(&steady), "{steady} questions in 3 s at 500 ms");
    let epoch = bench.watcher.fence().epoch();

    // The store names n2, which needs 300 ms more.
    bench.servers.set("n1", Mode::Hangs);
    bench.key("n2", TTL).await;
    bench.until("vacant", |write| matches!(write, WriteState::Vacant { .. })).await;
    assert!(!bench.may_write() && bench.watcher.fence().epoch() == 0);
    sleep(Duration::from_millis(300)).await;
    assert!(!bench.may_write());
    bench.servers.set("n2", Mode::Writable(2));
    let took = bench.open("n2").await;
    assert!(took < Duration::from_millis(15), "{took:?}");
    assert!(bench.watcher.fence().epoch() > epoch && bench.may_write());

    // Every snapshot was published, in order, and none but the first is like the one before.
    let published = bench.published.lock();
    let seqs: Vec<u64> = published.iter().map(|topology| topology.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    assert!(published.iter().any(|topology| !topology.deposed.is_empty()));
}

/// Where timeline 1 was left is said by the leader in office: not by a server that somebody has promoted by hand, nor by
/// another cluster's at a member's address. A commit of the old leader's that is there is there.
#[tokio::test(start_paused = true)]
async fn only_who_takes_office_says_where_a_timeline_was_left() {
    for other in [Mode::Promoted(2, 0x800), Mode::Foreign(2, 0x800), Mode::Promoted(3, 0x800)] {
        let mut bench = Bench::new(Authority::Store);
        let held =
            |bench: &Bench, lsn| bench.headway.holds(&Token { system_id: 7, timeline: 1, lsn: Lsn(lsn) }, 2);
        bench.servers.set("n1", Mode::Writable(1));
        bench.servers.set("n2", Mode::Standby(1));
        bench.key("n1", TTL).await;
        bench.open("n1").await;
        bench.servers.set("n1", Mode::Refused);
        bench.servers.set("n2", Mode::Promoted(2, 0xC00));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(held(&bench, 0xC00), Held::Unknown, "it was promoted, and is not in office");
        bench.key("n2", TTL).await;
        bench.open("n2").await;
        assert_eq!((held(&bench, 0xC00), held(&bench, 0xC01)), (Held::Yes, Held::Lost(Lsn(0xC00))));
        bench.servers.set("n1", Mode::Standby(1));
        sleep(Duration::from_secs(3)).await;
        bench.servers.set("n1", other);
        let asked = bench.servers.asked("n1");
        sleep(Duration::from_secs(3)).await;
        assert!(bench.servers.asked("n1") > asked, "it was looked at");
        bench.key("n2", TTL).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            (held(&bench, 0xC00), held(&bench, 0xC01)),
            (Held::Yes, Held::Lost(Lsn(0xC00))),
            "{other:?}"
        );
    }
}

/// Two members in office one after the other have left timeline 1 for 2 at different positions. Which of them a commit
/// was on nobody knows.
#[tokio::test(start_paused = true)]
async fn leaders_that_contradict_each_other_say_nothing() {
    let mut bench = Bench::new(Authority::Store);
    let held =
        |bench: &Bench, lsn| bench.headway.holds(&Token { system_id: 7, timeline: 1, lsn: Lsn(lsn) }, 2);
    for (member, other, at) in [("n2", "n1", 0xC00), ("n1", "n2", 0x800)] {
        bench.servers.set(other, Mode::Refused);
        bench.servers.set(member, Mode::Standby(1));
        sleep(Duration::from_secs(3)).await;
        bench.key(member, TTL).await;
        sleep(Duration::from_secs(1)).await;
        bench.servers.set(member, Mode::Promoted(2, at));
        bench.open(member).await;
        let expected = if member == "n2" { Held::Yes } else { Held::Unknown };
        assert_eq!(held(&bench, 0x700), expected, "{member}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_broken_connection_holds_writes_for_a_moment() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    bench.key("n1", TTL).await;
    bench.open("n1").await;
    sleep(Duration::from_millis(700)).await;
    let hurried = *bench.hurried.lock();

    bench.watcher.suspect("n1".into(), "connection reset by peer");
    sleep(Duration::from_millis(10)).await;
    assert!(matches!(bench.watcher.topology().write, WriteState::Open(_)), "it was asked and has answered");
    let published = bench.published.lock();
    let held: Vec<_> = published.iter().filter(|t| matches!(t.write, WriteState::Held { .. })).collect();
    assert_eq!(held.len(), 1, "held for one question");
    assert!(held[0].right.deadline > bench.clock.now(), "what is under way goes on");
    assert_eq!(held[0].term().map(|term| term.epoch), Some(bench.watcher.fence().epoch()));
    assert!(*bench.hurried.lock() > hurried, "the store was asked too");
}

#[tokio::test(start_paused = true)]
async fn in_failsafe_mode_the_leaders_patroni_is_asked() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Refused);
    bench.reading(Some("n1"), TTL, true).await;
    bench.open("n1").await;
    let epoch = bench.watcher.fence().epoch();
    // The key is gone, and nobody knows of n2: held until n1's Patroni says that it leads all the same.
    bench.reading(None, TTL, true).await;
    bench.until("held", |write| matches!(write, WriteState::Held { .. })).await;
    sleep(TTL + Duration::from_secs(1)).await;
    assert!(!bench.may_write());
    bench.servers.failsafe.store(true, Ordering::Release);
    assert!(bench.open("n1").await < Duration::from_millis(1100));
    sleep(TTL).await;
    assert!(bench.may_write() && bench.watcher.fence().epoch() == epoch, "the term has gone on");
    // It no longer does.
    bench.servers.failsafe.store(false, Ordering::Release);
    let took = bench.until("held", |write| matches!(write, WriteState::Held { .. })).await;
    assert!(took < Duration::from_millis(1100) && !bench.may_write(), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_is_held_and_the_right_runs_out() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    bench.key("n1", TTL).await;
    bench.open("n1").await;
    bench.servers.set("n1", Mode::Hangs);
    let took = bench.until("held", |write| matches!(write, WriteState::Held { .. })).await;
    assert!(took <= Duration::from_millis(1600), "{took:?}");
    assert!(bench.may_write());
    sleep(TTL).await;
    assert!(!bench.may_write(), "nobody renewed the right");
    assert_ne!(bench.watcher.fence().epoch(), 0, "nobody was deposed");
    // It thaws and is seen at once, also by the store.
    bench.servers.set("n1", Mode::Writable(1));
    bench.key("n1", TTL).await;
    assert!(bench.open("n1").await < Duration::from_millis(1200));
}

#[tokio::test(start_paused = true)]
async fn who_slept_wakes_up_to_a_closed_fence_though_the_lease_goes_on() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    bench.key("n1", TTL).await;
    bench.open("n1").await;
    sleep(Duration::from_millis(700)).await;
    let published = bench.published.lock().len();
    assert!(bench.may_write());

    // Meanwhile n2 was promoted in an orderly way, long before the lease of n1 would have run out.
    bench.servers.set("n1", Mode::Standby(2));
    bench.servers.set("n2", Mode::Writable(2));
    bench.slept.fetch_add(5_000_000_000, Ordering::Release);
    let woken = bench.clock.now();
    assert!(!bench.may_write(), "nobody has looked around yet");
    assert!(bench.watcher.topology().right.deadline > woken, "the lease alone would let it");
    bench.until("over", |write| !matches!(write, WriteState::Open(_))).await;
    assert!(
        bench.open_until.lock()[published] <= woken,
        "what was old was published before the fence opened"
    );
    bench.key("n2", TTL).await;
    bench.open("n2").await;
    assert!(bench.may_write());
}

#[tokio::test(start_paused = true)]
async fn hosts_without_a_store() {
    let hosts = ["n1", "n2", "n3"].map(|host| Address::tcp(host, 5432)).to_vec();
    let bench = Bench::new(Authority::Hosts(hosts));
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    bench.servers.set("n3", Mode::Standby(1));
    bench.open("n1:5432").await;
    sleep(Duration::from_secs(30)).await;
    assert!(bench.may_write(), "fresh answers go on giving the right");

    bench.servers.set("n1", Mode::Refused);
    bench.until("held", |write| matches!(write, WriteState::Held { .. })).await;
    sleep(Duration::from_secs(4)).await;
    assert!(!bench.may_write());
    bench.servers.set("n2", Mode::Writable(2));
    let took = bench.open("n2:5432").await;
    assert!(took <= Duration::from_millis(20), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_last_handle() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.key("n1", TTL).await;
    bench.open("n1").await;
    let Bench { servers, watcher, store, .. } = bench;
    drop(watcher);
    sleep(Duration::from_secs(1)).await;
    let asked = servers.asked("n1");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(servers.asked("n1"), asked, "nobody asks any more");
    assert!(store.is_closed());
}

/// Two of us before one cluster: one sees only the old leader, the other only the store and the new one.
#[tokio::test(start_paused = true)]
async fn two_that_see_different_halves_never_write_to_two_leaders() {
    for lost_at in [0, 1, 900, 4000] {
        let servers = Arc::new(Servers::default());
        servers.set("n1", Mode::Writable(1));
        servers.set("n2", Mode::Standby(1));
        let mut left = Bench::before(Authority::Store, Arc::clone(&servers));
        let mut right = Bench::before(Authority::Store, Arc::clone(&servers));
        left.key("n1", TTL).await;
        right.key("n1", TTL).await;
        let expires = left.clock.now() + TTL;
        left.open("n1").await;
        right.open("n1").await;
        sleep(Duration::from_millis(lost_at)).await;
        left.hidden.lock().insert("n2".to_owned());
        left.store.send(StoreEvent::Lost { reason: "cut off".to_owned() }).await.unwrap();
        right.hidden.lock().insert("n1".to_owned());
        let leader = |bench: &Bench| {
            let topology = bench.watcher.topology();
            topology.term().filter(|_| bench.may_write()).map(|term| term.member.clone())
        };
        let (mut named, mut handed_over) = (false, false);
        for _ in 0..3 * TTL.as_millis() / 5 {
            sleep(Duration::from_millis(5)).await;
            if !named && right.clock.now() >= expires {
                // The lease has run out: the key passes on, though n1 goes on taking writes.
                servers.set("n2", Mode::Writable(2));
                right.key("n2", TTL).await;
                named = true;
            }
            if let (Some(one), Some(other)) = (leader(&left), leader(&right)) {
                assert_eq!(one, other, "lost after {lost_at} ms");
            }
            handed_over |= leader(&right).is_some_and(|leader| leader.as_str() == "n2");
        }
        assert!(handed_over && leader(&left).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_name_leads_elsewhere_must_prove_itself_there() {
    let hosts = ["n1", "n2", "n3"].map(|host| Address::tcp(host, 5432));
    let servers = Arc::<Servers>::default();
    for (host, mode) in [("n1", Mode::Writable(1)), ("n2", Mode::Standby(1)), ("n3", Mode::Standby(1))] {
        servers.set(host, mode);
        servers.addresses.lock().insert(host.to_owned(), [10, 0, 0, 1].into());
    }
    let bench = Bench::before(Authority::Hosts(hosts.to_vec()), servers);
    bench.open("n1:5432").await;
    let (fence, began) = (bench.watcher.fence(), bench.clock.now());
    let epoch = fence.epoch();
    sleep(Duration::from_secs(60)).await;
    assert!(bench.may_write() && fence.epoch() == epoch);

    // A name that cannot be resolved for a while has not moved.
    let before = bench.servers.addresses.lock().remove("n1");
    sleep(Duration::from_secs(60)).await;
    assert!(bench.may_write() && fence.epoch() == epoch && before.is_some());

    // Who is there now takes writes as well: a new term, on new connections.
    bench.servers.addresses.lock().insert("n1".to_owned(), [10, 0, 0, 7].into());
    let moved = bench.until("another term", |_| fence.epoch() > epoch).await;
    assert!(moved <= Duration::from_secs(16), "{moved:?}");
    bench.open("n1:5432").await;
    let said: Vec<String> = bench
        .published
        .lock()
        .iter()
        .flat_map(|topology| topology.changes.iter().map(|change| change.evidence.clone()))
        .collect();
    assert!(said.iter().any(|evidence| evidence == "the name n1 leads elsewhere"), "{said:#?}");

    // Who is there after that does not.
    let epoch = fence.epoch();
    bench.servers.set("n1", Mode::Standby(1));
    bench.servers.addresses.lock().insert("n1".to_owned(), [10, 0, 0, 8].into());
    bench.until("nobody", |write| !matches!(write, WriteState::Open(_))).await;
    assert!(!bench.may_write() && fence.epoch() != epoch && bench.clock.now() > began);
}

/// After a long sleep what the leader has said before is believed only once it has answered again.
#[tokio::test(start_paused = true)]
async fn whoever_wakes_up_believes_nobody_before_the_leader_has_answered() {
    let mut bench = Bench::new(Authority::Store);
    bench.servers.set("n1", Mode::Writable(1));
    bench.servers.set("n2", Mode::Standby(1));
    bench.key("n1", Duration::from_secs(3600)).await;
    bench.open("n1").await;
    sleep(Duration::from_secs(3)).await;
    let attended = |bench: &Bench| bench.watcher.fence().is_attended(bench.clock.now());
    assert!(attended(&bench));

    bench.servers.set("n1", Mode::Hangs);
    bench.slept.fetch_add(60_000_000_000, Ordering::AcqRel);
    assert!(!attended(&bench), "nobody has watched for a minute");
    sleep(Duration::from_secs(5)).await;
    assert!(!attended(&bench), "and the leader has not answered since");
    bench.servers.set("n1", Mode::Writable(1));
    bench.open("n1").await;
    sleep(Duration::from_secs(3)).await;
    assert!(attended(&bench));

    // What answers as another than it was has no term any more.
    bench.slept.fetch_add(60_000_000_000, Ordering::AcqRel);
    bench.servers.set("n1", Mode::Standby(1));
    bench.until("deposed", |write| matches!(write, WriteState::Vacant { .. })).await;
    assert!(attended(&bench));
}
