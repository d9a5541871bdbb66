//! The machines between a client and a server, without a session around them: conversations, cut at every offset.
//!
//! As in scripts of sessions, `C>` is what a client says, `>s` what a server hears, `s<` what a server says and `<C`
//! what a client hears; what is not expected before the client speaks again must not come. `C on s` gives the client
//! that server; it begins with one client `C` on one server `s`. Other words are what must be true then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pgsteer::{
    clock::Moment,
    net::Stream,
    server::conn::{Hygiene, ServerConn},
    session::{
        backend::{Backend, ClientSide},
        frontend::{Frontend, Sequences, Terms, UnnamedPolicy, Vigilance},
        reading::Lexicon,
        readings::Readings,
        tenancy::Tenancy,
    },
    wire::{
        parameters::{Parameters, TRACKED, tracked},
        pipeline::Pipeline,
        schema::Schema,
        state::Carried,
        statements::{Catalog, Scope},
    },
};

use crate::notation::{Side, all, encode, matches, split};

/// What servers report and clients were told.
const AT_START: [&str; TRACKED.len()] =
    ["", "UTF8", "ISO, MDY", "postgres", "UTC", "on", "off", "\"$user\", public"];

struct Client {
    frontend: Frontend,
    parameters: Arc<Parameters>,
    reset_values: Arc<Parameters>,
    state: Carried,
    inbox: Vec<u8>,
    heard: Vec<u8>,
}

struct Server {
    conn: ServerConn,
    said: Vec<u8>,
    heard: Vec<u8>,
}

/// Of one lease.
#[derive(Default)]
struct Lease {
    client: String,
    server: String,
    pipeline: Pipeline,
    backend: Backend,
    tenancy: Tenancy,
}

struct Stage {
    clients: BTreeMap<String, Client>,
    servers: BTreeMap<String, Server>,
    lease: Lease,
    catalog: Catalog,
    readings: Readings,
    max_prepared_statements: usize,
    schema: Arc<Schema>,
    now: Moment,
}

/// How what is said is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    At(usize),
    Everywhere,
}

/// Plays a conversation, with what is said cut in two at every offset, and byte by byte.
pub(crate) fn check(script: &str) {
    let longest = script
        .lines()
        .filter_map(|line| {
            let (word, rest) = line.trim().split_once(' ')?;
            let side = if word.ends_with('>') { Side::Client } else { Side::Server };
            (word.ends_with(['>', '<']) && !word.starts_with(['>', '<'])).then(|| encode(side, rest).len())
        })
        .max()
        .unwrap_or_default();
    let near = |offset: usize| offset.saturating_sub(6)..offset + 6;
    let all_up_to = if longest > 10_000 { 40 } else { longest };
    let offsets = (0..all_up_to).chain(near(65_536)).chain(near(longest)).filter(|at| *at < longest);
    for at in offsets {
        play(script, Cut::At(at));
    }
    if longest < 10_000 {
        play(script, Cut::Everywhere);
    }
}

/// Plays a conversation that is long, once.
pub(crate) fn once(script: &str) {
    play(script, Cut::At(0));
}

fn play(script: &str, cut: Cut) {
    let mut stage = Stage {
        clients: BTreeMap::new(),
        servers: BTreeMap::new(),
        lease: Lease::default(),
        catalog: Catalog::default(),
        readings: Readings::default(),
        max_prepared_statements: 100,
        schema: Arc::default(),
        now: Moment::ZERO,
    };
    stage.lease("C", "s");
    for (number, line) in script.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(why) = stage.line(line, cut) {
            panic!("line {} ({cut:?}): {line}\n  {why}\n{script}", number + 1);
        }
    }
    if let Err(why) = stage.nothing_is_left() {
        panic!("at the end ({cut:?}): {why}\n{script}");
    }
}

impl Stage {
    fn line(&mut self, line: &str, cut: Cut) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(name) = word.strip_prefix('<') {
            let heard = std::mem::take(&mut self.clients.get_mut(name).unwrap().heard);
            return compare(rest, &all(Side::Server, &heard));
        }
        if let Some(name) = word.strip_prefix('>') {
            let heard = std::mem::take(&mut self.servers.get_mut(name).unwrap().heard);
            return compare(rest, &all(Side::Client, &heard));
        }
        if let Some(name) = word.strip_suffix('>') {
            self.nothing_is_left()?;
            assert_eq!(self.lease.client, name);
            for piece in pieces(&encode(Side::Client, rest), cut) {
                self.clients.get_mut(name).unwrap().inbox.extend_from_slice(piece);
                self.read_client();
            }
            return Ok(());
        }
        if let Some(name) = word.strip_suffix('<') {
            // An answer of our own comes as soon as it can, and so depends on the cut.
            self.no_server_hears_more()?;
            assert_eq!(self.lease.server, name);
            for piece in pieces(&encode(Side::Server, rest), cut) {
                self.servers.get_mut(name).unwrap().said.extend_from_slice(piece);
                self.read_server();
                self.read_client();
            }
            return Ok(());
        }
        if let Some(server) = rest.strip_prefix("on ") {
            self.nothing_is_left()?;
            self.lease(word, server);
            return Ok(());
        }
        self.state(word, rest)
    }

    fn state(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let client = &self.clients[&self.lease.client];
        let conn = &self.servers[&self.lease.server].conn;
        let pipeline = &self.lease.pipeline;
        let actual = match word {
            "max" => {
                self.max_prepared_statements = rest.parse().unwrap();
                return Ok(());
            }
            // So many milliseconds pass.
            "wait" => {
                self.now = self.now + Duration::from_millis(rest.parse().unwrap());
                return Ok(());
            }
            // What was a lease's end to the pool: the server was cleaned.
            "cleaned" => {
                let conn = &mut self.servers.get_mut(&self.lease.server).unwrap().conn;
                conn.hygiene = Hygiene::Clean;
                conn.statements.clear();
                return Ok(());
            }
            "free" => pipeline.may_release().to_string(),
            "committed" => pipeline.may_have_committed().to_string(),
            "touched" => self.lease.tenancy.is_touched().to_string(),
            "hygiene" => format!("{:?}", conn.hygiene),
            "prepared" => conn.statements.len().to_string(),
            "named" => client.frontend.statements.len().to_string(),
            "last_word" => format!("{:?}", self.lease.backend.last_word()),
            name => {
                let place = tracked(name).unwrap_or_else(|| panic!("what is {name}?"));
                client.parameters.get(place).map_or_else(String::new, ToString::to_string)
            }
        };
        if actual == rest { Ok(()) } else { Err(format!("it is {actual}")) }
    }

    fn lease(&mut self, client: &str, server: &str) {
        let start = || Arc::new(Parameters::from_reported(TRACKED.into_iter().zip(AT_START)));
        self.clients.entry(client.to_owned()).or_insert_with(|| {
            let parameters = start();
            let reset_values = parameters.clone();
            Client {
                frontend: Frontend::default(),
                parameters,
                reset_values,
                state: Carried::NOTHING,
                inbox: vec![],
                heard: vec![],
            }
        });
        self.servers.entry(server.to_owned()).or_insert_with(|| {
            let stream = Stream::Boxed(Box::new(tokio::io::empty()));
            Server { conn: ServerConn::new(stream, start(), Moment::ZERO), said: vec![], heard: vec![] }
        });
        self.lease = Lease { client: client.to_owned(), server: server.to_owned(), ..Lease::default() };
    }

    fn read_client(&mut self) {
        let Lease { client, server, pipeline, backend, tenancy } = &mut self.lease;
        let number = client.bytes().next().map_or(0, u32::from);
        let client = self.clients.get_mut(client).unwrap();
        let server = self.servers.get_mut(server).unwrap();
        if pipeline.sync_is_due() {
            server.heard.extend_from_slice(b"S\0\0\0\x04");
        }
        let scope: Scope = client.parameters.parse_key().into();
        let terms = Terms {
            client: number,
            catalog: &self.catalog,
            scope: &scope,
            lexicon: Lexicon::of(&client.parameters),
            readings: &self.readings,
            max_prepared_statements: self.max_prepared_statements,
            unnamed: UnnamedPolicy::Map,
            schema: &self.schema,
            now: self.now,
            read_only: false,
            state: &client.state,
            opaque: None,
            vigilance: Vigilance::Suspects,
            sequences: Sequences::Own,
            sequences_are_read: &std::sync::atomic::AtomicBool::new(false),
            temp_buffers_are_set: &std::sync::atomic::AtomicBool::new(false),
            told: None,
        };
        let mut out = Vec::new();
        let forwarded =
            client.frontend.forward(&client.inbox, &mut out, &mut server.conn, pipeline, tenancy, &terms);
        match forwarded {
            Ok(forwarded) => {
                server.heard.extend_from_slice(forwarded.bytes);
                pipeline.sent_bytes(forwarded.bytes);
                client.inbox.drain(..forwarded.taken);
                backend.own_answers(pipeline, &mut client.heard);
            }
            Err(error) => {
                // The session would end here.
                client.inbox.clear();
                error.encode(&mut client.heard);
            }
        }
    }

    fn read_server(&mut self) {
        let Lease { client, server, pipeline, backend, tenancy } = &mut self.lease;
        let client = self.clients.get_mut(client).unwrap();
        let server = self.servers.get_mut(server).unwrap();
        let mut side = ClientSide {
            frontend: &mut client.frontend,
            parameters: &mut client.parameters,
            reset_values: &client.reset_values,
            state: &mut client.state,
            tenancy,
            mode: pgsteer::pool::account::PoolMode::Transaction,
            heard: None,
            client_of: &|_| None,
            catalog: &self.catalog,
        };
        let mut out = Vec::new();
        match backend.forward(&server.said, &mut out, &mut server.conn, pipeline, &mut side) {
            Ok(received) => {
                client.heard.extend_from_slice(received.bytes);
                server.said.drain(..received.taken);
                server.heard.extend(pipeline.take_again().unwrap_or_default());
            }
            Err(fault) => panic!("{fault}"),
        }
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        for (name, client) in &self.clients {
            if !client.heard.is_empty() {
                return Err(format!("{name} hears {:?}", all(Side::Server, &client.heard)));
            }
        }
        self.no_server_hears_more()
    }

    fn no_server_hears_more(&self) -> Result<(), String> {
        for (name, server) in &self.servers {
            if !server.heard.is_empty() {
                return Err(format!("{name} hears {:?}", all(Side::Client, &server.heard)));
            }
        }
        Ok(())
    }
}

fn pieces(bytes: &[u8], cut: Cut) -> Vec<&[u8]> {
    match cut {
        Cut::At(at) => {
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            [head, tail].into_iter().filter(|piece| !piece.is_empty()).collect()
        }
        Cut::Everywhere => bytes.chunks(1).collect(),
    }
}

fn compare(expected: &str, heard: &[String]) -> Result<(), String> {
    let expected = if expected == "nothing" { Vec::new() } else { split(expected) };
    let alike =
        expected.len() == heard.len() && expected.iter().zip(heard).all(|(one, other)| matches(one, other));
    if alike { Ok(()) } else { Err(format!("heard {}", heard.join(" | "))) }
}
