//! Clients that write, read and idle, and a record of everything they were told.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_postgres::{Config, Error, Statement};

use crate::report::{Acknowledged, Failure, Kind, Progress, Report};
use crate::{Client, Moment, Result, now};

/// Longer than any wait that pgsteer may impose; a client that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// The server says where and on which timeline it writes.
const INSERT: &str = "
    INSERT INTO ledger (id, writer) VALUES ($1, $2)
    RETURNING server, ('x' || timeline)::bit(32)::bigint";

/// How many clients do what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients that insert; every other one in an explicit transaction.
    pub writers: u16,
    /// Clients that read.
    pub readers: u16,
    /// Clients that run one query at the beginning and one at the end.
    pub idle: u16,
    /// The number of the first client. What two workloads write to one ledger is told apart by it.
    pub first: u16,
    /// Between two statements of one client.
    pub pace: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { writers: 8, readers: 4, idle: 20, first: 0, pace: Duration::from_millis(5) }
    }
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
        for (number, (kind, config)) in (plan.first..).zip(each) {
            let (first, answered) = watch::channel(false);
            begun.push(answered);
            let one = One {
                number,
                kind,
                config: config.clone(),
                connection: None,
                written: 0,
                report: Arc::clone(&report),
                first,
            };
            clients.spawn(one.run(plan.pace, stopped.clone()));
        }
        {
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.first = plan.first;
            report.clients = plan.writers + plan.readers + plan.idle;
        }
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

    /// The first write acknowledged by a server at or after a moment, if there is one yet.
    pub fn first_write_on(&self, server: IpAddr, moment: Moment) -> Option<Moment> {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let there = report.acknowledged.iter().filter(|write| write.server == server && write.at >= moment);
        there.map(|write| write.at).min()
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
        self.report.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(now());
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

/// One client.
struct One {
    number: u16,
    kind: Kind,
    config: Config,
    connection: Option<Connection>,
    written: i64,
    report: Arc<Mutex<Report>>,
    first: watch::Sender<bool>,
}

struct Connection {
    client: Client,
    statement: Statement,
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
            let begun = now();
            self.step().await;
            let waited = begun.elapsed();
            self.record(|report| report.longest_wait = report.longest_wait.max(waited));
        }
    }

    /// One statement or transaction, on the connection there is or on a new one.
    async fn step(&mut self) {
        let sent = now();
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.connect().await {
                Ok(connection) => connection,
                Err((sqlstate, cause)) => return self.failed(sent, None, sqlstate, cause),
            },
        };
        let client = &connection.client;
        let id = self.next_id();
        let done = match self.kind {
            Kind::Write => timeout(PATIENCE, self.write(&connection, id)).await,
            Kind::Read => timeout(PATIENCE, self.read(&connection)).await,
            Kind::Idle => timeout(PATIENCE, async { client.batch_execute("SELECT 1").await }).await,
        };
        match done {
            Ok(Ok(())) => {
                self.first.send_replace(true);
            }
            Ok(Err(error)) => {
                let (sqlstate, cause) = client.words(&error);
                self.failed(sent, id, sqlstate, cause.clone());
                if client.is_over(&error) {
                    return self.lost_connection(cause);
                }
                if self.in_blocks() {
                    let _ = timeout(PATIENCE, client.batch_execute("ROLLBACK")).await;
                }
            }
            Err(_) => {
                self.failed(sent, id, "timeout".to_owned(), format!("no answer for {PATIENCE:?}"));
                return self.lost_connection("no answer".to_owned());
            }
        }
        if client.is_closed() {
            self.lost_connection(client.farewell());
        } else {
            self.connection = Some(connection);
        }
    }

    /// The statement is prepared once: of one that it prepares for a single use, tokio-postgres closes it later and
    /// listens to no answer, so that it would miss what it is told just then.
    async fn connect(&self) -> std::result::Result<Connection, (String, String)> {
        let login = |sqlstate: String| (sqlstate, "login".to_owned());
        let client = Client::try_connect(&self.config, PATIENCE).await.map_err(login)?;
        let text = match self.kind {
            Kind::Write => INSERT,
            Kind::Read => "SELECT pg_is_in_recovery(), max(id) FROM ledger",
            Kind::Idle => "SELECT 1",
        };
        match timeout(PATIENCE, client.prepare(text)).await {
            Ok(Ok(statement)) => Ok(Connection { client, statement }),
            Ok(Err(error)) => Err(client.words(&error)),
            Err(_) => Err(("timeout".to_owned(), format!("no answer for {PATIENCE:?}"))),
        }
    }

    /// Every other writer uses transaction blocks.
    const fn in_blocks(&self) -> bool {
        matches!(self.kind, Kind::Write) && !self.number.is_multiple_of(2)
    }

    /// Every attempt has its own number: what failed is never tried again under the same.
    fn next_id(&mut self) -> Option<i64> {
        (self.kind == Kind::Write).then(|| {
            self.written += 1;
            i64::from(self.number) << 32 | self.written
        })
    }

    async fn write(&self, connection: &Connection, id: Option<i64>) -> std::result::Result<(), Error> {
        let Connection { client, statement } = connection;
        let sent = now();
        let writer = i32::from(self.number);
        let row = if self.in_blocks() {
            client.batch_execute("BEGIN").await?;
            let row = client.query_one(statement, &[&id, &writer]).await?;
            client.batch_execute("COMMIT").await?;
            row
        } else {
            client.query_one(statement, &[&id, &writer]).await?
        };
        let at = now();
        let (server, timeline) = (row.try_get(0)?, row.try_get::<_, i64>(1)?);
        let timeline = u32::try_from(timeline).unwrap_or_default();
        let unconfirmed =
            client.take_notices().iter().any(|notice| notice.contains("synchronous replication"));
        if let Some(id) = id {
            self.record(|report| {
                report.acknowledged.push(Acknowledged { id, server, timeline, sent, at, unconfirmed })
            });
        }
        Ok(())
    }

    async fn read(&self, connection: &Connection) -> std::result::Result<(), Error> {
        let row = connection.client.query_one(&connection.statement, &[]).await?;
        let replica = row.try_get(0)?;
        self.record(|report| report.reads.push((now(), replica)));
        Ok(())
    }

    fn failed(&self, sent: Moment, id: Option<i64>, sqlstate: String, cause: String) {
        let failure = Failure { client: self.number, kind: self.kind, at: now(), sent, id, sqlstate, cause };
        self.record(|report| report.failures.push(failure));
    }

    fn lost_connection(&self, last_words: String) {
        self.record(|report| report.partings.entry(self.number).or_default().push(last_words));
    }

    fn record(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
