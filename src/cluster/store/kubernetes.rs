//! Kubernetes: Patroni's keys are annotations of objects, its members are pods.
//!
//! Everything is read by listing, without a `resourceVersion`, which the API server answers from its own consistent
//! store. Two watches wake, one of the objects and one of the pods.
//!
//! **The right to write.** The leader writes the time of each renewal into its object, and another takes its place only
//! when it has not seen that change for `ttl`. The times themselves are by the leader's clock and mean nothing
//! here; that they change does. A renewal that this reading shows and the one before did not was written after the one
//! before was asked for, and so is good until that moment plus `ttl`, whatever anybody's clock says (see `record`).

mod objects;
mod record;
mod watching;

use std::time::Duration;

use hyper::StatusCode;

use self::{
    objects::List,
    record::{Observed, Record},
};
use super::{
    follow::{Found, Link, Pace, Reading, Source, Wakes},
    keys::Keys,
    policy::{Reach, Token},
};
use crate::{
    clock::{Clock, Moment},
    net::http::{Answer, HttpClient, HttpEndpoint, escaped},
};

/// How long a token that was read from its file is shown.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// Which objects are Patroni's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesObjects {
    /// The namespace they are in.
    pub namespace: String,
    /// Whether Patroni writes to Endpoints or to ConfigMaps (`use_endpoints`).
    pub kind: ObjectKind,
    /// The labels that Patroni gives them, but for the scope: `application=patroni`.
    pub labels: String,
    /// The label that carries the scope (`scope_label`).
    pub scope_label: String,
}

/// What Patroni writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Endpoints.
    Endpoints,
    /// ConfigMaps.
    ConfigMaps,
}

/// A cluster in Kubernetes.
#[derive(Debug)]
pub struct KubernetesStore {
    places: Vec<HttpEndpoint>,
    names: Vec<String>,
    plan: Plan,
    reread_interval: Duration,
    clock: Clock,
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Plan {
    token: Token,
    /// The name that all objects begin with: the scope, and the group where there is one.
    base: String,
    kind: ObjectKind,
    /// The paths of the two lists, labels included.
    objects: String,
    pods: String,
}

impl KubernetesStore {
    /// A store that is read as `reach` says, of these objects.
    ///
    /// # Errors
    /// An endpoint cannot be used; a sentence that says which.
    pub fn new(reach: &Reach, which: &KubernetesObjects, clock: Clock) -> Result<Self, String> {
        let policy = &reach.policy;
        let scope = &policy.scope;
        let mut labels = vec![format!("{}={scope}", which.scope_label)];
        labels.extend(policy.group.map(|group| format!("citus-group={group}")));
        labels.extend(Some(which.labels.clone()).filter(|labels| !labels.is_empty()));
        let selector = escaped(&labels.join(",")).replace('/', "%2F");
        let list = |kind: &str| {
            format!("/api/v1/namespaces/{}/{kind}?labelSelector={selector}", escaped(&which.namespace))
        };
        let objects = list(match which.kind {
            ObjectKind::Endpoints => "endpoints",
            ObjectKind::ConfigMaps => "configmaps",
        });
        let base = policy.group.map_or_else(|| scope.clone(), |group| format!("{scope}-{group}"));
        let (token, kind, pods) = (policy.token.clone(), which.kind, list("pods"));
        Ok(Self {
            places: reach.http_endpoints()?,
            names: policy.endpoints.clone(),
            plan: Plan { token, base, kind, objects, pods },
            reread_interval: policy.reread_interval,
            clock,
        })
    }
}

impl Source for KubernetesStore {
    type Link = Server;

    fn clock(&self) -> Clock {
        self.clock
    }

    fn endpoints(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn open(&self, endpoint: usize) -> Result<Server, String> {
        let place = self.places[endpoint].clone();
        let client = HttpClient::new(authorized(&place, &self.plan.token).await?);
        Ok(Server {
            client,
            token_read_at: self.clock.now(),
            place,
            plan: self.plan.clone(),
            reread_interval: self.reread_interval,
            clock: self.clock,
            observed: Observed::default(),
            revision: 0,
        })
    }

    fn pace(&self) -> Pace {
        Pace::watched(self.reread_interval)
    }
}

/// The place with the token of now.
async fn authorized(place: &HttpEndpoint, token: &Token) -> Result<HttpEndpoint, String> {
    match token.read().await? {
        None => Ok(place.clone()),
        Some(token) => {
            place.clone().with_secret("authorization", &format!("Bearer {token}")).map_err(|unfit| unfit.0)
        }
    }
}

/// One API server.
pub(super) struct Server {
    client: HttpClient,
    token_read_at: Moment,
    place: HttpEndpoint,
    plan: Plan,
    reread_interval: Duration,
    clock: Clock,
    observed: Observed,
    revision: u64,
}

impl Link for Server {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        if matches!(self.plan.token, Token::File(_)) && asked_at.since(self.token_read_at) > TOKEN_AGE_MAX {
            self.renew_token().await?;
        }
        // The leader first: what follows can only be newer.
        let objects = self.list(self.plan.objects.clone()).await?;
        if objects.items.is_empty() {
            return Ok(Found::Nothing(self.nothing()));
        }
        let pods = self.list(self.plan.pods.clone()).await?;
        self.revision += 1;
        let mut keys = objects::keys(&objects, &pods, &self.plan.base, self.plan.kind);
        let record = objects::leader(&objects, &self.plan.base, self.plan.kind);
        let right_until = self.observed.see(record, asked_at, self.reread_interval);
        if self.observed.has_expired(asked_at) {
            keys.remove("leader");
        }
        Ok(Found::Cluster(Reading { asked_at, revision: self.revision, keys: Keys(keys), right_until }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        let (place, plan) = (self.place.clone(), self.plan.clone());
        Ok(Some(Wakes::spawn(|wake| watching::both(place, plan, wake))))
    }
}

impl Server {
    async fn list(&mut self, path: String) -> Result<List, String> {
        let mut answer = self.client.get(&path).await?;
        if answer.status == StatusCode::UNAUTHORIZED && matches!(self.plan.token, Token::File(_)) {
            self.renew_token().await?;
            answer = self.client.get(&path).await?;
        }
        listed(&answer)
    }

    /// Others renew the token in its file.
    async fn renew_token(&mut self) -> Result<(), String> {
        self.client = HttpClient::new(authorized(&self.place, &self.plan.token).await?);
        self.token_read_at = self.clock.now();
        Ok(())
    }

    fn nothing(&self) -> String {
        let (kind, other) = match self.plan.kind {
            ObjectKind::Endpoints => ("Endpoints", "false"),
            ObjectKind::ConfigMaps => ("ConfigMaps", "true"),
        };
        format!(
            "Kubernetes answers and has no {kind} of this cluster ({}). Are scope, namespace and labels as in Patroni's \
             configuration? With `kubernetes_use_endpoints = {other}` others are looked at",
            self.plan.objects
        )
    }
}

fn listed(answer: &Answer) -> Result<List, String> {
    if answer.status != StatusCode::OK {
        return Err(answer.refusal());
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("its answer: {error}"))
}
