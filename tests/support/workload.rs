//! Clients that write, read and idle, and a record of everything they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_postgres::{Config, Error};

use crate::{Client, Moment, Result, now};

/// Longer than any wait that pgsteer may impose; a client that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// How many clients do what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients that insert; every other one in an explicit transaction.
    pub writers: u16,
    /// Clients that read.
    pub readers: u16,
    /// Clients that run one query at the beginning and one at the end.
    pub idle: u16,
    /// Between two statements of one client.
    pub pace: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { writers: 8, readers: 4, idle: 20, pace: Duration::from_millis(5) }
    }
}

/// A write that a client was told is committed.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// What it wrote.
    pub id: i64,
    /// When the first byte of it was sent.
    pub sent: Moment,
    /// When the answer came.
    pub at: Moment,
    /// The answer came with a warning that no standby had confirmed it.
    pub unconfirmed: bool,
}

/// Something a client was refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whose.
    pub client: u16,
    /// What that client does.
    pub kind: Kind,
    /// When the error came.
    pub at: Moment,
    /// When what failed had been sent.
    pub sent: Moment,
    /// The write it belongs to; none for a read or a login.
    pub id: Option<i64>,
    /// Five letters, or `closed`, `refused`, `timeout`.
    pub sqlstate: String,
    /// In words.
    pub cause: String,
}

impl Failure {
    /// Whether the client was left in doubt: told so (08007), or told nothing at all.
    pub fn is_unknown(&self) -> bool {
        ["08007", "closed", "timeout"].contains(&self.sqlstate.as_str())
    }
}

/// Everything the clients were told.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order of time.
    pub acknowledged: Vec<Acknowledged>,
    /// In order of time.
    pub failures: Vec<Failure>,
    /// When each read was answered, and whether a replica answered it.
    pub reads: Vec<(Moment, bool)>,
    /// How often each client that lost its connection did so.
    pub reconnects: BTreeMap<u16, u32>,
    /// How many clients there were.
    pub clients: u16,
}

impl Report {
    /// What clients of a kind were refused, by SQLSTATE.
    pub fn by_sqlstate(&self, kind: Kind) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for failure in self.failures.iter().filter(|failure| failure.kind == kind) {
            *counts.entry(failure.sqlstate.clone()).or_default() += 1;
        }
        counts
    }

    /// The first write acknowledged at or after a moment.
    pub fn first_write_after(&self, moment: Moment) -> Option<Moment> {
        self.acknowledged.iter().map(|write| write.at).filter(|at| *at >= moment).min()
    }

    /// The first read answered after a moment.
    pub fn first_read_after(&self, moment: Moment) -> Option<Moment> {
        self.reads.iter().map(|read| read.0).filter(|at| *at >= moment).min()
    }

    /// The longest time between two acknowledged writes after `from`.
    pub fn longest_write_gap(&self, from: Moment) -> Duration {
        longest_gap(self.acknowledged.iter().map(|write| write.at), from)
    }

    /// The longest time between two answered reads after `from`.
    pub fn longest_read_gap(&self, from: Moment) -> Duration {
        longest_gap(self.reads.iter().map(|read| read.0), from)
    }

    /// Clients that never lost their connection.
    pub fn stayed_connected(&self) -> usize {
        usize::from(self.clients) - self.reconnects.len()
    }
}

fn longest_gap(times: impl Iterator<Item = Moment>, from: Moment) -> Duration {
    let mut times: Vec<_> = times.filter(|at| *at >= from).collect();
    times.sort();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
}

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    report: Arc<Mutex<Report>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Workload {
    /// Starts the clients; returns when every one has been answered once.
    ///
    /// # Errors
    /// One was not answered within 30 s.
    pub async fn start(write: &Config, read: &Config, plan: Plan) -> Result<Self> {
        let report = Arc::new(Mutex::new(Report::default()));
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        let mut begun = Vec::new();
        let kinds = [
            (Kind::Write, plan.writers, write),
            (Kind::Read, plan.readers, read),
            (Kind::Idle, plan.idle, write),
        ];
        let each = kinds.iter().flat_map(|(kind, count, config)| (0..*count).map(move |_| (*kind, *config)));
        for (number, (kind, config)) in (0..).zip(each) {
            let (first, answered) = watch::channel(false);
            begun.push(answered);
            let one = One {
                number,
                kind,
                config: config.clone(),
                client: None,
                written: 0,
                report: Arc::clone(&report),
                first,
            };
            clients.spawn(one.run(plan.pace, stopped.clone()));
        }
        report.lock().unwrap_or_else(PoisonError::into_inner).clients =
            plan.writers + plan.readers + plan.idle;
        let load = Self { report, stop, clients };
        for mut answered in begun {
            let first = answered.wait_for(|answered| *answered);
            let waited = timeout(Duration::from_secs(30), first).await.is_ok_and(|seen| seen.is_ok());
            anyhow::ensure!(waited, "a client was not answered: {:?}", load.progress().failures.last());
        }
        Ok(load)
    }

    /// What has happened so far.
    pub fn progress(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first write acknowledged at or after a moment, if there is one yet.
    pub fn first_write_after(&self, moment: Moment) -> Option<Moment> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).first_write_after(moment)
    }

    /// Counts so far, cheaply: writes acknowledged, reads, failures.
    pub fn counts(&self) -> Progress {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        Progress {
            writes: report.acknowledged.len(),
            reads: report.reads.len(),
            failures: report.failures.len(),
        }
    }

    /// Lets every client end what it is doing; the idle ones ask once more.
    ///
    /// # Errors
    /// A client hangs.
    pub async fn finish(mut self) -> Result<Report> {
        let _ = self.stop.send(true);
        let ending = async { while self.clients.join_next().await.is_some() {} };
        let ended = timeout(PATIENCE + Duration::from_secs(5), ending).await;
        anyhow::ensure!(ended.is_ok(), "{} clients hang", self.clients.len());
        let mut report = self.progress();
        report.acknowledged.sort_by_key(|write| write.at);
        report.failures.sort_by_key(|failure| failure.at);
        report.reads.sort();
        Ok(report)
    }
}

/// Counts.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Acknowledged writes.
    pub writes: usize,
    /// Answered reads.
    pub reads: usize,
    /// Everything refused.
    pub failures: usize,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Inserts.
    Write,
    /// Reads on the read route.
    Read,
    /// Has asked once and will ask once more at the end.
    Idle,
}

/// One client.
struct One {
    number: u16,
    kind: Kind,
    config: Config,
    client: Option<Client>,
    written: i64,
    report: Arc<Mutex<Report>>,
    first: watch::Sender<bool>,
}

impl One {
    async fn run(mut self, pace: Duration, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(pace);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            tick.tick().await;
            if self.kind == Kind::Idle && *self.first.borrow() {
                let _ = stop.wait_for(|stop| *stop).await;
            }
            self.step().await;
        }
    }

    /// One statement or transaction, on the connection there is or on a new one.
    async fn step(&mut self) {
        let sent = now();
        let client = match self.client.take() {
            Some(client) => client,
            None => match Client::try_connect(&self.config, PATIENCE).await {
                Ok(client) => client,
                Err(sqlstate) => return self.failed(sent, None, sqlstate, "login".to_owned()),
            },
        };
        let id = self.next_id();
        let done = match self.kind {
            Kind::Write => timeout(PATIENCE, self.write(&client, id)).await,
            Kind::Read => timeout(PATIENCE, self.read(&client)).await,
            Kind::Idle => timeout(PATIENCE, async { client.batch_execute("SELECT 1").await }).await,
        };
        match done {
            Ok(Ok(())) => {
                self.first.send_replace(true);
            }
            Ok(Err(error)) => {
                let (sqlstate, cause) = client.words(&error);
                self.failed(sent, id, sqlstate, cause);
                if !client.is_closed() && !self.number.is_multiple_of(2) {
                    let _ = timeout(PATIENCE, client.batch_execute("ROLLBACK")).await;
                }
            }
            Err(_) => {
                self.failed(sent, id, "timeout".to_owned(), format!("no answer for {PATIENCE:?}"));
                return self.lost_connection();
            }
        }
        if client.is_closed() {
            self.lost_connection();
        } else {
            self.client = Some(client);
        }
    }

    /// Every attempt has its own number: what failed is never tried again under the same.
    fn next_id(&mut self) -> Option<i64> {
        (self.kind == Kind::Write).then(|| {
            self.written += 1;
            i64::from(self.number) << 32 | self.written
        })
    }

    async fn write(&self, client: &Client, id: Option<i64>) -> std::result::Result<(), Error> {
        let sent = now();
        let writer = i32::from(self.number);
        let insert = "INSERT INTO ledger (id, writer) VALUES ($1, $2)";
        if self.number.is_multiple_of(2) {
            client.execute(insert, &[&id, &writer]).await?;
        } else {
            client.batch_execute("BEGIN").await?;
            client.execute(insert, &[&id, &writer]).await?;
            client.batch_execute("COMMIT").await?;
        }
        let at = now();
        let unconfirmed =
            client.take_notices().iter().any(|notice| notice.contains("synchronous replication"));
        if let Some(id) = id {
            self.record(|report| report.acknowledged.push(Acknowledged { id, sent, at, unconfirmed }));
        }
        Ok(())
    }

    async fn read(&self, client: &Client) -> std::result::Result<(), Error> {
        let row = client.query_one("SELECT pg_is_in_recovery(), max(id) FROM ledger", &[]).await?;
        let replica = row.try_get(0)?;
        self.record(|report| report.reads.push((now(), replica)));
        Ok(())
    }

    fn failed(&self, sent: Moment, id: Option<i64>, sqlstate: String, cause: String) {
        let failure = Failure { client: self.number, kind: self.kind, at: now(), sent, id, sqlstate, cause };
        self.record(|report| report.failures.push(failure));
    }

    fn lost_connection(&self) {
        self.record(|report| *report.reconnects.entry(self.number).or_default() += 1);
    }

    fn record(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
