//! Scripts, and how they are played.
//!
//! ```text
//! C> Query "select 1"          client C says (messages in one write)
//! >a1 Query "select 1"         the first server of member a hears
//! a1< CommandComplete "SELECT 1" | ReadyForQuery I
//! <C CommandComplete "SELECT 1" | ReadyForQuery I
//! ```
//! `nothing` and `end` can be heard too (also `inside` a message); `close` ends a connection, `half` only what is
//! said on it. What is not
//! expected must not come: at the end of a script nobody has anything left to hear.
//!
//! Everything else is a word to the world: see [`Play::direct`].

use std::{collections::BTreeMap, time::Duration};

use pgsteer::{client::registry::Order, pool::account::PoolMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::{
    notation::{Side, encode, matches, split, take},
    world::{Setup, World},
};

/// How long (of paused time) nothing must come for nothing to come.
const SILENCE: Duration = Duration::from_millis(2);

/// In what pieces scripts are said.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    /// Of so many bytes, each dealt with before the next is sent.
    Of(usize),
}

struct Peer {
    stream: Option<DuplexStream>,
    side: Side,
    heard: Vec<u8>,
}

pub(crate) struct Play {
    world: World,
    peers: BTreeMap<String, Peer>,
    pieces: Pieces,
}

/// Plays a script with default settings, whole and byte by byte.
pub(crate) fn check(script: &str) {
    check_with(|_| {}, script);
}

/// Plays a script, whole and byte by byte, with settings of its own.
pub(crate) fn check_with(change: impl Fn(&mut Setup), script: &str) {
    for pieces in [Pieces::Whole, Pieces::Of(1)] {
        play(&change, script, pieces);
    }
}

/// Plays a script whose messages come whole.
pub(crate) fn check_whole(change: impl Fn(&mut Setup), script: &str) {
    play(&change, script, Pieces::Whole);
}

fn play(change: impl Fn(&mut Setup), script: &str, pieces: Pieces) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut setup = Setup::default();
        change(&mut setup);
        let mut play = Play { world: World::new(&setup), peers: BTreeMap::new(), pieces };
        for (number, line) in script.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(why) = play.line(line).await {
                panic!("line {} ({pieces:?}): {line}\n  {why}\n{script}", number + 1);
            }
        }
        if let Err(why) = play.end().await {
            panic!("at the end ({pieces:?}): {why}\n{script}");
        }
    });
}

impl Play {
    async fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(client) = word.strip_suffix('>') {
            self.say(client, Side::Client, rest).await
        } else if let Some(server) = word.strip_suffix('<') {
            self.say(server, Side::Server, rest).await
        } else if let Some(server) = word.strip_prefix('>') {
            self.expect(server, Side::Client, rest).await
        } else if let Some(client) = word.strip_prefix('<') {
            self.expect(client, Side::Server, rest).await
        } else {
            self.direct(word, rest).await
        }
    }

    /// Words to the world.
    async fn direct(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let pairs = || rest.split(' ').filter_map(|pair| pair.split_once('=')).collect::<Vec<_>>();
        let expect = |actual: String| {
            if actual == rest { Ok(()) } else { Err(format!("it is {actual}")) }
        };
        match word {
            // Time passes.
            "wait" => {
                let (count, unit) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic()).unwrap());
                let count: u64 = count.parse().unwrap();
                let time =
                    if unit == "s" { Duration::from_secs(count) } else { Duration::from_millis(count) };
                tokio::time::sleep(time).await;
            }
            // A client comes by a listener in session mode.
            "session" => self.enter(rest, &[], &[], Some(PoolMode::Session)),
            // A client comes, with settings of its start-up: followed ones, and (behind `options`) others.
            "client" => {
                let (name, settings) = rest.split_once(' ').unwrap_or((rest, ""));
                let (followed, others) = settings.split_once("options").unwrap_or((settings, ""));
                let followed: Vec<_> = followed.split(' ').filter_map(|pair| pair.split_once('=')).collect();
                let others: Vec<_> = others.split(' ').filter_map(|pair| pair.split_once('=')).collect();
                self.enter(name, &followed, &others, None);
            }
            // What servers report at logins from now on.
            "report" => pairs().into_iter().for_each(|(name, value)| self.world.servers.report(name, value)),
            "route" => self.world.route(rest),
            // How far replicas have come, and where timelines fork.
            "learn" => self.world.learn(rest),
            "told" => self.world.told(rest),
            "seeks" => return expect(self.world.seeks().to_string()),
            "fence" => self.world.fence(rest),
            "down" | "up" => self.world.servers.set_down(rest, word == "down"),
            "stuck" | "unstuck" => self.world.servers.set_stuck(rest, word == "stuck"),
            // Logins are answered with this message; with nothing they succeed again.
            "refuse" => {
                let error = (!rest.is_empty()).then(|| encode(Side::Server, rest));
                self.world.servers.refuse(error);
            }
            // A cancel request with a client's key; and for which server one came.
            "cancel" => self.world.cancel(rest),
            "cancelled" => {
                tokio::time::sleep(SILENCE).await;
                return expect(self.world.servers.take_cancel().unwrap_or_default());
            }
            "hold" | "release" => self.world.servers.hold_cancels(word == "hold"),
            "drain" | "terminate" => self.world.tell(rest, order(word)),
            // What must be true now.
            "login" => {
                let words = split(rest).remove(0);
                self.claim(&words[0]).await?;
                let login = self.world.servers.login(&words[0]).unwrap();
                return if login == words[1] { Ok(()) } else { Err(format!("it is {login}")) };
            }
            "pool" => {
                tokio::time::sleep(SILENCE).await;
                let (member, gauges) = rest.split_once(' ').unwrap();
                let actual = self.world.gauges(member);
                let missing = gauges.split(' ').find(|gauge| !actual.split(' ').any(|other| other == *gauge));
                return missing.map_or(Ok(()), |missing| Err(format!("{missing}: it is {actual}")));
            }
            "activity" => {
                tokio::time::sleep(SILENCE).await;
                let (client, activity) = rest.split_once(' ').unwrap();
                let actual = self.world.activity(client);
                return if actual == activity { Ok(()) } else { Err(format!("it is {actual}")) };
            }
            // A client's transaction is younger than so many milliseconds.
            "young" => {
                tokio::time::sleep(SILENCE).await;
                let (client, limit) = rest.split_once(' ').unwrap();
                let age = self.world.transaction_age(client);
                let young = age.is_some_and(|age| age < limit.parse().unwrap());
                return if young { Ok(()) } else { Err(format!("it is {age:?}")) };
            }
            _ => panic!("what is {word}?"),
        }
        Ok(())
    }

    fn enter(
        &mut self,
        name: &str,
        followed: &[(&str, &str)],
        others: &[(&str, &str)],
        mode: Option<PoolMode>,
    ) {
        let stream = self.world.client(name, followed, others, mode);
        self.peers
            .insert(name.to_owned(), Peer { stream: Some(stream), side: Side::Server, heard: Vec::new() });
    }

    /// Makes sure that this client or server is there.
    async fn claim(&mut self, name: &str) -> Result<&mut Peer, String> {
        if !self.peers.contains_key(name) {
            if name.starts_with(char::is_uppercase) {
                self.enter(name, &[], &[], None);
            } else {
                tokio::time::sleep(SILENCE).await;
                let stream =
                    self.world.servers.take(name).ok_or_else(|| format!("there is no server {name}"))?;
                let peer = Peer { stream: Some(stream), side: Side::Client, heard: Vec::new() };
                self.peers.insert(name.to_owned(), peer);
            }
        }
        Ok(self.peers.get_mut(name).unwrap())
    }

    async fn say(&mut self, name: &str, side: Side, what: &str) -> Result<(), String> {
        let pieces = self.pieces;
        let peer = self.claim(name).await?;
        if what == "close" {
            peer.stream = None;
            return Ok(());
        }
        let stream = peer.stream.as_mut().ok_or("it has gone")?;
        if what == "half" {
            return stream.shutdown().await.map_err(|error| error.to_string());
        }
        let bytes = encode(side, what);
        let size = match pieces {
            Pieces::Whole => bytes.len(),
            // Long ones would take for ever.
            Pieces::Of(size) => size.max(bytes.len() / 512),
        };
        for piece in bytes.chunks(size.max(1)) {
            let written = tokio::time::timeout(Duration::from_secs(1), stream.write_all(piece)).await;
            written.map_err(|_| "it does not read")?.map_err(|error| error.to_string())?;
            if matches!(pieces, Pieces::Of(_)) {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    async fn expect(&mut self, name: &str, side: Side, what: &str) -> Result<(), String> {
        let peer = self.claim(name).await?;
        assert_eq!(peer.side, side, "{name}");
        for expected in split(what) {
            let heard = peer.hear().await;
            if !matches(&expected, &heard) {
                return Err(format!("expected {expected:?}, heard {heard}"));
            }
        }
        Ok(())
    }

    /// Nobody has anything left to hear, and no server is there that the script does not know of.
    async fn end(&mut self) -> Result<(), String> {
        for (name, peer) in &mut self.peers {
            if peer.stream.is_some() {
                let heard = peer.hear().await;
                if heard != "nothing" {
                    return Err(format!("{name} hears {heard}"));
                }
            }
        }
        let unclaimed = self.world.servers.unclaimed();
        if !unclaimed.is_empty() {
            return Err(format!("servers {unclaimed:?} were opened"));
        }
        match self.world.servers.take_cancel() {
            Some(server) => Err(format!("a cancel request came for {server}")),
            None => Ok(()),
        }
    }
}

/// What a session is told.
fn order(word: &str) -> Order {
    if word == "drain" { Order::Drain } else { Order::Terminate }
}

impl Peer {
    /// The next message, or `nothing`, or `end`.
    async fn hear(&mut self) -> String {
        loop {
            if let Some(message) = take(self.side, &mut self.heard) {
                return message;
            }
            let Some(stream) = &mut self.stream else { return "nothing: it has gone itself".to_owned() };
            match tokio::time::timeout(SILENCE, stream.read_buf(&mut self.heard)).await {
                Err(_) if self.heard.is_empty() => return "nothing".to_owned(),
                Err(_) => return format!("nothing inside {:?}", self.heard.escape_ascii().to_string()),
                Ok(Ok(0) | Err(_)) => {
                    self.stream = None;
                    if self.heard.is_empty() {
                        return "end".to_owned();
                    }
                    return format!("end inside {:?}", self.heard.escape_ascii().to_string());
                }
                Ok(Ok(_)) => {}
            }
        }
    }
}
