//! Patroni's REST API instead of its store: several members are asked who leads (`store = "patroni"`).
//!
//! `/cluster` is answered by each Patroni from its store, so that a member that has lost the store does not answer it.
//! All are asked at once; the answers that are there shortly after the first count. Where they differ in who leads,
//! those that know of the highest timeline do; where they still differ, nobody is named until they agree. No lease is
//! shown, so the right to write follows from the members themselves ([`Authority::Patroni`]).
//!
//! What the answers say is put into the keys that Patroni made it from, and read like those of any store.
//!
//! [`Authority::Patroni`]: crate::cluster::policy::Authority::Patroni

use std::time::Duration;

use serde_json::Value;
use tokio::{task::JoinSet, time::sleep};

use self::view::View;
use super::{
    follow::{Found, Link, Pace, READ_TIMEOUT, Reading, Source, Wakes},
    keys::Entry,
    policy::Reach,
};
use crate::{
    clock::{Clock, Moment},
    net::http::{HttpClient, HttpEndpoint},
};

mod view;

/// How long after the first answer the others are waited for.
const LATE: Duration = Duration::from_millis(200);
/// How often members are asked while there is no leader, or a doubt.
const URGENT: Duration = Duration::from_millis(100);
/// How long the dynamic configuration and the system identifier are taken as they were.
const SETTLED: Duration = Duration::from_secs(5);

/// A cluster as its members' Patronis tell of it.
#[derive(Debug)]
pub struct PatroniStore {
    endpoints: Vec<HttpEndpoint>,
    scope: String,
    reread_interval: Duration,
    clock: Clock,
}

impl PatroniStore {
    /// A store that is read as `reach` says.
    ///
    /// # Errors
    /// An endpoint, or what is to be shown to it, cannot be used; a sentence that says which.
    pub fn new(reach: &Reach, clock: Clock) -> Result<Self, String> {
        Ok(Self {
            endpoints: reach.http_endpoints()?,
            scope: reach.policy.scope.clone(),
            reread_interval: reach.policy.reread_interval,
            clock,
        })
    }
}

impl Source for PatroniStore {
    type Link = Rounds;

    fn clock(&self) -> Clock {
        self.clock
    }

    /// All are asked at once, so they are one.
    fn endpoints(&self) -> Vec<String> {
        vec!["Patroni's REST API".to_owned()]
    }

    async fn open(&self, _: usize) -> Result<Rounds, String> {
        Ok(Rounds {
            clients: self.endpoints.iter().cloned().map(HttpClient::new).map(Some).collect(),
            endpoints: self.endpoints.clone(),
            scope: self.scope.clone(),
            clock: self.clock,
            revision: 0,
            leader: Election::default(),
            settled: None,
        })
    }

    fn pace(&self) -> Pace {
        Pace { steady: self.reread_interval, urgent: URGENT.min(self.reread_interval) }
    }
}

/// Asks all members, round by round.
pub(super) struct Rounds {
    /// `None` while it is asking.
    clients: Vec<Option<HttpClient>>,
    endpoints: Vec<HttpEndpoint>,
    scope: String,
    clock: Clock,
    revision: u64,
    leader: Election,
    settled: Option<Settled>,
}

/// Who was named last, and how many have been.
#[derive(Default)]
struct Election {
    name: String,
    count: u64,
}

/// What changes rarely.
struct Settled {
    at: Moment,
    system_id: String,
    config: String,
}

/// What a member answered, and whom to ask on.
struct Answered {
    index: usize,
    client: HttpClient,
    view: View,
}

impl Link for Rounds {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        let mut answered = self.ask_all().await?;
        let views: Vec<&View> = answered.iter().map(|answer| &answer.view).collect();
        let view = view::agreed(&views);
        let settled = self.settle(&mut answered).await;
        for Answered { index, client, .. } in answered {
            self.clients[index] = Some(client);
        }
        settled?;
        self.revision += 1;
        let named = view.leader.clone().unwrap_or_default();
        if !named.is_empty() && named != self.leader.name {
            self.leader = Election { name: named, count: self.leader.count + 1 };
        }
        let mut keys = view.keys(self.leader.count);
        if let Some(settled) = &self.settled {
            let entry = |value: &str| Entry { value: value.to_owned(), ..Entry::default() };
            keys.0.insert("initialize".to_owned(), entry(&settled.system_id));
            keys.0.insert("config".to_owned(), entry(&view.with_pause(&settled.config)));
        }
        Ok(Found::Cluster(Reading { asked_at, revision: self.revision, keys, right_until: None }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        Ok(None)
    }
}

impl Rounds {
    /// What those answer who answer in time; at least one.
    async fn ask_all(&mut self) -> Result<Vec<Answered>, String> {
        let mut asking = JoinSet::new();
        for index in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[index];
            let client = self.clients[index].take().unwrap_or_else(|| HttpClient::new(endpoint.clone()));
            asking.spawn(ask(index, client, self.scope.clone()));
        }
        let mut end = Box::pin(sleep(READ_TIMEOUT - LATE));
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        loop {
            let joined = tokio::select! {
                joined = asking.join_next() => joined,
                () = &mut end => None,
            };
            let Some(joined) = joined else { break };
            match joined {
                Ok(Ok(answer)) => {
                    if answers.is_empty() {
                        end = Box::pin(sleep(LATE));
                    }
                    answers.push(answer);
                }
                Ok(Err(why)) => failures.push(why),
                Err(_) => {}
            }
        }
        if answers.is_empty() {
            if !asking.is_empty() {
                failures.push("the others do not answer in time".to_owned());
            }
            failures.sort();
            return Err(failures.join("; "));
        }
        Ok(answers)
    }

    /// Asks for what changes rarely, if that was long ago. A member may not know it, so all are asked in turn.
    async fn settle(&mut self, answered: &mut [Answered]) -> Result<(), String> {
        let now = self.clock.now();
        if self.settled.as_ref().is_some_and(|settled| now.since(settled.at) < SETTLED) {
            return Ok(());
        }
        let mut why = String::new();
        for Answered { client, .. } in answered {
            match settled(client).await {
                Ok((system_id, config)) => {
                    self.settled = Some(Settled { at: now, system_id, config });
                    return Ok(());
                }
                Err(failure) => why = format!("{}: {failure}", client.endpoint().address()),
            }
        }
        // What was known before goes on: a member that is starting cannot tell it.
        if self.settled.is_some() { Ok(()) } else { Err(why) }
    }
}

async fn ask(index: usize, mut client: HttpClient, scope: String) -> Result<Answered, String> {
    let address = client.endpoint().address().clone();
    let view = async {
        let answer = client.get("/cluster").await?;
        View::read(&answer.json()?, &scope)
    };
    let view = view.await.map_err(|why| format!("{address}: {why}"))?;
    Ok(Answered { index, client, view })
}

/// The system identifier and the dynamic configuration.
async fn settled(client: &mut HttpClient) -> Result<(String, String), String> {
    let status = client.get("/patroni").await?;
    // Its status is 503 where PostgreSQL does not run; the identifier is absent then.
    let status: Value = serde_json::from_slice(&status.body).map_err(|_| status.refusal())?;
    let system_id = match status.get("database_system_identifier") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err("/patroni names no system identifier".to_owned()),
    };
    let config = client.get("/config").await?;
    Ok((system_id, config.json()?.to_string()))
}
