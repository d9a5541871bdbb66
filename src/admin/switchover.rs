//! A change of leader by an operator's order, without an error for anybody who ends in time.
//!
//! The candidate is looked at; the leader checkpoints while everybody still works, so that Patroni need not wait for that
//! later; new transactions wait, those that run end; then Patroni is asked, and as soon as its new leader takes writes the
//! waiting go on there. Whatever goes wrong, they go on with the old one.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::view::{ClusterView, View};
use crate::{
    client::registry::Registry,
    clock::{Clock, Moment},
    cluster::{
        fact::Command,
        ids::{MemberName, Term},
        rest::{NoSwitchover, PatroniRest},
        topology::WriteState,
        watcher::WatcherHandle,
    },
    net::Address,
    pool::pools::Pools,
    server::{QueryError, ServerLogin, connect, simple_query},
    wire::error::SqlState,
};

mod plan;

use plan::{NoPlan, Plan, plan};

/// A checkpoint ahead may take as long, under load. Nobody waits for it but the operator.
const CHECKPOINT_MAX: Duration = Duration::from_secs(600);

/// Patroni answers once it is done or has given up; beyond this, nobody knows.
const PATRONI_MAX: Duration = Duration::from_secs(120);

/// How long a standby may take to show that it can take over: one that has just been found, or that catches up.
const FIT_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether what is waited for has come.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The change of leader of a cluster that was asked for last. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Switchover(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    stage: Stage,
    /// What has been done, in sentences.
    steps: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    NeverAsked,
    Running,
    Done,
    Failed,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::NeverAsked => "never_asked",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl Switchover {
    /// How it is.
    pub(super) fn report(&self) -> Value {
        let progress = self.0.lock();
        json!({ "state": progress.stage.word(), "steps": progress.steps })
    }

    fn say(&self, step: String) {
        tracing::info!("switchover: {step}");
        self.0.lock().steps.push(step);
    }

    /// Begins one, unless one is under way.
    pub(super) fn begin(
        &self,
        view: &View,
        name: &str,
        cluster: &ClusterView,
        candidate: Option<MemberName>,
        wait: Duration,
    ) -> Result<(), String> {
        let rest = cluster.rest.clone().ok_or("there is no Patroni to ask: the cluster has no store")?;
        {
            let mut progress = self.0.lock();
            if progress.stage == Stage::Running {
                return Err("a switchover is under way".to_owned());
            }
            *progress = Progress { stage: Stage::Running, steps: Vec::new() };
        }
        let change = Change {
            name: name.to_owned(),
            watcher: cluster.watcher.clone(),
            pools: view.pools.clone(),
            registry: Arc::clone(&view.registry),
            clock: view.clock,
            rest,
            login: cluster.probe_login.load_full(),
            hold_max: cluster.hold_max,
            wait,
            progress: self.clone(),
        };
        tokio::spawn(async move {
            let progress = change.progress.clone();
            let (stage, last) = match change.run(candidate).await {
                Ok(done) => (Stage::Done, done),
                Err(why) => (Stage::Failed, why),
            };
            progress.say(last);
            progress.0.lock().stage = stage;
        });
        Ok(())
    }
}

/// One change of leader.
struct Change {
    name: String,
    watcher: WatcherHandle,
    pools: Pools,
    registry: Arc<Registry>,
    clock: Clock,
    rest: Arc<PatroniRest>,
    login: Arc<ServerLogin>,
    hold_max: Duration,
    /// How long running transactions may take.
    wait: Duration,
    progress: Switchover,
}

impl Change {
    async fn run(self, candidate: Option<MemberName>) -> Result<String, String> {
        let plan = self.plan(candidate.as_ref()).await?;
        let Plan { term, candidate, lag_bytes, .. } = &plan;
        self.progress.say(format!(
            "{} is to hand over to {candidate}, which is {lag_bytes} bytes behind",
            term.member
        ));
        self.checkpoint(&plan.address).await?;
        // The world has gone on meanwhile.
        let plan = self.still(&plan)?;
        let release = Release { watcher: self.watcher.clone(), leader: plan.term.member.clone() };
        let until = self.clock.now() + self.wait + self.hold_max;
        if !release.hold(until) {
            return Err("pgsteer is busy: nothing was done, try again".to_owned());
        }
        self.progress.say("new transactions wait".to_owned());
        self.let_end(&plan).await;
        let began = self.clock.now();
        let asked = self.rest.switchover(&plan.api_url, &plan.term.member, &plan.candidate);
        let taken = self.new_leader(plan.term.epoch);
        let (mut asked, mut taken) = (std::pin::pin!(asked), std::pin::pin!(taken));
        let answer = tokio::select! {
            answer = timeout(PATRONI_MAX, &mut asked) => {
                answer.unwrap_or_else(|_| Err(NoSwitchover::Unknown("Patroni does not answer".to_owned())))
            }
            leader = &mut taken => return Ok(self.done(&leader, began)),
        };
        match answer {
            Ok(words) => {
                self.progress.say(format!("Patroni: {words}"));
                match timeout(self.hold_max, taken).await {
                    Ok(leader) => Ok(self.done(&leader, began)),
                    Err(_) => Err("the new leader does not take writes yet".to_owned()),
                }
            }
            Err(NoSwitchover::Refused(why)) => {
                drop(release);
                Err(format!("Patroni refused, {} goes on: {why}", plan.term.member))
            }
            Err(NoSwitchover::Unknown(why)) => Err(format!("it is not known what came of it: {why}")),
        }
    }

    fn done(&self, leader: &Term, began: Moment) -> String {
        let took = self.clock.now().since(began).as_millis();
        format!("{} takes writes, {took} ms after Patroni was asked", leader.member)
    }

    /// Who hands over to whom, once somebody can.
    async fn plan(&self, wanted: Option<&MemberName>) -> Result<Plan, String> {
        let began = self.clock.now();
        loop {
            match plan(&self.watcher.topology(), wanted) {
                Ok(plan) => return Ok(plan),
                Err(NoPlan::NotYet(_)) if self.clock.now().since(began) < FIT_MAX => sleep(LOOK_AGAIN).await,
                Err(NoPlan::NotYet(why) | NoPlan::Never(why)) => return Err(why),
            }
        }
    }

    /// The same plan, if it can still be carried out.
    fn still(&self, before: &Plan) -> Result<Plan, String> {
        let now = plan(&self.watcher.topology(), Some(&before.candidate));
        let now = now.map_err(|(NoPlan::NotYet(why) | NoPlan::Never(why))| why)?;
        if now.term.epoch == before.term.epoch {
            Ok(now)
        } else {
            Err("the leader has changed meanwhile".to_owned())
        }
    }

    /// Has the leader checkpoint, if the probe's user may.
    async fn checkpoint(&self, leader: &Address) -> Result<(), String> {
        let began = self.clock.now();
        let dial = self.pools.dial();
        let work = async {
            let mut server = connect(&*dial, leader, &self.login).await.map_err(|error| error.to_string())?;
            match simple_query(&mut server.stream, "CHECKPOINT").await {
                Ok(_) => Ok(None),
                Err(QueryError::Server(error)) if error.code == SqlState::INSUFFICIENT_PRIVILEGE => {
                    Ok(Some("it lacks the role pg_checkpoint, which PostgreSQL has from 15 on".to_owned()))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        let why = match timeout(CHECKPOINT_MAX, work).await {
            Ok(Ok(skipped)) => skipped,
            Ok(Err(why)) => return Err(format!("the leader cannot be asked for a checkpoint: {why}")),
            Err(_) => return Err(format!("the checkpoint takes longer than {CHECKPOINT_MAX:?}")),
        };
        let took = self.clock.now().since(began).as_millis();
        self.progress.say(match why {
            None => format!("the leader has checkpointed, within {took} ms"),
            Some(why) => format!("no checkpoint ahead: {} may not, {why}", self.login.user),
        });
        Ok(())
    }

    /// Lets the transactions that run on the leader end, for a while.
    async fn let_end(&self, plan: &Plan) {
        let began = self.clock.now();
        let ended = timeout(self.wait, async {
            // What is granted at this moment counts, too: the order is taken in by another task.
            sleep(LOOK_AGAIN).await;
            while self.on_leader(plan).runs > 0 {
                sleep(LOOK_AGAIN).await;
            }
        });
        let ended = ended.await.is_ok();
        let took = self.clock.now().since(began).as_millis();
        let OnLeader { runs, rests } = self.on_leader(plan);
        self.progress.say(if ended {
            format!("nothing runs on the leader any more, after {took} ms")
        } else {
            format!("{runs} servers of the leader are still busy, after {took} ms")
        });
        if rests > 0 {
            self.progress.say(format!(
                "{rests} clients that run nothing lose what they keep there (session state, or session pooling)"
            ));
        }
    }

    /// Who has servers of the leader. Who keeps one and has nothing to do may do so for ever: nobody is made to wait for that.
    fn on_leader(&self, plan: &Plan) -> OnLeader {
        let mut rests = 0;
        self.registry.for_each(|client| rests += usize::from(client.rests_at(&plan.address)));
        let pools = self.pools.all();
        let of_leader = pools
            .iter()
            .filter(|(key, _)| *key.cluster == *self.name && key.member == plan.term.member)
            .map(|(_, pool)| pool.gauges().leased);
        OnLeader { runs: of_leader.sum::<usize>().saturating_sub(rests), rests }
    }

    /// The next leader, once it takes writes.
    async fn new_leader(&self, old: u64) -> Term {
        loop {
            if let WriteState::Open(term) = &self.watcher.topology().write
                && term.epoch != old
            {
                return term.clone();
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Servers of the leader that are somebody's.
struct OnLeader {
    /// A transaction, or a question of ours, runs there.
    runs: usize,
    /// Their clients have nothing to do.
    rests: usize,
}

/// New transactions wait until this is dropped, or for as long as was said.
struct Release {
    watcher: WatcherHandle,
    leader: MemberName,
}

impl Release {
    fn hold(&self, until: Moment) -> bool {
        self.watcher.order(Command::Hold(Some((self.leader.clone(), until))))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // If this is not taken in, they wait no longer than was said.
        let _taken_in = self.watcher.order(Command::Hold(None));
    }
}
