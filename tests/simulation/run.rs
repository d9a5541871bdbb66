//! One run: the cluster, the program, the clients, the trouble, and what must hold.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use pgsteer::{
    cluster::policy::Authority,
    config::Config,
    pool::slots::Gauges,
    proxy::{Embedded, Surroundings},
};
use tokio::{runtime::Handle, sync::watch, time::sleep};

use crate::{
    client::{Client, Phase},
    extras::Asked,
    ledger::Count,
    network::Network,
    operator::{self, Desk},
    random::Rng,
    shape::Shape,
    store::FakeStore,
    world::{Ms, Shared, World, drive},
};

/// Once everything is well again, everybody is served within this time: a request to the store may have been lost a
/// moment before, and is given up after three seconds.
const SERVED_WITHIN: Ms = 5000;
/// The same where clients may wait to hear what became of a commit: for five seconds it is hoped to be found out.
const TOLD_WITHIN: Ms = 7000;
/// Patroni and the kernel put everything in order within this time.
const SETTLED_WITHIN: Ms = 60_000;

/// What came of a run.
pub(crate) struct Report {
    pub(crate) violations: Vec<String>,
    pub(crate) hash: u64,
    pub(crate) trace: String,
    pub(crate) count: Count,
}

/// Runs a seed. With `wanted` the trace can be read afterwards; nothing else is different.
pub(crate) fn run(seed: u64, wanted: bool) -> Report {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (world, stayed) = runtime.block_on(play(seed, wanted));
    drop(runtime);
    let mut world = world.lock();
    if let Some(stayed) = stayed {
        world.violated(stayed);
    }
    Report {
        violations: std::mem::take(&mut world.ledger.violations),
        hash: world.trace.hash(),
        trace: format!("{:?}\n{}", world.shape, world.trace.tell()),
        count: world.ledger.count,
    }
}

fn start(world: &Shared, shape: &Shape, configuration: Config) -> Embedded {
    let clock = world.lock().clock();
    let store = world.clone();
    let authority = shape.extras.authority;
    let surroundings = Surroundings {
        clock,
        dial: Arc::new(Network(world.clone())),
        control: Handle::current(),
        workers: vec![Handle::current(); shape.workers],
        open_store: Box::new(move |_, _| {
            let hosts = store.lock().nodes.iter().map(|node| node.address.clone()).collect();
            Ok(match authority {
                Asked::Store => (Authority::Store, Some(Box::new(FakeStore(store.clone())))),
                Asked::Hosts => (Authority::Hosts(hosts), None),
            })
        }),
    };
    Embedded::start(configuration, surroundings).unwrap()
}

async fn play(seed: u64, wanted: bool) -> (Shared, Option<String>) {
    let mut rng = Rng::new(seed);
    let shape = match seed < crate::ORDERLY {
        true => Shape::drawn(&mut rng).with_more(seed),
        false => Shape::orderly(&mut rng),
    };
    let world: Shared = Arc::new(Mutex::new(World::new(shape.clone(), rng.fork(), wanted)));
    world.lock().bootstrap();
    tokio::spawn(drive(world.clone()));
    let desk = Desk::new(&shape);
    let proxy = start(&world, &shape, desk.write(0).load().unwrap());
    world.lock().eyes = proxy.watcher("sim").cloned();

    let (phase, seen) = watch::channel(Phase::Trouble);
    let mut clients = Vec::new();
    for number in 0..shape.clients() {
        let client = Client {
            number: u32::try_from(number).unwrap() + 1,
            purpose: shape.purpose(number),
            world: world.clone(),
            proxy: proxy.clone(),
            rng: rng.fork(),
            phase: seen.clone(),
            count: 0,
            keeps_server: !shape.is_shared(),
            extras: shape.extras,
        };
        clients.push(tokio::spawn(client.live()));
    }
    let counting = tokio::spawn(count(world.clone(), proxy.clone()));
    let mut operator = Rng::new(seed.rotate_left(17));
    let busy = shape.extras.is_any() && operator.chance(40);
    let reloading = busy.then(|| tokio::spawn(desk.reload(proxy.clone(), operator.fork())));
    {
        let mut world = world.lock();
        world.draw_faults(1000);
        world.draw_rarities(1000, &mut Rng::new(!seed));
        world.draw_extras(1000, &mut Rng::new(seed.rotate_left(32)));
    }
    sleep(Duration::from_millis(1000 + shape.trouble)).await;

    let settled_at = settle(&world).await;
    phase.send_replace(Phase::Calm);
    sleep(Duration::from_millis(if shape.extras.commit_fate { TOLD_WITHIN } else { SERVED_WITHIN })).await;
    everybody_served(&world, settled_at, clients.len());
    phase.send_replace(Phase::Over);
    if let Some(reloading) = reloading {
        reloading.abort();
        operator::stop(&world, &proxy, &mut operator).await;
    }
    let mut clients = clients.into_iter();
    let all_left = async {
        for client in clients.by_ref() {
            // A client that panicked has said so.
            let _ended = client.await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), all_left).await.is_err() {
        world.lock().violated("a client does not come to an end".to_owned());
    }
    counting.abort();
    // Every retry and recovery has ended by then.
    sleep(Duration::from_secs(4)).await;
    world.lock().audit();
    no_errors(&world, &shape);
    let left = nothing_left(&world, &proxy, &shape);
    {
        let mut world = world.lock();
        world.eyes = None;
        world.trace.end();
    }
    drop(proxy);
    (world, left)
}

async fn count(world: Shared, proxy: Embedded) {
    loop {
        sleep(Duration::from_millis(50)).await;
        world.lock().count(proxy.pools());
    }
}

/// Waits until the cluster is in order; when it was.
async fn settle(world: &Shared) -> Ms {
    let began = world.lock().now();
    loop {
        {
            let mut world = world.lock();
            let now = world.now();
            if world.is_settled() {
                world.note("SETTLED", 0, 0);
                return now;
            }
            if now - began > SETTLED_WITHIN {
                world.violated("the simulated cluster itself does not settle".to_owned());
                return now;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn everybody_served(world: &Shared, settled_at: Ms, clients: usize) {
    let mut world = world.lock();
    for client in 1..=u32::try_from(clients).unwrap() {
        let served = world.ledger.served.get(&client).copied().unwrap_or(0);
        if served < settled_at {
            world.violated(format!("client {client} was last served at {served} ms"));
        }
    }
}

/// Where nothing happens but what was planned, nobody hears of it.
fn no_errors(world: &Shared, shape: &Shape) {
    let mut world = world.lock();
    let Count { cut, failed, .. } = world.ledger.count;
    if shape.is_orderly() && cut + failed > 0 {
        world.violated(format!("{cut} clients were cut off and {failed} refused for what was planned"));
    }
}

/// When everybody has left, nothing is leased, waited for or under way. What is, if something is.
fn nothing_left(world: &Shared, proxy: &Embedded, shape: &Shape) -> Option<String> {
    for (key, pool) in proxy.pools().all() {
        let Gauges { opening, leased, recovering, waiting, .. } = pool.gauges();
        if opening + leased + recovering + waiting > 0 {
            return Some(format!("the pool of {} on {} has {:?}", key.user, key.member, pool.gauges()));
        }
    }
    let idle: usize = proxy.pools().all().iter().map(|(_, pool)| pool.gauges().idle).sum();
    let open = world.lock().conns.iter().filter(|conn| conn.is_client() && !conn.dropped).count();
    if open != idle {
        return Some(format!("{open} server connections are open, and the pools know of {idle}"));
    }
    if proxy.clients() > 0 {
        return Some(format!("{} clients are still registered", proxy.clients()));
    }
    // The world, the watcher, its store, names and probers, who asks serving replicas how far they have come, the workers' idle
    // watches and the time limits.
    let known = world.lock().known();
    let tracked =
        known.map_or(0, |known| known.members.values().filter(|member| member.reads.serves()).count());
    let alive = Handle::current().metrics().num_alive_tasks();
    let watchers = if shape.extras.authority == Asked::Store { 5 } else { 4 };
    let expected = watchers + shape.workers + shape.nodes + tracked;
    (alive != expected).then(|| format!("{alive} tasks are alive, {expected} should be"))
}
