//! Everything around sessions: clients, servers, a cluster of members `a`, `b` and `c`.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use pgsteer::{
    client::registry::{Activity, Order, Registry},
    clock::{Clock, Moment},
    cluster::{
        fence::Fence,
        headway::Replayed,
        ids::{Lsn, MemberName, Term},
    },
    net::{Address, Dial, Stream},
    notify::switchboard::Switchboard,
    pool::{
        account::{Account, CommitFate, Names, PoolMode, PoolSettings},
        lease::Reported,
        pool::PoolKind,
        pools::{Pools, Report, SharedLimits},
        slots::{Flavour, SlotLimits},
        tether::Revoked,
    },
    route::{
        balance::Balance,
        consistency::Expectation,
        router::Router,
        table::{
            MemberRoute, MemberStanding, NoRoute, NoRouteKind, ReadRoute, RoutingTable, Serving, Target,
            WriteRoute,
        },
    },
    session::{
        context::{Context, Worker},
        replication::{self, Post, Replication},
        routes::{Purpose, Tenant},
        session::{Ended, Newcomer, Session},
    },
    wire::{
        parameters::{Own, Parameters},
        startup::{BackendKey, Protocol},
        statements::Catalog,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

use crate::servers::{Dialer, Servers};

/// What stands in front of a script: how the pool and its clients are set up.
pub(crate) struct Setup {
    pub(crate) settings: PoolSettings,
    pub(crate) purpose: Purpose,
    /// What the listener says of the pool mode.
    pub(crate) listener_mode: Option<PoolMode>,
    /// Whether other clients were told something by a setting, as their token.
    pub(crate) others_were_told: bool,
    /// Bytes that a connection holds before its sender must wait.
    pub(crate) capacity: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let limits = SlotLimits {
            size: 1,
            min_size: 0,
            reserve_size: 0,
            reserve_after: Duration::from_secs(5),
            lifetime: None,
            idle_timeout: None,
            opening_max: 8,
            handover_slack: Duration::from_millis(10),
            overtakes_max: 4,
            reuse: pgsteer::pool::slots::Reuse::LastUsed,
        };
        let settings = PoolSettings {
            mode: PoolMode::Transaction,
            own_mode: None,
            limits,
            fallback_size: 1,
            protocol: Protocol::NEWEST,
            connect_timeout: Duration::from_secs(3),
            login_retry: Duration::from_secs(1),
            check_delay: Duration::from_secs(30),
            query_wait_timeout: Some(Duration::from_secs(30)),
            leader_wait_timeout: Some(Duration::from_secs(60)),
            replica_wait_timeout: Some(Duration::from_secs(1)),
            max_prepared_statements: 200,
            opaque: None,
            sample: None,
            pin_max: None,
            pin_timeout: None,
            notify_bytes_max: 1024 * 1024,
            map_unnamed: true,
            leaning: pgsteer::route::leaning::Leaning::Auto,
            commit_fate: CommitFate::Unknown,
            rereading: Default::default(),
            consistency: Expectation { wait: Duration::from_millis(200), ..Expectation::default() },
            client_idle_timeout: None,
            idle_transaction_timeout: None,
            query_timeout: None,
            transaction_timeout: None,
            approach: pgsteer::server::Approach::default(),
        };
        Self {
            settings,
            purpose: Purpose::Write,
            listener_mode: None,
            capacity: 256 * 1024,
            others_were_told: false,
        }
    }
}

struct Quiet;

impl Report for Quiet {
    fn suspect(&self, _: &str, _: &MemberName, _: &str) {}
    fn learn(&self, _: &Account, _: (Flavour, PoolKind), reported: Reported, _: Moment) -> Reported {
        reported
    }
    fn doubt(&self, _: &str, _: &dyn Fn(&str, &str) -> bool, _: Moment) {}
    fn shared_limits(&self, _: &Account) -> SharedLimits {
        SharedLimits::default()
    }
}

/// The proxy's inside, put together as the proxy does.
pub(crate) struct World {
    pub(crate) servers: Arc<Servers>,
    pub(crate) pools: Pools,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    context: Arc<Context>,
    tenant: Arc<Tenant>,
    keys: BTreeMap<String, BackendKey>,
    epoch: u64,
    seq: u64,
    leader: Option<String>,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let servers = Servers::new(setup.capacity);
        let clock = Clock::of_runtime();
        let runtime = tokio::runtime::Handle::current();
        let pools = Pools::new(Arc::new(Dialer(servers.clone())), clock, vec![runtime], Arc::new(Quiet));
        let registry = Arc::new(Registry::default());
        let names = Names { cluster: "main", alias: "db", database: "db", login: "user", user: "user" };
        let account = Arc::new(Account::new(names, setup.settings.clone(), None));
        account.tells.store(setup.others_were_told, Ordering::Relaxed);
        let context = Context {
            worker: Arc::new(Worker::new(0)),
            purpose: setup.purpose,
            mode: setup.listener_mode,
            consistency: None,
            router: Arc::new(Router::new(Arc::new(Fence::closed()))),
            pools: pools.clone(),
            switchboard: Arc::new(Switchboard::new(pools.clone(), tokio::runtime::Handle::current(), 1)),
            catalog: Arc::new(Catalog::default()),
            atlas: Arc::default(),
            registry: registry.clone(),
            clock,
        };
        let mut world = Self {
            servers,
            pools,
            registry,
            clock,
            context: Arc::new(context),
            tenant: Arc::new(Tenant::new(account)),
            keys: BTreeMap::new(),
            epoch: 0,
            seq: 0,
            leader: None,
        };
        world.context.router.headway().identify(Some(7));
        world.route("write=a read=b");
        world.watch();
        world
    }

    /// What the proxy does every so often.
    fn watch(&self) {
        let (pools, registry) = (self.pools.clone(), self.registry.clone());
        tokio::spawn(self.pools.clone().watch_idle(0));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                pools.tick();
                registry.for_each(|entry| {
                    if entry.activity().0 == Activity::Waiting {
                        entry.tether.wake();
                    }
                });
            }
        });
    }

    /// Puts a routing table in force: `write=<member>|none|held`, `read=<members>`, `deposed=<members>`, `lost=<members>` and
    /// `fallback=leader|error`; `beyond=<members>`: others read there, those of the script do not.
    pub(crate) fn route(&mut self, text: &str) {
        let field = |name: &str| {
            let prefix = format!("{name}=");
            text.split(' ').find_map(|word| word.strip_prefix(&prefix)).unwrap_or_default()
        };
        let list = |name: &str| field(name).split(',').filter(|name| !name.is_empty()).collect::<Vec<_>>();
        let write = field("write");
        match write {
            "none" => self.leader = None,
            "held" => {}
            member if self.leader.as_deref() == Some(member) => {}
            member => {
                self.epoch += 1;
                self.leader = Some(member.to_owned());
            }
        }
        self.seq += 1;
        let term = self.leader.as_deref().map(|member| Term {
            member: member.into(),
            timeline: u32::try_from(self.epoch).unwrap(),
            epoch: self.epoch,
        });
        let target =
            |member: &str, term| Target { member: member.into(), address: Address::tcp(member, 5432), term };
        let no_route = |kind| NoRoute { kind, sentence: "the script says so".to_owned() };
        let leading = target(self.leader.as_deref().unwrap_or_default(), self.epoch);
        let (deposed, beyond) = (list("deposed"), list("beyond"));
        let reads: Vec<_> = list("read").into_iter().chain(beyond.iter().copied()).collect();
        let lost = list("lost");
        let standing = |member: &str| match () {
            () if lost.contains(&member) => MemberStanding::Lost,
            () if deposed.contains(&member) => MemberStanding::Deposed,
            () if self.leader.as_deref() == Some(member) => MemberStanding::Leading,
            () => MemberStanding::Following,
        };
        let member = |name: &'static str| {
            let route = MemberRoute { standing: standing(name), address: Address::tcp(name, 5432) };
            (MemberName::from(name), route)
        };
        let table = RoutingTable {
            seq: self.seq,
            write: match (write, &term) {
                ("none" | "held", _) | (_, None) => WriteRoute::Wait(no_route(NoRouteKind::NoLeader)),
                _ => WriteRoute::Open(leading.clone()),
            },
            term: term.clone(),
            read: reads.into_iter().map(|name| target(name, 0)).collect(),
            choices: vec![(0..list("read").len()).map(|place| Serving { place, share: 1 }).collect()],
            balance: Balance::RoundRobin,
            fallback: match field("fallback") {
                "leader" => ReadRoute::Leader(leading),
                "regroup" => ReadRoute::Wait(no_route(NoRouteKind::ReplicasRegroup)),
                "error" => ReadRoute::Error(no_route(NoRouteKind::NoReplica)),
                _ => ReadRoute::Wait(no_route(NoRouteKind::NoReplica)),
            },
            candidates: list("candidates").into_iter().map(MemberName::from).collect(),
            members: ["a", "b", "c"].into_iter().map(member).collect(),
        };
        let router = &self.context.router;
        router.fence().set(term.map_or(0, |term| term.epoch), Moment::NEVER);
        router.publish(table);
        let why = Revoked { reason: "another member leads now".into() };
        self.pools.apply("main", &router.load(), &why);
    }

    /// What is learnt of how far replicas have come: `b=<timeline>/<lsn>` (of those that somebody waits for), or of a fork:
    /// `fork=<timeline>/<lsn>`.
    pub(crate) fn learn(&self, text: &str) {
        let headway = self.context.router.headway();
        for (what, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
            let (timeline, lsn) = value.split_once('/').unwrap();
            let (timeline, lsn) = (timeline.parse().unwrap(), lsn.parse::<Lsn>().unwrap());
            match what {
                "fork" => headway.remember(&[(timeline, lsn)], timeline + 1),
                member => {
                    let replayed = Replayed { asked_at: self.clock.now(), timeline, lsn };
                    headway.answered(&member.into(), replayed);
                }
            }
        }
    }

    /// Some client of this process was told of commits up to here (`<timeline>/<lsn>`), or up to `nowhere` in particular.
    pub(crate) fn told(&self, text: &str) {
        let told = self.context.router.headway().told();
        match text {
            "nowhere" => told.unplace(),
            token => told.place(format!("7/{token}").parse().unwrap(), told.events()),
        }
    }

    /// How often somebody had to wait for a replica to catch up.
    pub(crate) fn seeks(&self) -> u64 {
        self.context.router.headway().seeks()
    }

    /// Takes the right to write away, or gives it back, with the term still in force.
    /// Or lets nobody watch the leader, or somebody again.
    pub(crate) fn fence(&self, how: &str) {
        let fence = self.context.router.fence();
        match how {
            "open" => fence.set(self.epoch, Moment::NEVER),
            "next" => fence.set(self.epoch + 1, Moment::NEVER),
            "unattended" => fence.attend(Moment::ZERO),
            "attended" => fence.attend(Moment::NEVER),
            _ => fence.set(self.epoch, Moment::ZERO),
        }
    }

    /// Of the listener, or of another in this mode.
    fn context_of(&self, mode: Option<PoolMode>) -> Arc<Context> {
        let Some(mode) = mode else { return self.context.clone() };
        let Context { purpose, consistency, clock, .. } = *self.context;
        Arc::new(Context {
            worker: self.context.worker.clone(),
            purpose,
            mode: Some(mode),
            consistency,
            router: self.context.router.clone(),
            pools: self.context.pools.clone(),
            switchboard: self.context.switchboard.clone(),
            catalog: self.context.catalog.clone(),
            atlas: self.context.atlas.clone(),
            registry: self.context.registry.clone(),
            clock,
        })
    }

    /// A client that has just been told that it is in; `settings` are those of its start-up that are followed.
    pub(crate) fn client(
        &mut self,
        name: &str,
        settings: &[(&str, &str)],
        flavour: &[(&str, &str)],
        mode: Option<PoolMode>,
    ) -> Client {
        let reported = self.servers.reported();
        let mut parameters =
            Parameters::from_reported(reported.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (name, value) in settings {
            assert!(parameters.set(name, value), "{name} is not followed");
        }
        let flavour: Vec<(String, String)> =
            flavour.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (ours, theirs) = tokio::io::duplex(self.servers.capacity());
        let entry =
            self.registry.register(self.tenant.account.clone(), None, self.clock.now(), b"mine").unwrap();
        if self.tenant.account.settings.load().commit_fate != CommitFate::Unknown {
            // As `pgsteer.session` its number in order, and this.
            entry.follow(0xC0_FFEE);
        }
        self.keys.insert(name.to_owned(), entry.key.clone());
        let session = Session::new(Newcomer {
            own: Own::ALL,
            stream: Stream::Boxed(Box::new(theirs)),
            context: self.context_of(mode),
            tenant: self.tenant.clone(),
            entry,
            parameters: Arc::new(parameters),
            flavour: self.pools.flavours().hold(&flavour).unwrap(),
            selection: 0,
            unread: Vec::new(),
        });
        tokio::spawn(serve(session));
        ours
    }

    /// A replication connection to member `a`, as the leader or as a replica: the client's end and the server's, and
    /// how it ends.
    pub(crate) fn replication(
        &mut self,
        name: &str,
        as_leader: bool,
    ) -> (Client, Client, JoinHandle<replication::Ended>) {
        let [(client, ours), (theirs, server)] = [(); 2].map(|()| tokio::io::duplex(1024));
        let entry =
            self.registry.register(self.tenant.account.clone(), None, self.clock.now(), b"mine").unwrap();
        self.keys.insert(name.to_owned(), entry.key.clone());
        let term = if as_leader { self.epoch } else { 0 };
        let target = Target { member: "a".into(), address: Address::tcp("a", 5432), term };
        let patience = self.tenant.account.settings.load().leader_wait_timeout;
        let post = Post::new(self.context.router.clone(), &target, patience);
        let [ours, theirs] = [ours, theirs].map(|end| Stream::Boxed(Box::new(end)));
        let relay = Replication::new(ours, theirs, entry, post, self.clock, b"");
        let ended = tokio::spawn(async move { relay.run().await.1 });
        (client, server, ended)
    }

    /// A cancel request with the client's key.
    pub(crate) fn cancel(&self, client: &str) {
        let (key, registry) = (self.keys[client].clone(), self.registry.clone());
        let dial: Arc<dyn Dial> = self.pools.dial();
        tokio::spawn(async move { pgsteer::session::cancel::cancel(&key, &registry, &*dial).await });
    }

    /// Tells a client's session something.
    pub(crate) fn tell(&self, client: &str, order: Order) {
        self.registry.find(&self.keys[client]).unwrap().tell(order);
    }

    /// What a client's session says of itself.
    pub(crate) fn activity(&self, client: &str) -> String {
        self.registry.find(&self.keys[client]).map_or_else(
            || "gone".to_owned(),
            |entry| {
                let transaction = if entry.transaction_since().is_some() { "open" } else { "none" };
                format!("{:?} {transaction}", entry.activity().0)
            },
        )
    }

    /// For how long a client's transaction has been open, in milliseconds.
    pub(crate) fn transaction_age(&self, client: &str) -> Option<u128> {
        let since = self.registry.find(&self.keys[client])?.transaction_since()?;
        Some(self.clock.now().since(since).as_millis())
    }

    /// The gauges of the member's pool.
    pub(crate) fn gauges(&self, member: &str) -> String {
        let pools = self.pools.all();
        let pool = pools.iter().find(|(key, _)| key.member.as_str() == member);
        pool.map_or_else(String::new, |(_, pool)| {
            let g = pool.gauges();
            format!(
                "opening={} idle={} leased={} recovering={} waiting={}",
                g.opening, g.idle, g.leased, g.recovering, g.waiting
            )
        })
    }
}

/// A client's end of its connection.
pub(crate) type Client = DuplexStream;

/// Serves a session to its end and says the last word, as the proxy does.
async fn serve(mut session: Session) {
    let ended = session.run().await;
    let (mut stream, mut outbox) = session.into_stream();
    let last_word = match ended {
        Ended::WithError(error) => {
            let mut message = Vec::new();
            error.encode(&mut message);
            Some(message)
        }
        Ended::WithWords(words) => Some(words.into()),
        Ended::ByClient | Ended::Garbled(_) => None,
    };
    if let Some(last_word) = last_word {
        let flushed = std::future::poll_fn(|cx| outbox.poll_flush(&mut stream, cx)).await;
        if flushed.is_ok() && stream.write_all(&last_word).await.is_ok() && stream.shutdown().await.is_ok() {
            let mut ignored = [0; 1024];
            while stream.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
        }
    }
}
