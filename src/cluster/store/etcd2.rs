//! etcd, through its v2 API, which a Patroni uses whose configuration says `etcd:`.
//!
//! Everything is read with `quorum=true`, which goes through etcd's consensus. A long poll watches, on a connection of
//! its own.
//!
//! **The right to write.** A key's time to live is in the same answer as the key: what is left of it when the
//! answer is made, rounded up to a second. So the leader key cannot expire before the question's sending time plus that
//! time less a second, and its holder gives it up earlier only after its PostgreSQL has stopped taking writes.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use hyper::StatusCode;
use serde::Deserialize;

use super::{
    follow::{Found, Link, Pace, READ_TIMEOUT, Reading, Source, Waker, Wakes, within},
    keys::{Entry, Keys},
    nothing,
    policy::{Reach, StorePolicy},
};
use crate::{
    clock::Clock,
    net::http::{Answer, HttpClient, HttpEndpoint, escaped},
};

/// How long a poll waits for a change, before another is begun.
const WAIT: Duration = Duration::from_secs(30);
/// `errorCode` of a key that is not there.
const KEY_NOT_FOUND: u64 = 100;
/// `errorCode` of a poll that begins before what etcd remembers: the last 1000 events.
const INDEX_CLEARED: u64 = 401;
/// Keys lie at most this deep below the scope.
const DEPTH_MAX: usize = 4;

/// A cluster's keys in etcd's v2 store.
#[derive(Debug)]
pub struct Etcd2Store {
    policy: StorePolicy,
    endpoints: Vec<HttpEndpoint>,
    clock: Clock,
}

impl Etcd2Store {
    /// A store that is read as `reach` says.
    ///
    /// # Errors
    /// An endpoint cannot be used; a sentence that says which.
    pub fn new(reach: &Reach, clock: Clock) -> Result<Self, String> {
        Ok(Self { endpoints: reach.http_endpoints()?, policy: reach.policy.clone(), clock })
    }
}

impl Source for Etcd2Store {
    type Link = Server;

    fn clock(&self) -> Clock {
        self.clock
    }

    fn endpoints(&self) -> Vec<String> {
        self.policy.endpoints.clone()
    }

    async fn open(&self, endpoint: usize) -> Result<Server, String> {
        let client = HttpClient::new(self.endpoints[endpoint].clone());
        Ok(Server { client, policy: self.policy.clone(), clock: self.clock })
    }

    fn pace(&self) -> Pace {
        Pace::watched(self.policy.reread_interval)
    }
}

/// One server of etcd.
pub(super) struct Server {
    client: HttpClient,
    policy: StorePolicy,
    clock: Clock,
}

/// A key or a folder as etcd shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    key: Option<String>,
    value: Option<String>,
    /// Seconds left, rounded up.
    ttl: Option<u64>,
    #[serde(default)]
    created_index: u64,
    #[serde(default)]
    modified_index: u64,
    #[serde(default)]
    nodes: Vec<Self>,
}

#[derive(Deserialize)]
struct Event {
    node: Node,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_code: u64,
}

impl Link for Server {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        let prefix = self.policy.prefix();
        let path = format!("{}?recursive=true&quorum=true", path_of(&prefix));
        let answer = self.client.get(&path).await?;
        if answer.status != StatusCode::OK {
            return match refused(&answer) {
                KEY_NOT_FOUND => {
                    let scopes = self.scopes().await?;
                    Ok(Found::Nothing(nothing::found("etcd (v2 API)", &self.policy, &scopes)))
                }
                _ if answer.status == StatusCode::NOT_FOUND => Err(format!(
                    "{}. Does this etcd serve the v2 API (--enable-v2, gone since 3.6)?",
                    answer.refusal()
                )),
                _ => Err(answer.refusal()),
            };
        }
        let revision = index(&answer)?;
        let event: Event =
            serde_json::from_slice(&answer.body).map_err(|error| format!("its answer: {error}"))?;
        let mut nodes = BTreeMap::new();
        flatten(event.node, &prefix, DEPTH_MAX, &mut nodes);
        let left = nodes.get("leader").and_then(|leader: &Node| leader.ttl);
        let right_until = left.map(|ttl| asked_at + Duration::from_secs(ttl.saturating_sub(1)));
        // A renewal writes the key, but does not create it.
        let entry = |node: Node| Entry {
            value: node.value.unwrap_or_default(),
            revision: node.created_index,
            lease: 0,
        };
        let keys = Keys(nodes.into_iter().map(|(name, node)| (name, entry(node))).collect());
        Ok(Found::Cluster(Reading { asked_at, revision, keys, right_until }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        let client = HttpClient::new(self.client.endpoint().clone());
        let path = path_of(&self.policy.prefix());
        Ok(Some(Wakes::spawn(|wake| watching(client, path, wake))))
    }
}

impl Server {
    /// The scopes under the namespace.
    async fn scopes(&mut self) -> Result<Vec<String>, String> {
        let namespace = self.policy.namespace_path();
        let answer = self.client.get(&path_of(&namespace)).await?;
        if answer.status != StatusCode::OK && refused(&answer) == KEY_NOT_FOUND {
            return Ok(Vec::new());
        }
        let event: Event = serde_json::from_value(answer.json()?).map_err(|error| error.to_string())?;
        let scope = |node: &Node| Some(node.key.as_ref()?.rsplit('/').next()?.to_owned());
        Ok(event.node.nodes.iter().filter_map(scope).collect())
    }
}

/// The path of a key or folder, which stands there without the slash at its end.
fn path_of(key: &str) -> String {
    format!("/v2/keys{}", escaped(key.trim_end_matches('/')))
}

/// The keys below a folder, by their names without the prefix.
fn flatten(node: Node, prefix: &str, depth: usize, into: &mut BTreeMap<String, Node>) {
    let Node { nodes, .. } = node;
    for mut node in nodes {
        if node.value.is_none() && depth > 0 {
            flatten(node, prefix, depth - 1, into);
        } else if let Some(name) = node.key.take().as_deref().and_then(|key| key.strip_prefix(prefix)) {
            into.insert(name.to_owned(), node);
        }
    }
}

/// Polls for one event after the other.
async fn watching(mut client: HttpClient, path: String, wake: Waker) -> Result<Infallible, String> {
    loop {
        // From where on. The folder may be absent, which has an index too.
        let answer = within(READ_TIMEOUT, client.get(&path)).await?;
        let mut seen = index(&answer)?;
        wake.wake();
        loop {
            let poll = format!("{path}?wait=true&recursive=true&waitIndex={}", seen + 1);
            // Nobody answers while nothing happens: a poll is not waited for without end, and begun again.
            let Ok(answer) = tokio::time::timeout(WAIT, client.get(&poll)).await else { break };
            let answer = answer?;
            if answer.status != StatusCode::OK {
                match refused(&answer) {
                    INDEX_CLEARED => break,
                    _ => return Err(answer.refusal()),
                }
            }
            // etcd ends a poll without an event when it stops.
            let Ok(event) = serde_json::from_slice::<Event>(&answer.body) else { break };
            seen = seen.max(event.node.modified_index);
            wake.wake();
        }
    }
}

fn refused(answer: &Answer) -> u64 {
    serde_json::from_slice::<Refusal>(&answer.body).map_or(0, |refusal| refusal.error_code)
}

/// `X-Etcd-Index`: the newest event when the answer was made.
fn index(answer: &Answer) -> Result<u64, String> {
    let index = answer.header("x-etcd-index").and_then(|text| text.parse().ok());
    index.ok_or_else(|| format!("its answer has no X-Etcd-Index: {}", answer.refusal()))
}
