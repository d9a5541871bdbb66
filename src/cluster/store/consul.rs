//! Consul's key-value store.
//!
//! Everything is read with `consistent`, which the leader answers only after it has made sure that it still is one. A
//! blocking query watches, on a connection of its own.
//!
//! **The right to write.** The leader key hangs on a session of its holder, and is deleted with it. Consul tells a
//! session's time to live, but not how much of it is left, and a renewal leaves no trace. So nothing can be inferred from
//! one reading about the next moment but this: the key was held when the question was answered. The right lasts from
//! one reading to the next and no longer (see `hearsay`), however long the session may still live.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use serde::Deserialize;

use super::{
    follow::{Found, Link, Pace, Reading, Source, Waker, Wakes, hearsay, within},
    keys::{Entry, Keys},
    nothing,
    policy::{Reach, StorePolicy},
};
use crate::{
    clock::Clock,
    net::http::{HttpClient, HttpEndpoint, escaped},
};

/// How long a blocking query waits for a change. Consul adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(10);
/// How long its answer may take.
const WAIT_MAX: Duration = Duration::from_secs(14);

/// A cluster's keys in Consul.
#[derive(Debug)]
pub struct ConsulStore {
    reach: Reach,
    endpoints: Vec<HttpEndpoint>,
    clock: Clock,
}

impl ConsulStore {
    /// A store that is read as `reach` says.
    ///
    /// # Errors
    /// An endpoint cannot be used; a sentence that says which.
    pub fn new(reach: &Reach, clock: Clock) -> Result<Self, String> {
        Ok(Self { endpoints: reach.http_endpoints()?, reach: reach.clone(), clock })
    }
}

impl Source for ConsulStore {
    type Link = Agent;

    fn clock(&self) -> Clock {
        self.clock
    }

    fn endpoints(&self) -> Vec<String> {
        self.reach.policy.endpoints.clone()
    }

    async fn open(&self, endpoint: usize) -> Result<Agent, String> {
        let mut endpoint = self.endpoints[endpoint].clone();
        if let Some(token) = self.reach.policy.token.read().await? {
            endpoint = endpoint.with_secret("x-consul-token", &token).map_err(|unfit| unfit.0)?;
        }
        Ok(Agent {
            client: HttpClient::new(endpoint),
            prefix: self.reach.policy.prefix().trim_start_matches('/').to_owned(),
            policy: self.reach.policy.clone(),
            clock: self.clock,
        })
    }

    fn pace(&self) -> Pace {
        Pace::watched(self.reach.policy.reread_interval)
    }
}

/// One agent of Consul.
pub(super) struct Agent {
    client: HttpClient,
    /// Without the leading slash, which keys in Consul do not have.
    prefix: String,
    policy: StorePolicy,
    clock: Clock,
}

/// A key as Consul shows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    key: String,
    value: Option<String>,
    modify_index: u64,
    session: Option<String>,
}

impl Link for Agent {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        let path = format!("/v1/kv/{}?recurse=true&consistent=true", escaped(&self.prefix));
        let answer = self.client.get(&path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            let scopes = self.scopes().await?;
            return Ok(Found::Nothing(nothing::found("Consul", &self.policy, &scopes)));
        }
        if answer.status != StatusCode::OK {
            return Err(answer.refusal());
        }
        let revision = index(&answer.headers)?;
        let pairs: Vec<Pair> =
            serde_json::from_slice(&answer.body).map_err(|error| format!("its answer: {error}"))?;
        let mut keys = BTreeMap::new();
        let mut is_held = false;
        for pair in pairs {
            let Some(name) = pair.key.strip_prefix(&self.prefix) else { continue };
            is_held |= name == "leader" && pair.session.is_some();
            let value = STANDARD.decode(pair.value.unwrap_or_default()).unwrap_or_default();
            let value = String::from_utf8_lossy(&value).into_owned();
            keys.insert(name.to_owned(), Entry { value, revision: pair.modify_index, lease: 0 });
        }
        let right_until = is_held.then(|| hearsay(asked_at, self.policy.reread_interval));
        Ok(Found::Cluster(Reading { asked_at, revision, keys: Keys(keys), right_until }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        let client = HttpClient::new(self.client.endpoint().clone());
        let path = format!("/v1/kv/{}?recurse=true", escaped(&self.prefix));
        Ok(Some(Wakes::spawn(|wake| watching(client, path, wake))))
    }
}

impl Agent {
    /// The scopes under the namespace.
    async fn scopes(&mut self) -> Result<Vec<String>, String> {
        let namespace = self.policy.namespace_path();
        let namespace = namespace.trim_start_matches('/');
        let path = format!("/v1/kv/{}?keys=true&separator=/", escaped(namespace));
        let answer = self.client.get(&path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = serde_json::from_value(answer.json()?).map_err(|error| error.to_string())?;
        let scope = |key: &String| Some(key.strip_prefix(namespace)?.strip_suffix('/')?.to_owned());
        Ok(keys.iter().filter_map(scope).collect())
    }
}

/// Asks again and again for what is newer than the last answer.
async fn watching(mut client: HttpClient, path: String, wake: Waker) -> Result<Infallible, String> {
    let mut seen = 0;
    loop {
        let waited = format!("{path}&index={seen}&wait={}s", WAIT.as_secs());
        let answer = within(WAIT_MAX, client.get(&waited)).await?;
        if !matches!(answer.status, StatusCode::OK | StatusCode::NOT_FOUND) {
            return Err(answer.refusal());
        }
        let index = index(&answer.headers)?;
        if index != seen {
            wake.wake();
        }
        // An index that goes back means that Consul's data was restored: begin anew.
        seen = if index < seen { 0 } else { index };
    }
}

/// `X-Consul-Index`. Never 0, which would not block.
fn index(headers: &hyper::HeaderMap) -> Result<u64, String> {
    let text = headers.get("x-consul-index").and_then(|value| value.to_str().ok());
    let index: Option<u64> = text.and_then(|text| text.parse().ok());
    index
        .map(|index| index.max(1))
        .ok_or_else(|| "its answer has no X-Consul-Index: is this Consul?".to_owned())
}
