//! Clients: each does one thing after the other, checks every answer, and keeps book of what it was told.

use std::{net::SocketAddr, time::Duration};

use pgsteer::{
    net::Stream,
    proxy::Embedded,
    wire::{
        error::{ServerError, SqlState},
        startup::BackendKey,
    },
};
use tokio::time::sleep;

use crate::{
    extras::Extras,
    ledger::{Row, Told},
    random::Rng,
    wire::{Said, Wire, once, parse, query, run},
    world::Shared,
};

/// What a client comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Read,
    /// Both, on one connection.
    Split,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Clients do all sorts of things.
    Trouble,
    /// They do simple things and expect to be served.
    Calm,
    /// They leave.
    Over,
}

pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) purpose: Purpose,
    pub(crate) world: Shared,
    pub(crate) proxy: Embedded,
    pub(crate) rng: Rng,
    pub(crate) phase: tokio::sync::watch::Receiver<Phase>,
    /// Statements so far.
    pub(crate) count: u32,
    /// Whether its server is its own even between transactions.
    pub(crate) keeps_server: bool,
    /// What it is promised.
    pub(crate) extras: Extras,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered; with which error, if with one.
    Answered(Option<ServerError>),
    /// A block was ended with this tag.
    Tagged(String),
    /// The session has ended, with these words.
    Over(Option<ServerError>),
}

/// The session is over.
pub(crate) struct Over;

pub(crate) struct Session {
    pub(crate) wire: Wire,
    key: BackendKey,
    pub(crate) name: String,
    prepared: Vec<&'static str>,
}

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

impl Client {
    /// Comes, works, and comes again, until told to stop.
    pub(crate) async fn live(mut self) {
        while !self.is_over() {
            if let Some(mut session) = self.log_in().await {
                while !self.is_over() {
                    if self.work(&mut session).await.is_err() {
                        break;
                    }
                }
                if self.is_over() {
                    session.wire.send(b"X\0\0\0\x04").await;
                }
            }
            let pause = self.rng.within(1, 50);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    fn connect(&self) -> Wire {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        let listener = self.purpose as usize;
        tokio::spawn(self.proxy.clone().serve(listener, Stream::Boxed(Box::new(theirs)), PEER));
        Wire::new(ours)
    }

    async fn log_in(&self) -> Option<Session> {
        let mut wire = self.connect();
        let name = format!("c{}", self.number);
        wire.greet(["w", "r", "s"][self.purpose as usize], &name).await;
        self.world.lock().ledger.promises.begin(self.number);
        let mut key = None;
        loop {
            match wire.next().await {
                Said::Key(body) => {
                    key = body
                        .split_first_chunk()
                        .and_then(|(pid, secret)| BackendKey::new(u32::from_be_bytes(*pid), secret));
                }
                Said::Ready => {
                    return key.map(|key| Session { wire, key, name, prepared: Vec::new() });
                }
                Said::Error(_) | Said::Gone { .. } => return None,
                Said::Setting(setting, value) if setting == "application_name" && value != name => {
                    self.violated(format!("was told application_name = {value} at its login"));
                }
                _ => {}
            }
        }
    }

    pub(crate) fn violated(&self, what: String) {
        let mut world = self.world.lock();
        world.violated(format!("client {}: {what}", self.number));
    }

    /// Thinks, and then does one thing.
    async fn work(&mut self, session: &mut Session) -> Result<(), Over> {
        let calm = *self.phase.borrow() == Phase::Calm;
        let long = self.rng.chance(15) && !calm;
        let pause = match (long, calm) {
            (true, _) => self.rng.within(200, 2500),
            (_, true) => self.rng.within(50, 500),
            _ => self.rng.within(1, 200),
        };
        tokio::select! {
            biased;
            () = sleep(Duration::from_millis(pause)) => {}
            said = session.wire.next() => match said {
                Said::Setting(..) => {}
                Said::Error(error) if self.keeps_server || self.world.lock().is_stopping => {
                    self.cut(&error);
                    return Err(Over);
                }
                said => {
                    self.violated(format!("was disturbed while it was idle: {said:?}"));
                    return Err(Over);
                }
            },
        }
        if self.count % 6 == 5 && self.world.lock().shape.more {
            return self.rename(session).await;
        }
        let kind = self.rng.below(if calm { 60 } else { 100 });
        match (self.purpose, kind) {
            (Purpose::Write, 0..10) if self.extras.is_consistent() => self.select(session).await,
            (Purpose::Write, 0..35) => self.insert(session).await,
            (Purpose::Write, 35..60) => self.insert_prepared(session).await,
            (Purpose::Write, 60..85) => self.block(session).await,
            (Purpose::Write, 85..90) => self.pipelined_block(session).await,
            (Purpose::Read, 0..60) => self.select(session).await,
            (Purpose::Read, 60..90) => self.select_prepared(session).await,
            (Purpose::Split, 0..90) => self.split(session, kind).await,
            (_, 90..96) => self.cancelled(session).await,
            _ => self.vanish(session).await,
        }
    }

    pub(crate) fn next_row(&mut self) -> Row {
        self.count += 1;
        let row = (self.number, self.count);
        self.world.lock().ledger.promises.asks(row);
        row
    }

    /// Changes a setting, which every row must show from then on, whichever server answers.
    async fn rename(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let name = format!("c{}x{}", self.number, self.count);
        let before = std::mem::replace(&mut session.name, name.clone());
        self.send(session, &query(&format!("SET application_name TO '{name}'"))).await;
        let outcome = self.outcome(session, row, 1).await;
        if matches!(outcome, Outcome::Answered(Some(_))) {
            session.name = before;
        }
        self.world.lock().ledger.count.renamed += 1;
        if let Outcome::Over(_) = outcome { Err(Over) } else { Ok(()) }
    }

    pub(crate) async fn insert(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let (client, number) = row;
        let text = format!("INSERT INTO t VALUES ({client}, {number}) RETURNING client, number");
        self.send(session, &query(&text)).await;
        let outcome = self.outcome(session, row, 1).await;
        self.settle(&[row], row, outcome)
    }

    pub(crate) async fn insert_prepared(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        const TEXT: &str = "INSERT INTO t VALUES ($1, $2) RETURNING client, number";
        let bytes = self.prepared(session, "ins", TEXT, row);
        self.send(session, &bytes).await;
        let outcome = self.outcome(session, row, 1).await;
        if matches!(outcome, Outcome::Answered(Some(_))) {
            session.prepared.clear();
        }
        self.settle(&[row], row, outcome)
    }

    /// Named or unnamed, parsed before or not.
    fn prepared(&mut self, session: &mut Session, name: &'static str, text: &str, row: Row) -> Vec<u8> {
        if self.rng.chance(30) {
            return [parse("", text), run("", row)].concat();
        }
        if session.prepared.contains(&name) {
            return run(name, row);
        }
        session.prepared.push(name);
        // After an error it is not known whether the name is taken: close it, which is never an error.
        let mut bytes = Vec::new();
        pgsteer::wire::frame::put(&mut bytes, b'C', |out| {
            out.extend_from_slice(format!("S{name}\0").as_bytes())
        });
        bytes.extend(parse(name, text));
        bytes.extend(run(name, row));
        bytes
    }

    /// A block of inserts, committed or rolled back.
    pub(crate) async fn block(&mut self, session: &mut Session) -> Result<(), Over> {
        let begin = self.next_row();
        self.send(session, &query(&format!("BEGIN /* {}:{} */", begin.0, begin.1))).await;
        let outcome = self.outcome(session, begin, 1).await;
        if matches!(outcome, Outcome::Answered(Some(_)) | Outcome::Over(_)) {
            return self.in_vain(&[], outcome);
        }
        let mut rows = Vec::new();
        for _ in 0..self.rng.within(1, 3) {
            let row = self.next_row();
            rows.push(row);
            let text = format!("INSERT INTO t VALUES ({}, {}) RETURNING client, number", row.0, row.1);
            self.send(session, &query(&text)).await;
            let outcome = self.outcome(session, row, 1).await;
            if let Outcome::Over(_) = outcome {
                return self.in_vain(&rows, outcome);
            }
            let pause = self.rng.within(0, 120);
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(pause)) => {}
                said = session.wire.next() => {
                    let outcome = self.word(said);
                    return self.in_vain(&rows, outcome);
                }
            }
        }
        if self.rng.chance(5) {
            // Gone without a word.
            self.tell(&rows, Told::NotCommitted);
            return Err(Over);
        }
        let end = self.next_row();
        let commits = self.rng.chance(85);
        let word = if commits { "COMMIT" } else { "ROLLBACK" };
        let text = format!("{word} /* {}:{} */", end.0, end.1);
        let sequence = self.extras.commit_fate && self.rng.chance(40);
        self.send(session, &if sequence { once(&text) } else { query(&text) }).await;
        let outcome = self.outcome(session, end, 1).await;
        if commits { self.settle(&rows, end, outcome) } else { self.in_vain(&rows, outcome) }
    }

    /// A whole block at once.
    pub(crate) async fn pipelined_block(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let (client, number) = row;
        let mut bytes = query(&format!("BEGIN /* {client}:{number} */"));
        bytes.extend(query(&format!("INSERT INTO t VALUES ({client}, {number}) RETURNING client, number")));
        bytes.extend(query(&format!("COMMIT /* {client}:{number} */")));
        self.send(session, &bytes).await;
        let outcome = self.outcome(session, row, 3).await;
        if matches!(&outcome, Outcome::Answered(Some(error)) if error.code == SqlState::WRITE_LOST) {
            // Only its BEGIN was refused: without that the insert was one by itself.
            self.tell(&[row], Told::Unknown);
            return Ok(());
        }
        self.settle(&[row], row, outcome)
    }

    pub(crate) async fn select(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        self.send(session, &query(&format!("SELECT {}, {}", row.0, row.1))).await;
        let outcome = self.outcome(session, row, 1).await;
        self.settle(&[], row, outcome)
    }

    pub(crate) async fn select_prepared(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let bytes = self.prepared(session, "sel", "SELECT $1, $2", row);
        self.send(session, &bytes).await;
        let outcome = self.outcome(session, row, 1).await;
        if matches!(outcome, Outcome::Answered(Some(_))) {
            session.prepared.clear();
        }
        self.settle(&[], row, outcome)
    }

    /// Something long, which may be cancelled.
    async fn cancelled(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let length = self.rng.within(5, 400);
        self.send(session, &query(&format!("SELECT {}, {}, pg_sleep({length})", row.0, row.1))).await;
        let patience = self.rng.within(1, 400);
        let mut request = Vec::new();
        session.key.encode_cancel(&mut request);
        let asker = self.connect();
        self.world.lock().ledger.unwanted.insert(row);
        let world = self.world.clone();
        let number = self.number;
        let ask = tokio::spawn(async move {
            sleep(Duration::from_millis(patience)).await;
            let mut asker = asker;
            asker.send(&request).await;
            // The end says that it has been done.
            while !matches!(asker.next().await, Said::Gone { .. }) {}
            world.lock().note("asked to cancel", number as usize, 0);
        });
        let outcome = self.outcome(session, row, 1).await;
        // The next statement must not be hit by a request that is still on its way.
        let _asked = ask.await;
        self.settle(&[], row, outcome)
    }

    /// Leaves in the middle of something.
    async fn vanish(&mut self, session: &mut Session) -> Result<(), Over> {
        let row = self.next_row();
        let text = match self.purpose {
            Purpose::Write | Purpose::Split => {
                format!("INSERT INTO t VALUES ({}, {}) RETURNING client, number", row.0, row.1)
            }
            Purpose::Read => format!("SELECT {}, {}, pg_sleep(200)", row.0, row.1),
        };
        self.send(session, &query(&text)).await;
        let pause = self.rng.within(0, 5);
        sleep(Duration::from_millis(pause)).await;
        // Whoever leaves something running must expect that it is cancelled.
        self.world.lock().ledger.unwanted.insert(row);
        if self.purpose != Purpose::Read {
            self.tell(&[row], Told::Unknown);
        }
        Err(Over)
    }

    pub(crate) async fn send(&self, session: &mut Session, bytes: &[u8]) {
        session.wire.send(bytes).await;
        let mut world = self.world.lock();
        if let Some(length) = world.store.suspend_next.take() {
            world.suspend(length);
        }
    }
}
