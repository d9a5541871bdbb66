//! Patroni's REST API at a member, for what only Patroni itself can say or do.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    fact::{Fact, FailsafeState},
    ids::MemberName,
};
use crate::{
    clock::Clock,
    net::{
        Dial,
        http::{HttpClient, HttpEndpoint},
    },
    tls::Connector,
};

/// How Patroni's REST API is reached, at whichever member.
#[derive(Clone)]
pub struct PatroniRest {
    dial: Arc<dyn Dial>,
    connector: Option<Connector>,
    /// The value of the header that says who we are.
    authorization: Option<Arc<str>>,
}

impl fmt::Debug for PatroniRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatroniRest")
            .field("tls", &self.connector.is_some())
            .field("login", &self.authorization.is_some())
            .finish_non_exhaustive()
    }
}

/// Why there was no change of leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSwitchover {
    /// Patroni did not do it, and says why.
    Refused(String),
    /// There is no answer: it may come about, or not.
    Unknown(String),
}

impl PatroniRest {
    /// Over TLS as `connector` says where a member's URL asks for that, as this user where Patroni wants one.
    pub fn new(dial: Arc<dyn Dial>, connector: Option<Connector>, login: Option<(&str, &str)>) -> Self {
        let basic =
            |(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into();
        Self { dial, connector, authorization: login.map(basic) }
    }

    fn client(&self, api_url: &str) -> Result<HttpClient, String> {
        let endpoint = HttpEndpoint::new(api_url, self.connector.as_ref(), self.dial.clone());
        let mut endpoint = endpoint.map_err(|unfit| unfit.0)?;
        if let Some(authorization) = &self.authorization {
            endpoint = endpoint.with_secret("authorization", authorization).map_err(|unfit| unfit.0)?;
        }
        Ok(HttpClient::new(endpoint))
    }

    /// Asks the leader to hand over; Patroni answers when that is done or refused. The caller bounds the time.
    ///
    /// # Errors
    /// It did not come about, or that is not known.
    pub async fn switchover(
        &self,
        api_url: &str,
        leader: &MemberName,
        candidate: &MemberName,
    ) -> Result<String, NoSwitchover> {
        let client = self.client(api_url).map_err(NoSwitchover::Refused)?;
        let request = json!({ "leader": leader.as_str(), "candidate": candidate.as_str() });
        let answer = client.post("/switchover", request.to_string()).await.map_err(NoSwitchover::Unknown)?;
        match answer.status.as_u16() {
            200 => Ok(String::from_utf8_lossy(&answer.body).trim().to_owned()),
            _ => Err(NoSwitchover::Refused(answer.refusal())),
        }
    }
}

/// Whether Patroni's own status shows a leader in failsafe mode: it sets the field while every member of `/failsafe` has
/// consented within the last `ttl`.
fn failsafe_state(status: &Value) -> FailsafeState {
    let leads = matches!(status["role"].as_str(), Some("primary" | "master"));
    if leads && status["failsafe_mode_is_active"] == true {
        FailsafeState::Active
    } else {
        FailsafeState::Inactive
    }
}

/// Whose Patroni to ask whether it leads without the store, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmer {
    /// Who.
    pub member: MemberName,
    /// Its `api_url`.
    pub api_url: String,
}

impl Confirmer {
    /// Asks every `interval` until nobody takes the answers; each may take as long as `limit`. No answer is no fact: what
    /// was said before grows old.
    pub(super) async fn run(
        self,
        rest: Arc<PatroniRest>,
        clock: Clock,
        [interval, limit]: [Duration; 2],
        facts: mpsc::Sender<Fact>,
    ) {
        let mut client = match rest.client(&self.api_url) {
            Ok(client) => client,
            Err(why) => return tracing::warn!(member = %self.member, "Patroni cannot be asked: {why}"),
        };
        loop {
            let asked_at = clock.now();
            let answer = timeout(limit, client.get("/patroni")).await;
            let status = answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")));
            match status.and_then(|answer| {
                // A member that is not healthy answers 503 with the same body.
                serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
            }) {
                Ok(status) => {
                    let state = failsafe_state(&status);
                    let fact = Fact::Failsafe { member: self.member.clone(), asked_at, state };
                    if facts.send(fact).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    tracing::debug!(member = %self.member, "Patroni does not say how it leads: {why}")
                }
            }
            sleep(interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patroni_says_of_failsafe_mode() {
        for (status, expected) in [
            (json!({ "role": "primary", "failsafe_mode_is_active": true }), FailsafeState::Active),
            (json!({ "role": "master", "failsafe_mode_is_active": true }), FailsafeState::Active),
            // A replica says so while it consents to another's leading.
            (json!({ "role": "replica", "failsafe_mode_is_active": true }), FailsafeState::Inactive),
            (json!({ "role": "primary" }), FailsafeState::Inactive),
            (json!({ "role": "primary", "failsafe_mode_is_active": false }), FailsafeState::Inactive),
            (json!([]), FailsafeState::Inactive),
        ] {
            assert_eq!(failsafe_state(&status), expected, "{status}");
        }
    }
}
