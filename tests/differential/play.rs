//! Plays a script, in one of several ways.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::BytesMut;
use pgsteer_testkit::{Login, Result};
use postgres_protocol::message::frontend;

use crate::client::{Client, Message};
use crate::modes::{Ground, Mode};
use crate::script::{Copied, Script, What};

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As simple queries.
    Simple,
    /// Parse, Bind, Describe, Execute, Sync at once, without names.
    Unnamed,
    /// Parse and Describe in one round trip, Bind and Execute in the next, without names.
    UnnamedApart,
    /// The same with names, each statement executed twice.
    Named,
    /// The steps of a session that follow one another sent at once, each with its Sync.
    Pipelined,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::Simple, Self::Unnamed, Self::UnnamedApart, Self::Named, Self::Pipelined];
}

/// What a session was told in one step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The number of the step, or nothing for what a session is told at its beginning and in the end.
    pub(crate) step: Option<usize>,
    pub(crate) session: String,
    pub(crate) messages: Vec<Message>,
}

impl Told {
    /// The same with other messages.
    pub(crate) fn with(&self, messages: Vec<Message>) -> Self {
        Self { step: self.step, session: self.session.clone(), messages }
    }
}

/// A script, where to play it, and how.
pub(crate) struct Stage<'a> {
    ground: &'a Ground,
    script: &'a Script,
    way: Way,
}

const DATABASES: [&str; 2] = ["directly", "through"];

impl<'a> Stage<'a> {
    pub(crate) const fn new(ground: &'a Ground, script: &'a Script, way: Way) -> Self {
        Self { ground, script, way }
    }

    pub(crate) async fn directly(&self) -> Result<Vec<Told>> {
        self.empty(DATABASES[0]).await?;
        let mut play = Play::new(self.ground.single.server.address, DATABASES[0], None);
        play.all(self.script, self.way).await
    }

    /// With another client in between, which leaves other settings everywhere.
    pub(crate) async fn through(&self, mode: Mode) -> Result<Vec<Told>> {
        self.empty(DATABASES[1]).await?;
        let other = Other::connect(self.ground.address(Mode::Transaction), DATABASES[1]).await?;
        let mut play = Play::new(self.ground.address(mode), DATABASES[1], Some((other, mode)));
        play.all(self.script, self.way).await
    }

    async fn empty(&self, database: &str) -> Result {
        let superuser = self.ground.single.server.superuser().await?;
        superuser.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
        Ok(superuser.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0")).await?)
    }
}

/// The client in between.
struct Other(Client);

impl Other {
    const SETTINGS: &'static str = "
        SET TimeZone TO 'Pacific/Chatham'; SET DateStyle TO 'German'; SET IntervalStyle TO 'iso_8601';
        SET search_path TO pg_catalog; SET extra_float_digits TO -3; SET bytea_output TO 'escape';
        SET application_name TO 'the other'; SET client_encoding TO 'LATIN1'; SET work_mem TO '3MB';
        SET lc_numeric TO 'C'; SET statement_timeout TO '1h';
        SET default_transaction_isolation TO 'serializable'; SET client_min_messages TO error;
        SELECT set_config('other.variable', 'the other''s', false);
        SELECT set_config('standard_conforming_strings', 'off', false)
            WHERE current_setting('server_version_num')::int < 190000; -- which knows no other strings
        PREPARE p AS SELECT 'the other''s'; PREPARE s0 AS SELECT 'the other''s'; SET ROLE pg_monitor";

    async fn connect(at: SocketAddr, database: &str) -> Result<Self> {
        let (client, _) = Client::connect(at, &parameters(database, "in between")).await?;
        let mut other = Self(client);
        other.ask(Self::SETTINGS).await?;
        Ok(other)
    }

    /// Runs on a few servers, one after the other.
    async fn acts(&mut self) -> Result {
        for _ in 0..2 {
            self.ask("SELECT current_setting('other.variable')").await?;
        }
        Ok(())
    }

    async fn ask(&mut self, sql: &str) -> Result {
        let mut bytes = BytesMut::new();
        frontend::query(sql, &mut bytes)?;
        self.0.send(&bytes).await?;
        let answers = self.0.until_ready(None).await?;
        anyhow::ensure!(answers.iter().all(|message| message.tag != b'E'), "the other client: {answers:?}");
        Ok(())
    }
}

fn parameters<'a>(database: &'a str, name: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("user", Login::POSTGRES.user),
        ("database", database),
        ("client_encoding", "UTF8"),
        ("application_name", name),
        ("DateStyle", "SQL, DMY"),
    ]
}

struct Play<'a> {
    at: SocketAddr,
    database: &'a str,
    sessions: BTreeMap<String, Client>,
    /// The client in between, and the mode of the script's sessions.
    other: Option<(Other, Mode)>,
    told: Vec<Told>,
    /// Their names, by process id.
    pids: BTreeMap<i32, String>,
}

impl<'a> Play<'a> {
    const fn new(at: SocketAddr, database: &'a str, other: Option<(Other, Mode)>) -> Self {
        Self { at, database, sessions: BTreeMap::new(), other, told: Vec::new(), pids: BTreeMap::new() }
    }

    async fn all(&mut self, script: &Script, way: Way) -> Result<Vec<Told>> {
        let mut number = 0;
        while number < script.steps.len() {
            let begins = !self.sessions.contains_key(&script.steps[number].session);
            self.between(begins).await?;
            let after = self.step(script, number, way).await?;
            number = after;
        }
        for (name, client) in std::mem::take(&mut self.sessions) {
            self.ends(name, client).await?;
        }
        let mut told = std::mem::take(&mut self.told);
        self.name_senders(&mut told);
        Ok(told)
    }

    /// The other client acts, on servers that may be the next one of a session of the script.
    async fn between(&mut self, begins: bool) -> Result {
        match &mut self.other {
            Some((other, mode)) if begins || *mode != Mode::Session => other.acts().await,
            _ => Ok(()),
        }
    }

    /// Plays a step, or several that are sent at once; the answer is which is next.
    async fn step(&mut self, script: &Script, number: usize, way: Way) -> Result<usize> {
        let step = &script.steps[number];
        let mut after = number + 1;
        let name = step.session.clone();
        self.connected(&name).await?;
        match &step.what {
            What::Leaves => {
                if let Some(client) = self.sessions.remove(&name) {
                    self.ends(name, client).await?;
                }
            }
            What::Hears(many) => self.client(&name).hears(*many).await?,
            What::SimpleStatement { text, copied } => {
                self.simple(number, &name, text, copied.as_ref()).await?
            }
            What::Statement { text, copied } => match way {
                Way::Simple => self.simple(number, &name, text, copied.as_ref()).await?,
                Way::Unnamed => self.trip(number, &name, whole(text)?, 1, copied.as_ref()).await?,
                Way::UnnamedApart => self.apart(number, &name, "", text, copied.as_ref()).await?,
                Way::Named => {
                    let statement = format!("s{number}");
                    self.apart(number, &name, &statement, text, copied.as_ref()).await?;
                    self.trip(number, &name, executed(&statement)?, 1, copied.as_ref()).await?;
                }
                Way::Pipelined => {
                    after = following(script, number);
                    let mut bytes = BytesMut::new();
                    for step in &script.steps[number..after] {
                        if let What::Statement { text, .. } = &step.what {
                            bytes.extend_from_slice(&whole(text)?);
                        }
                    }
                    self.trip(number, &name, bytes, after - number, copied.as_ref()).await?;
                }
            },
        }
        Ok(after)
    }

    async fn connected(&mut self, name: &str) -> Result {
        if !self.sessions.contains_key(name) {
            let (client, messages) = Client::connect(self.at, &parameters(self.database, name)).await?;
            self.pids.insert(client.pid, name.to_owned());
            self.sessions.insert(name.to_owned(), client);
            self.told.push(Told { step: None, session: name.to_owned(), messages });
        }
        Ok(())
    }

    #[expect(clippy::unwrap_used, reason = "connected above")]
    fn client(&mut self, name: &str) -> &mut Client {
        self.sessions.get_mut(name).unwrap()
    }

    async fn simple(&mut self, number: usize, name: &str, text: &str, copied: Option<&Copied>) -> Result {
        let mut bytes = BytesMut::new();
        frontend::query(text, &mut bytes)?;
        self.trip(number, name, bytes, 1, copied).await
    }

    async fn apart(
        &mut self,
        number: usize,
        name: &str,
        statement: &str,
        text: &str,
        copied: Option<&Copied>,
    ) -> Result {
        let mut bytes = BytesMut::new();
        frontend::parse(statement, text, [], &mut bytes)?;
        frontend::describe(b'S', statement, &mut bytes)?;
        frontend::sync(&mut bytes);
        self.trip(number, name, bytes, 1, None).await?;
        self.between(false).await?;
        self.trip(number, name, executed(statement)?, 1, copied).await
    }

    /// Sends it, and notes what comes back up to as many `ReadyForQuery`.
    async fn trip(
        &mut self,
        number: usize,
        name: &str,
        bytes: BytesMut,
        ends: usize,
        copied: Option<&Copied>,
    ) -> Result {
        let client = self.client(name);
        client.send(&bytes).await?;
        let mut messages = Vec::new();
        for _ in 0..ends {
            messages.extend(client.until_ready(copied).await?);
        }
        self.told.push(Told { step: Some(number), session: name.to_owned(), messages });
        Ok(())
    }

    async fn ends(&mut self, session: String, mut client: Client) -> Result {
        let messages = std::mem::take(&mut client.heard);
        self.told.push(Told { step: None, session, messages });
        client.leave().await
    }

    /// Process ids of sessions become their numbers in order of appearance, which both sides share.
    fn name_senders(&self, told: &mut [Told]) {
        for message in
            told.iter_mut().flat_map(|told| &mut told.messages).filter(|message| message.tag == b'A')
        {
            let pid = message.body.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
            let name = pid.and_then(|pid| self.pids.get(&pid)).map_or("somebody else", String::as_str);
            message.body.splice(..4, name.bytes().chain([b' ']));
        }
    }
}

/// Up to where the steps are one session's statements without a COPY's data, which would have to wait.
fn following(script: &Script, first: usize) -> usize {
    let session = &script.steps[first].session;
    let goes_on = |step: &&crate::script::Step| {
        step.session == *session && matches!(step.what, What::Statement { copied: None, .. })
    };
    first + script.steps[first..].iter().take_while(goes_on).count().clamp(1, 4)
}

/// A whole statement without a name.
fn whole(text: &str) -> Result<BytesMut> {
    let mut bytes = BytesMut::new();
    frontend::parse("", text, [], &mut bytes)?;
    bytes.extend_from_slice(&executed("")?);
    Ok(bytes)
}

fn executed(statement: &str) -> Result<BytesMut> {
    let mut bytes = BytesMut::new();
    let bound = frontend::bind(
        "",
        statement,
        [],
        [(); 0],
        |(), _| Ok(postgres_protocol::IsNull::Yes),
        [],
        &mut bytes,
    );
    bound.map_err(|_| anyhow::anyhow!("Bind"))?;
    frontend::describe(b'P', "", &mut bytes)?;
    frontend::execute("", 0, &mut bytes)?;
    frontend::sync(&mut bytes);
    Ok(bytes)
}
