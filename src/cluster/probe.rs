//! Asking one member over SQL, again and again, over one connection that is kept.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    fact::{Fact, ProbeFailure, ProbeOutcome, ProbeReading, ProbedRole},
    headway::{Headway, Promotion},
    ids::{MemberName, Timeline},
    policy::ProbePolicy,
};
use crate::{
    clock::{Clock, Moment},
    net::{Address, Dial, Stream},
    server::{self, ConnectError, QueryError},
    wire::error::{ServerError, SqlState},
};

pub mod statement;

/// How often a member is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Every `probe_interval`.
    #[default]
    Steady,
    /// Every few milliseconds, because something waits for the answer; the longer it takes, the less often.
    Urgent {
        /// Since when.
        since: Moment,
    },
}

/// The pause between answers for this long after something became urgent …
const URGENT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(5));
/// … and then for this long; after that, as at a steady pace.
const LESS_URGENT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(50));
/// The pause after the first failure; doubles with each.
const FIRST_RETRY: Duration = Duration::from_millis(10);
/// What is left to a question that was under way when an answer became urgent: it may hang on a dead connection.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(20);

/// Asks one member at one address.
pub struct Prober {
    /// Who is asked.
    pub member: MemberName,
    /// Where.
    pub address: Address,
    /// Who dials.
    pub dial: Arc<dyn Dial>,
    /// What time it is.
    pub clock: Clock,
    /// As whom, how often, how long.
    pub policy: ProbePolicy,
    /// How urgent it is.
    pub pace: watch::Receiver<Pace>,
    /// Where outcomes go.
    pub facts: mpsc::Sender<Fact>,
    /// Who is told that a member was promoted, and from where.
    pub headway: Arc<Headway>,
}

/// A kept connection.
struct Link {
    stream: Stream,
    parameters: Arc<Vec<(String, String)>>,
    /// The timeline that the server followed when it last answered that it is in recovery.
    followed: Option<Timeline>,
}

/// What came of one question.
struct Asked {
    at: Moment,
    outcome: ProbeOutcome,
}

impl Prober {
    /// Asks until nobody takes the outcomes any more.
    pub async fn run(mut self) {
        let mut link = None;
        let mut failures: u32 = 0;
        loop {
            let began = self.clock.now();
            let asked = tokio::select! {
                biased;
                asked = self.ask_in_time(&mut link) => Some(asked),
                () = overtaken(self.pace.clone(), began) => None,
            };
            match asked {
                Some(Asked { at: asked_at, outcome }) => {
                    failures = match outcome {
                        ProbeOutcome::Answered(_) => 0,
                        ProbeOutcome::Failed(_) => failures.saturating_add(1),
                    };
                    let patient = matches!(outcome, ProbeOutcome::Failed(ProbeFailure::AuthFailed(_)));
                    let fact = Fact::Probed {
                        member: self.member.clone(),
                        address: self.address.clone(),
                        asked_at,
                        at: self.clock.now(),
                        outcome,
                    };
                    if self.facts.send(fact).await.is_err() {
                        return;
                    }
                    self.pause(began, failures, patient).await;
                }
                // Whatever it hangs on, a new connection does not.
                None => link = None,
            }
        }
    }

    /// Waits until it is time to ask again: a steady pace counts from question to question, retries and urgent
    /// questions from the outcome. Anything that becomes urgent ends the wait.
    async fn pause(&mut self, began: Moment, failures: u32, patient: bool) {
        let now = self.clock.now();
        let interval = self.policy.interval;
        let wait = match *self.pace.borrow_and_update() {
            _ if patient => interval,
            Pace::Steady if failures == 0 => interval.saturating_sub(now.since(began)),
            Pace::Steady => retry_after(failures, interval),
            Pace::Urgent { since } => {
                let pause = urgent_pause(now.since(since), interval);
                if failures == 0 { pause } else { retry_after(failures, pause.max(LESS_URGENT.1)).max(pause) }
            }
        };
        let mut pace = self.pace.clone();
        tokio::select! {
            biased;
            () = urgent(&mut pace), if !patient => {}
            () = sleep(wait.max(Duration::from_millis(1))) => {}
        }
    }

    async fn ask_in_time(&self, link: &mut Option<Link>) -> Asked {
        let at = self.clock.now();
        let limit = self.policy.timeout;
        // A question that is given up leaves its answer under way: the connection goes with it.
        let kept = link.take();
        let dial = Dialling::new(&*self.dial);
        match timeout(limit, self.ask(kept, &dial)).await {
            Ok((asked, kept)) => {
                *link = kept;
                asked
            }
            Err(_) => {
                let failure = if dial.hangs() {
                    ProbeFailure::NoConnection(limit)
                } else {
                    ProbeFailure::Timeout(limit)
                };
                Asked { at, outcome: ProbeOutcome::Failed(failure) }
            }
        }
    }

    /// Asks once. A kept connection that turns out to be broken is replaced before anything is said against the
    /// member: its backend may have been terminated by somebody.
    async fn ask(&self, kept: Option<Link>, dial: &Dialling<'_>) -> (Asked, Option<Link>) {
        if let Some(link) = kept {
            let asked_at = self.clock.now();
            match self.question(link, asked_at).await {
                (Asked { outcome: ProbeOutcome::Failed(ProbeFailure::Unreachable(_)), .. }, None) => {}
                done => return done,
            }
        }
        let began = self.clock.now();
        let login = self.policy.login.load_full();
        match server::connect(dial, &self.address, &login).await {
            Err(error) => (Asked { at: began, outcome: ProbeOutcome::Failed(of_connect(error)) }, None),
            Ok(connected) => {
                let parameters = Arc::new(connected.parameters);
                let link = Link { stream: connected.stream, parameters, followed: None };
                let asked_at = self.clock.now();
                self.question(link, asked_at).await
            }
        }
    }

    async fn question(&self, mut link: Link, asked_at: Moment) -> (Asked, Option<Link>) {
        let answer = server::simple_query(&mut link.stream, statement::PROBE_SQL).await;
        let (outcome, kept) = match answer {
            Ok(answer) => {
                adopt(&mut link.parameters, answer.parameters);
                match statement::read(&answer.rows, Arc::clone(&link.parameters)) {
                    Ok(reading) => {
                        self.note_promotion(&mut link.followed, &reading, &answer.rows);
                        (ProbeOutcome::Answered(reading), Some(link))
                    }
                    Err(why) => (ProbeOutcome::Failed(ProbeFailure::Failed(why)), Some(link)),
                }
            }
            Err(QueryError::Server(error)) => (ProbeOutcome::Failed(of_server(&error)), Some(link)),
            Err(QueryError::Broken(error)) => {
                (ProbeOutcome::Failed(ProbeFailure::Unreachable(error.to_string())), None)
            }
        };
        (Asked { at: asked_at, outcome }, kept)
    }

    /// A server that was in recovery when this connection was open before, and is not any more, was promoted meanwhile: what
    /// it had replayed last is where its timeline begins (`pg_last_wal_replay_lsn` stays there). After a restart that would
    /// not be so, but neither would the connection have lived. Timelines that skip a number do not say where they come from.
    fn note_promotion(
        &self,
        followed: &mut Option<Timeline>,
        reading: &ProbeReading,
        rows: &[Vec<Option<String>>],
    ) {
        match &reading.role {
            ProbedRole::Standby(standby) => {
                self.headway.in_recovery(&self.member);
                *followed = standby.timeline;
            }
            ProbedRole::Writable { timeline, .. } => {
                if let Some(from) = followed.take().filter(|before| before.checked_add(1) == Some(*timeline))
                    && let Some(at) = statement::replayed(rows)
                {
                    let (address, system_id) = (self.address.clone(), reading.system_id);
                    self.headway.promoted(&self.member, Promotion { address, system_id, from, at });
                }
            }
        }
    }
}

/// Dials, and knows whether that hangs.
struct Dialling<'a> {
    dial: &'a dyn Dial,
    hangs: AtomicBool,
}

impl<'a> Dialling<'a> {
    const fn new(dial: &'a dyn Dial) -> Self {
        Self { dial, hangs: AtomicBool::new(false) }
    }

    fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }
}

impl Dial for Dialling<'_> {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            self.hangs.store(true, Ordering::Relaxed);
            let dialled = self.dial.dial(address).await;
            self.hangs.store(false, Ordering::Relaxed);
            dialled
        })
    }
}

/// Settings that a server reported later replace those of its login.
fn adopt(parameters: &mut Arc<Vec<(String, String)>>, reported: Vec<(String, String)>) {
    for (name, value) in reported {
        let parameters = Arc::make_mut(parameters);
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => parameters.push((name, value)),
        }
    }
}

/// Ends when an answer has become urgent after the question that `began` then, and that question has had its chance.
async fn overtaken(mut pace: watch::Receiver<Pace>, began: Moment) {
    loop {
        if matches!(*pace.borrow_and_update(), Pace::Urgent { since } if since > began) {
            return sleep(OVERTAKEN_AFTER).await;
        }
        if pace.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Ends when the pace becomes urgent anew.
async fn urgent(pace: &mut watch::Receiver<Pace>) {
    loop {
        if pace.changed().await.is_err() {
            return std::future::pending().await;
        }
        if matches!(*pace.borrow_and_update(), Pace::Urgent { .. }) {
            return;
        }
    }
}

fn urgent_pause(elapsed: Duration, interval: Duration) -> Duration {
    let pause = match elapsed {
        _ if elapsed < URGENT.0 => URGENT.1,
        _ if elapsed < LESS_URGENT.0 => LESS_URGENT.1,
        _ => interval,
    };
    pause.min(interval)
}

fn retry_after(failures: u32, at_most: Duration) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(at_most)
}

fn of_connect(error: ConnectError) -> ProbeFailure {
    match error {
        ConnectError::Unreachable(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ProbeFailure::Refused,
            _ => ProbeFailure::Unreachable(error.to_string()),
        },
        ConnectError::Refused(error) => of_server(&error),
        ConnectError::Protocol(why) | ConnectError::Tls(why) => ProbeFailure::Failed(why),
        ConnectError::Credential(why) => ProbeFailure::AuthFailed(why),
        standby @ ConnectError::Standby => ProbeFailure::Failed(standby.to_string()),
    }
}

fn of_server(error: &ServerError) -> ProbeFailure {
    let code = error.code.as_str();
    match error.code {
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            ProbeFailure::Starting(error.message.clone())
        }
        // Class 28: invalid authorization; 3D000: no such database; 42501: may not connect to it.
        _ if code.starts_with("28") || matches!(code, "3D000" | "42501") => {
            ProbeFailure::AuthFailed(error.to_string())
        }
        _ => ProbeFailure::Failed(error.to_string()),
    }
}
