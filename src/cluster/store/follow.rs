//! Following a store that is read whole each time: by its watch, at intervals, and whenever somebody is in doubt.
//!
//! A watch only wakes; what is so is always read anew and whole, by the most consistent question that the store
//! answers. So it does not matter what a watch says, what it leaves out or in which order, and a silent one costs
//! no more than the interval.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Store, StoreEvent,
    keys::Keys,
    report::{Closed, Ended, Reporter},
};
use crate::clock::{Clock, Moment};

/// How long a connection may take to open, what it says first included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a reading may take.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time from one reading to the next, whatever a watch says.
const GAP: Duration = Duration::from_millis(10);
/// The pause after all endpoints have failed; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long after a doubt a store without a watch is read often.
const DOUBT: Duration = Duration::from_secs(15);

/// What a reading found.
pub(super) enum Found {
    /// The cluster.
    Cluster(Reading),
    /// Nothing under the scope; says what there is instead.
    Nothing(String),
}

/// The cluster's keys.
pub(super) struct Reading {
    /// When the question was sent.
    pub(super) asked_at: Moment,
    pub(super) revision: u64,
    pub(super) keys: Keys,
    /// Until when the leader key cannot pass to another, as far as this store can tell.
    pub(super) right_until: Option<Moment>,
}

/// A store, of which one endpoint is used at a time.
pub(super) trait Source: Send + Sync + 'static {
    /// A connection to one endpoint.
    type Link: Link;

    /// What its readings are dated by.
    fn clock(&self) -> Clock;

    /// What there is to connect to, as it is named in the log; at least one.
    fn endpoints(&self) -> Vec<String>;

    /// Connects to the endpoint of this place in the list.
    fn open(&self, endpoint: usize) -> impl Future<Output = Result<Self::Link, String>> + Send;

    /// How often to read.
    fn pace(&self) -> Pace;
}

/// A connection to one endpoint.
pub(super) trait Link: Send {
    /// Reads everything.
    fn read(&mut self) -> impl Future<Output = Result<Found, String>> + Send;

    /// Begins to watch for changes from the newest reading on; `None` where there is nothing to watch.
    fn watch(&mut self) -> impl Future<Output = Result<Option<Wakes>, String>> + Send;
}

/// How often to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// As a rule.
    pub(super) steady: Duration,
    /// While there is no leader, and for a while after a doubt.
    pub(super) urgent: Duration,
}

impl Pace {
    /// Of a store whose watch tells of changes.
    pub(super) const fn watched(reread: Duration) -> Self {
        Self { steady: reread, urgent: reread }
    }
}

/// Until when a reading gives the right to write that shows who holds the leader key, but not for how long: until the
/// next one is due, and may take as long as it may take. It is no promise of the store's. If the key passes on
/// right after the reading, and the store cannot be asked any more from then on, this is how long a leader that
/// does not know of it would still be sent writes, unless a member answers that it takes them too.
pub(super) fn hearsay(asked_at: Moment, reread: Duration) -> Moment {
    asked_at + reread + READ_TIMEOUT
}

/// A watch that runs by itself and wakes; it ends when this is dropped.
pub(super) struct Wakes {
    woken: mpsc::Receiver<Result<(), String>>,
    task: JoinHandle<()>,
}

impl Wakes {
    /// Runs `watching`, which wakes through what it is given and ends only by failing.
    pub(super) fn spawn<F>(watching: impl FnOnce(Waker) -> F) -> Self
    where
        F: Future<Output = Result<std::convert::Infallible, String>> + Send + 'static,
    {
        let (wake, woken) = mpsc::channel(1);
        let watching = watching(Waker(wake.clone()));
        let task = tokio::spawn(async move {
            let reason = match watching.await {
                Err(reason) => reason,
                Ok(never) => match never {},
            };
            let _nobody = wake.send(Err(reason)).await;
        });
        Self { woken, task }
    }

    async fn next(&mut self) -> Result<(), String> {
        self.woken.recv().await.unwrap_or_else(|| Err("the watch ended".to_owned()))
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Wakes whoever reads.
#[derive(Clone)]
pub(super) struct Waker(mpsc::Sender<Result<(), String>>);

impl Waker {
    /// Something may have changed. Waking twice before it is read is waking once.
    pub(super) fn wake(&self) {
        let _already_waking = self.0.try_send(Ok(()));
    }
}

impl<S: Source> Store for S {
    fn watch(
        self: Box<Self>,
        events: mpsc::Sender<StoreEvent>,
        hurry: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(follow(*self, events, hurry))
    }
}

/// Follows a store until nobody receives its events any more.
async fn follow<S: Source>(source: S, events: mpsc::Sender<StoreEvent>, mut hurry: watch::Receiver<u64>) {
    let mut reporter = Reporter::new(source.clock(), events);
    let mut pause = PAUSE_MIN;
    loop {
        for (index, name) in source.endpoints().iter().enumerate() {
            let reason = match use_endpoint(&source, index, &mut reporter, &mut hurry).await {
                Ended::NobodyListens => return,
                Ended::Failed { reason, worked } => {
                    if worked {
                        pause = PAUSE_MIN;
                    }
                    format!("{name}: {reason}")
                }
            };
            if reporter.lost(reason).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = reporter.closed() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn use_endpoint<S: Source>(
    source: &S,
    index: usize,
    reporter: &mut Reporter,
    hurry: &mut watch::Receiver<u64>,
) -> Ended {
    let mut link = match within(OPEN_TIMEOUT, source.open(index)).await {
        Ok(link) => link,
        Err(reason) => return Ended::Failed { reason, worked: false },
    };
    let mut worked = false;
    match read_on(&mut link, source.pace(), reporter, hurry, &mut worked).await {
        Ok(never) => match never {},
        Err(Stop::NobodyListens) => Ended::NobodyListens,
        Err(Stop::Failed(reason)) => Ended::Failed { reason, worked },
    }
}

/// Why an endpoint is not used any more.
enum Stop {
    Failed(String),
    NobodyListens,
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::NobodyListens
    }
}

/// Reads, waits for a reason to read again, and so on.
async fn read_on(
    link: &mut impl Link,
    pace: Pace,
    reporter: &mut Reporter,
    hurry: &mut watch::Receiver<u64>,
    worked: &mut bool,
) -> Result<std::convert::Infallible, Stop> {
    let mut wakes = None;
    let mut doubted: Option<Moment> = None;
    loop {
        let found = within(READ_TIMEOUT, link.read()).await?;
        let is_led = matches!(&found, Found::Cluster(reading) if reading.keys.leader().is_some());
        report(found, reporter).await?;
        if !*worked {
            *worked = true;
            wakes = within(OPEN_TIMEOUT, link.watch()).await?;
        }
        sleep(GAP).await;
        let urgent = !is_led || doubted.is_some_and(|at| reporter.clock.now().since(at) < DOUBT);
        let wait = if urgent { pace.urgent } else { pace.steady };
        tokio::select! {
            biased;
            changed = hurry.changed() => {
                changed.map_err(|_| Stop::NobodyListens)?;
                hurry.borrow_and_update();
                doubted = Some(reporter.clock.now());
            }
            woken = woken(&mut wakes) => woken?,
            () = reporter.closed() => return Err(Stop::NobodyListens),
            () = sleep(wait) => {}
        }
    }
}

async fn report(found: Found, reporter: &mut Reporter) -> Result<(), Closed> {
    match found {
        Found::Cluster(Reading { asked_at, revision, keys, right_until }) => {
            reporter.read(&keys, revision, asked_at, right_until).await
        }
        Found::Nothing(found) => reporter.send(StoreEvent::Nothing { found }).await,
    }
}

async fn woken(wakes: &mut Option<Wakes>) -> Result<(), String> {
    match wakes {
        Some(wakes) => wakes.next().await,
        None => std::future::pending().await,
    }
}

/// Bounds the time of what answers with a sentence when it fails.
pub(super) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(limit, asked).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}
