//! ZooKeeper.
//!
//! Two sessions with one server. One reads everything, after a `sync` that brings that server up to the newest change;
//! the other leaves watches and waits for their events. Only reading is needed, so the protocol's few messages for
//! that are spoken here (`jute`).
//!
//! **The right to write.** The leader key is an ephemeral node: it goes with its holder's session, of which others
//! see neither the timeout nor when it was last renewed. So the right lasts from one reading to the next and no
//! longer (see `hearsay`).

mod connection;
mod jute;

use std::{collections::BTreeMap, convert::Infallible};

use self::{
    connection::Connection,
    jute::{Content, Operation},
};
use super::{
    follow::{Found, Link, Pace, READ_TIMEOUT, Reading, Source, Waker, Wakes, hearsay, within},
    keys::{Entry, Keys},
    nothing,
    policy::{Reach, StorePolicy},
};
use crate::{clock::Clock, net::secured::Secured};

/// The keys that are read, besides the members.
const KEYS: [&str; 6] = ["initialize", "config", "sync", "failover", "leader", "failsafe"];
/// The keys whose change cannot wait for the next reading.
const WATCHED: [&str; 4] = ["leader", "failover", "sync", "config"];
/// Most names below a node that are looked at.
const NAMES_MAX: usize = 256;

/// A cluster's keys in ZooKeeper.
#[derive(Debug)]
pub struct ZooKeeperStore {
    policy: StorePolicy,
    servers: Vec<Secured>,
    clock: Clock,
}

impl ZooKeeperStore {
    /// A store that is read as `reach` says.
    ///
    /// # Errors
    /// An endpoint cannot be used; a sentence that says which.
    pub fn new(reach: &Reach, clock: Clock) -> Result<Self, String> {
        Ok(Self { servers: reach.secured()?, policy: reach.policy.clone(), clock })
    }
}

impl Source for ZooKeeperStore {
    type Link = Server;

    fn clock(&self) -> Clock {
        self.clock
    }

    fn endpoints(&self) -> Vec<String> {
        self.policy.endpoints.clone()
    }

    async fn open(&self, endpoint: usize) -> Result<Server, String> {
        let server = self.servers[endpoint].clone();
        let login = self.policy.login.as_ref().map(|(user, password)| format!("{user}:{password}"));
        let reading = Connection::open(&server, login.as_deref()).await?;
        Ok(Server { server, login, reading, policy: self.policy.clone(), clock: self.clock })
    }

    fn pace(&self) -> Pace {
        Pace::watched(self.policy.reread_interval)
    }
}

/// One server of ZooKeeper.
pub(super) struct Server {
    server: Secured,
    login: Option<String>,
    reading: Connection,
    policy: StorePolicy,
    clock: Clock,
}

impl Link for Server {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        let prefix = self.policy.prefix();
        let folder = prefix.trim_end_matches('/');
        self.reading.ask(Operation::Sync, folder, false, |_| Ok(())).await?;
        let Some(names) = self.names(folder).await? else {
            let scopes = self.names(parent(&self.policy.namespace_path())).await?.unwrap_or_default();
            return Ok(Found::Nothing(nothing::found("ZooKeeper", &self.policy, &scopes)));
        };
        let mut wanted: Vec<String> = KEYS
            .iter()
            .filter(|key| names.iter().any(|name| name == *key))
            .map(|key| (*key).to_owned())
            .collect();
        let members = self.names(&format!("{folder}/members")).await?.unwrap_or_default();
        wanted.extend(members.iter().map(|name| format!("members/{name}")));
        let mut keys = BTreeMap::new();
        let mut is_held = false;
        for name in wanted {
            // What is gone meanwhile is not there.
            let Some(content) = self.content(&format!("{folder}/{name}")).await? else { continue };
            is_held |= name == "leader" && content.owner != 0;
            let revision = u64::try_from(content.created).unwrap_or_default();
            keys.insert(name, Entry { value: content.text, revision, lease: 0 });
        }
        let revision = u64::try_from(self.reading.zxid).unwrap_or_default();
        let right_until = is_held.then(|| hearsay(asked_at, self.policy.reread_interval));
        Ok(Found::Cluster(Reading { asked_at, revision, keys: Keys(keys), right_until }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        let watching = Connection::open(&self.server, self.login.as_deref()).await?;
        let folder = self.policy.prefix().trim_end_matches('/').to_owned();
        Ok(Some(Wakes::spawn(|wake| watch_on(watching, folder, wake))))
    }
}

impl Server {
    async fn names(&mut self, path: &str) -> Result<Option<Vec<String>>, String> {
        let names =
            self.reading.ask(Operation::GetChildren, path, false, |rest| jute::children(rest, NAMES_MAX));
        let mut names = names.await?;
        if let Some(names) = &mut names {
            names.sort();
        }
        Ok(names)
    }

    async fn content(&mut self, path: &str) -> Result<Option<Content>, String> {
        self.reading.ask(Operation::GetData, path, false, Content::read).await
    }
}

/// A folder's path without the slash at its end, which only the root has.
fn parent(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// Leaves watches, wakes, and waits for an event. In this order: whoever is woken reads what came before the watch.
async fn watch_on(mut watching: Connection, folder: String, wake: Waker) -> Result<Infallible, String> {
    loop {
        let left = async {
            for key in WATCHED {
                watching.ask(Operation::Exists, &format!("{folder}/{key}"), true, |_| Ok(())).await?;
            }
            let members = format!("{folder}/members");
            let listed = watching.ask(Operation::GetChildren, &members, true, |_| Ok(())).await?;
            if listed.is_none() {
                watching.ask(Operation::Exists, &members, true, |_| Ok(())).await?;
            }
            Ok(())
        };
        within(READ_TIMEOUT, left).await?;
        wake.wake();
        watching.event().await?;
    }
}
