//! One scenario: clients on every front, the fault, what Patroni makes of it, the mending, and what the ledger says.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, LeaderKey, Login, Moment, Plan, Poller, Result, Verdict, Workload, eventually, now,
};
use tokio::time::sleep;
use tokio_postgres::Config;

use crate::faults::{cause, mend};
use crate::figures::{Figures, Outage};
use crate::long_work::LongWork;
use crate::scenario::{Scenario, Then};
use crate::stage::Stage;

/// The longest that Patroni may need to find a new leader, or to make the cluster whole again.
const PATRONI: Duration = Duration::from_secs(90);
/// The longest that one waits for a front to serve writes again once they are possible.
const RESUMES: Duration = Duration::from_secs(60);
/// By when what was on its way has arrived.
const TAKES_HOLD: Duration = Duration::from_secs(1);
/// How long clients work undisturbed before and after.
const QUIET: Duration = Duration::from_secs(2);
const PLAN: Plan = Plan { writers: 8, readers: 4, idle: 4, first: 0, pace: Duration::from_millis(10) };
/// The number of the client with the long transaction, behind the others of its front.
const LONG: u16 = 900;

/// Clients that come in one way.
struct Front {
    name: &'static str,
    first: u16,
    write: Config,
    load: Workload,
    outages: Vec<Outage>,
    long: Vec<Option<String>>,
    half_done: i64,
}

impl Front {
    async fn open(name: &'static str, first: u16, write: Config, read: &Config) -> Result<Self> {
        let load = Workload::start(&write, read, Plan { first, ..PLAN }).await?;
        Ok(Self { name, first, write, load, outages: Vec::new(), long: Vec::new(), half_done: 0 })
    }
}

/// Those who ask nodes and store directly.
struct Witnesses {
    poller: Poller,
    key: LeaderKey,
}

/// From when on writes are possible again on which server, and for how long they were not.
struct Possible {
    from: Moment,
    server: IpAddr,
    own: Duration,
}

/// What came of it for each front, pgsteer first, and what was said in detail.
pub(crate) async fn play(
    scenario: &Scenario,
    stage: &mut Stage,
) -> Result<Vec<(&'static str, Figures, String)>> {
    stage.clear().await?;
    let witnesses =
        Witnesses { poller: Poller::start(&stage.cluster), key: stage.cluster.watch_leader_key().await? };
    let mut fronts =
        vec![Front::open("pgsteer", 0, stage.proxy.write_config(), &stage.proxy.read_config()).await?];
    if let Some(peers) = &stage.peers {
        fronts.push(Front::open("peers", 1000, peers.write_config(), &peers.read_config()).await?);
    }
    let begun = now();
    for _ in 0..scenario.times {
        sleep(QUIET).await;
        once(scenario, stage, &witnesses, &mut fronts).await?;
    }
    sleep(QUIET).await;
    settle(stage, &witnesses, fronts, begun).await
}

/// Once there and back.
async fn once(scenario: &Scenario, stage: &mut Stage, witnesses: &Witnesses, fronts: &mut [Front]) -> Result {
    let old = stage.cluster.leader().await?.name.clone();
    let mut works = Vec::new();
    for front in &*fronts {
        works.push(LongWork::start(scenario.during, &front.write, i32::from(front.first + LONG)).await?);
    }
    sleep(QUIET).await;
    let since = cause(scenario.fault, stage, &old).await?;
    let possible = possible(scenario, stage, witnesses, fronts, (&old, since)).await?;
    for front in &mut *fronts {
        let added = added(front, &possible, since, scenario.then).await;
        front.outages.push(Outage { own: possible.own, added });
    }
    sleep(QUIET).await;
    if matches!(scenario.then, Then::NewLeader) {
        mend(scenario.fault, stage, &old).await?;
    }
    stage.cluster.healthy(PATRONI).await?;
    for (front, work) in fronts.iter_mut().zip(works) {
        let Some(work) = work else { continue };
        let writer = work.writer;
        let told = work.end(RESUMES).await;
        let leader = trader(stage).await?;
        let query = "SELECT count(*) FROM ledger WHERE writer = $1";
        let there: i64 = leader.query_one(query, &[&writer]).await?.try_get(0)?;
        front.half_done += there - told.as_ref().map_or(0, |told| told.rows);
        front.long.push(told.map(|told| {
            let after = told.at.saturating_duration_since(since);
            format!("{} after {:.1} s", told.sqlstate, after.as_secs_f64())
        }));
    }
    Ok(())
}

/// What Patroni makes of a fault that was caused `since`, when `old` led. Faults that do not end with a new leader are
/// mended by then.
async fn possible(
    scenario: &Scenario,
    stage: &mut Stage,
    witnesses: &Witnesses,
    fronts: &[Front],
    (old, since): (&str, Moment),
) -> Result<Possible> {
    let leader = stage.cluster.node(old)?.address.ip();
    let over = async |lasts: Duration| sleep(lasts.saturating_sub(since.elapsed())).await;
    match scenario.then {
        Then::NewLeader | Then::NewLeaderUnseen(_) => {
            let (new, from) = witnesses.poller.new_leader(old, since, PATRONI).await?;
            if let Then::NewLeaderUnseen(lasts) = scenario.then {
                over(lasts).await;
                mend(scenario.fault, stage, old).await?;
            }
            Ok(Possible { from, server: stage.cluster.node(&new)?.address.ip(), own: from - since })
        }
        Then::SameLeader(lasts) => {
            over(lasts).await;
            mend(scenario.fault, stage, old).await?;
            back(witnesses, old, leader, since).await
        }
        Then::Unreachable(lasts) => {
            over(lasts).await;
            let through = |front: &Front| front.load.first_write_on(leader, since + TAKES_HOLD).is_some();
            ensure!(!fronts.iter().any(through), "the fault did not take hold");
            mend(scenario.fault, stage, old).await?;
            Ok(Possible { from: now(), server: leader, own: since.elapsed() })
        }
    }
}

/// The same leader is back, or was never away.
async fn back(witnesses: &Witnesses, leader: &str, server: IpAddr, since: Moment) -> Result<Possible> {
    let seen = || witnesses.poller.seen().into_iter().filter(|seen| seen.node == leader);
    let writable = async || seen().next_back().filter(|seen| seen.writable).map(drop);
    eventually("the leader takes writes", PATRONI, writable).await?;
    let away = seen().find(|seen| seen.at >= since && !seen.writable).map(|seen| seen.at);
    let again = seen().next_back().filter(|seen| seen.at >= since).map(|seen| seen.at);
    Ok(match (away, again) {
        (Some(away), Some(again)) => Possible { from: again, server, own: again - away },
        _ => Possible { from: since, server, own: Duration::ZERO },
    })
}

/// How much longer than the cluster itself needed no write succeeded on this front.
async fn added(front: &Front, possible: &Possible, since: Moment, then: Then) -> Option<Duration> {
    let what = format!("a write succeeds through {}", front.name);
    let first = async |after| {
        let first = async || front.load.first_write_on(possible.server, after);
        eventually(&what, RESUMES, first).await.ok()
    };
    if matches!(then, Then::SameLeader(_)) && possible.own.is_zero() {
        first(now()).await?;
        let mut report = front.load.progress();
        report.ended = Some(now());
        return Some(report.longest_write_gap(since));
    }
    Some(first(possible.from).await? - possible.from)
}

async fn trader(stage: &Stage) -> Result<Client> {
    let leader = stage.cluster.leader().await?;
    Client::connect(&leader.config(Login::TRADER, Cluster::DATABASE)).await
}

/// Ends the clients and holds what they were told against what the leader has.
async fn settle(
    stage: &Stage,
    witnesses: &Witnesses,
    fronts: Vec<Front>,
    begun: Moment,
) -> Result<Vec<(&'static str, Figures, String)>> {
    let named = stage.cluster.leaders(&witnesses.key.changes());
    let mut all = Vec::new();
    for front in fronts {
        let report = front.load.finish().await.with_context(|| format!("the clients of {}", front.name))?;
        let verdict = Verdict::of(&report, &trader(stage).await?).await?;
        let deposed = report.from_deposed(&named);
        let mut figures = Figures::new(&report, verdict, deposed.len());
        (figures.outages, figures.long, figures.half_done) = (front.outages, front.long, front.half_done);
        all.push((front.name, figures, report.complaints(begun)));
    }
    Ok(all)
}
