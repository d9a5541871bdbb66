//! What happens in the demo, and the witnesses of it.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use pgsteer_testkit::{
    Cluster, LeaderChange, Login, Moment, Options, Plan, Poller, Progress, Proxy, Report, Result, Stage,
    Workload, eventually, now,
};
use tokio::time::{sleep, timeout};

use crate::screen::Screen;

const PLAN: Plan = Plan { writers: 8, readers: 4, idle: 100, first: 0, pace: Duration::from_millis(4) };
/// How long the clients work undisturbed before and after.
const QUIET: Duration = Duration::from_secs(4);
/// The longest that anything may take.
const BOUND: Duration = Duration::from_secs(60);

/// A failover as everybody saw it.
pub(crate) struct Failover {
    /// The leader that was killed.
    pub(crate) old: String,
    /// When.
    pub(crate) killed: Moment,
    /// What happened to the leader key, the store asked directly.
    pub(crate) store: Vec<LeaderChange>,
    /// When pgsteer was first seen to have parted with the old leader.
    pub(crate) cut_off: Option<Moment>,
    /// The node that leads now, and when it was first seen to take writes, the nodes asked directly.
    pub(crate) new: (String, Moment),
    /// What the clients were told.
    pub(crate) report: Report,
}

/// Starts everything and lets the clients work for a while.
pub(crate) async fn open(screen: &Screen) -> Result<(Stage, Workload)> {
    let mut cluster = Cluster::prepare(Options::default())?;
    screen
        .progress(|| "starting etcd and three Patroni nodes".to_owned(), cluster.launch())
        .await
        .with_context(|| cluster.sandbox.logs(15))?;
    let roles = (
        cluster.leader().await?.name.clone(),
        &cluster.sync_standby().await?.name,
        &cluster.async_standby().await?.name,
    );
    screen.say(&format!(
        "the cluster is healthy: {} leads, {} is its synchronous standby, {} an asynchronous one",
        roles.0, roles.1, roles.2
    ));
    let proxy = screen.progress(|| "starting pgsteer".to_owned(), Proxy::start(&cluster)).await?;
    screen.say(&format!("pgsteer is ready: writes to {}, reads from {}", proxy.write, proxy.read));
    let load = Workload::start(&proxy.write_config(), &proxy.read_config(), PLAN).await?;
    screen.say(&format!(
        "{} clients write, {} read, {} are connected and idle, all through pgsteer",
        PLAN.writers, PLAN.readers, PLAN.idle
    ));
    let mut rate = Rate::new(&load);
    screen.progress(|| rate.line(&load, "the clients work"), sleep(QUIET)).await;
    Ok((Stage { proxy, cluster }, load))
}

/// Kills the leader's node and follows what happens until the clients have worked for a while on the new one.
pub(crate) async fn kill_the_leader(screen: &Screen, stage: &mut Stage, load: Workload) -> Result<Failover> {
    let poller = Poller::start(&stage.cluster);
    let key = stage.cluster.watch_leader_key().await?;
    let old = stage.cluster.leader().await?.name.clone();
    eventually("the witness has seen the leader", BOUND, async || {
        poller.seen().iter().any(|seen| seen.writable && seen.node == old).then_some(())
    })
    .await?;

    let killed = stage.cluster.node(&old)?.kill9().await?;
    screen.say(&format!(
        "kill -9 of {old}: Patroni and every PostgreSQL process; its lease in the store lasts up to 20 s"
    ));
    let mut rate = Rate::new(&load);
    let waiting = |load: &Workload, rate: &mut Rate| {
        let after = killed.elapsed().as_secs_f64();
        rate.line(load, &format!("{after:4.1} s without {old}, waiting for Patroni"))
    };
    let resumed = async {
        let new = poller.new_leader(&old, killed, BOUND).await?;
        let what = "a write succeeds through pgsteer on the new leader";
        eventually(what, BOUND, async || load.first_write_after(new.1)).await?;
        Ok::<_, anyhow::Error>(new)
    };
    // By then it has; a second more is only for the answer to arrive.
    let resumed = async {
        let mut cut_off = pin!(cut_off(stage, &old));
        let mut resumed = pin!(resumed);
        tokio::select! {
            at = &mut cut_off => (Some(at), resumed.await),
            new = &mut resumed => (timeout(Duration::from_secs(1), cut_off).await.ok(), new),
        }
    };
    let (cut_off, new) = screen.progress(|| waiting(&load, &mut rate), resumed).await;
    let new = new.with_context(|| stage.cluster.sandbox.logs(25))?;
    screen.say(&format!("{} leads and takes writes through pgsteer", new.0));
    let mut rate = Rate::new(&load);
    screen.progress(|| rate.line(&load, "the clients work on the new leader"), sleep(QUIET)).await;
    let report = screen.progress(|| "the clients end".to_owned(), load.finish()).await?;
    Ok(Failover { old, killed, store: key.changes(), cut_off, new, report })
}

/// When pgsteer parted with the old leader, by what it says itself of leaders it deposed.
async fn cut_off(stage: &Stage, old: &str) -> Moment {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        let answer = stage.proxy.get("/leader").await.map(|answer| answer.json());
        let deposed =
            answer.ok().and_then(|answer| answer["deposed"].as_array().cloned()).unwrap_or_default();
        let of_old = deposed.iter().find(|deposed| deposed["member"] == old);
        if let Some(age) = of_old.and_then(|deposed| deposed["age_seconds"].as_f64()) {
            let at = now();
            return at.checked_sub(Duration::from_secs_f64(age)).unwrap_or(at);
        }
    }
}

/// Brings the killed node back, says how to connect, and waits for Ctrl-C, which ends this future from outside.
pub(crate) async fn keep(screen: &Screen, stage: &mut Stage, old: &str) -> Result {
    stage.cluster.node(old)?.start()?;
    let back = stage.cluster.healthy(2 * BOUND);
    screen.progress(|| format!("starting {old} again, as a standby"), back).await?;
    let trader = Login::TRADER;
    let url = |at| format!("postgresql://{}:{}@{at}/{}", trader.user, trader.password, Cluster::DATABASE);
    let (write, read, http) = (stage.proxy.write, stage.proxy.read, stage.proxy.http);
    screen.line("");
    screen.line("It goes on running until Ctrl-C:");
    screen.line(&format!("  write   psql {}", url(write)));
    screen.line(&format!("  read    psql {}", url(read)));
    screen.line(&format!("  status  curl http://{http}/leader    (also /metrics /ready /health)"));
    screen.line(&format!("  files   {}", stage.cluster.sandbox.folder().display()));
    Err(anyhow!("pgsteer ended: {}", stage.proxy.ended().await?))
}

/// Statements per second between two looks.
struct Rate {
    at: Moment,
    counts: Progress,
}

impl Rate {
    fn new(load: &Workload) -> Self {
        Self { at: now(), counts: load.counts() }
    }

    fn line(&mut self, load: &Workload, what: &str) -> String {
        let (before, at) = (self.counts, now());
        let after = load.counts();
        let seconds = (at - self.at).as_secs_f64().max(0.001);
        let per_second = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
        *self = Self { at, counts: after };
        format!(
            "{what} · {:4.0} writes/s · {:4.0} reads/s · {} errors",
            per_second(after.writes - before.writes),
            per_second(after.reads - before.reads),
            after.failures
        )
    }
}
