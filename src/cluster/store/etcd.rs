//! etcd, through its v3 API.
//!
//! One endpoint at a time. A watch tells of every change within a millisecond; but a watch that is silent proves
//! nothing, and the leader's lease is renewed without any event. So everything is read again, linearizably and with
//! the lease, once in a while, whenever the leader key moved, and whenever somebody is in doubt. Whatever goes
//! wrong with an endpoint is reported as [`StoreEvent::Lost`], and the next one is tried.

use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use self::reading::Reader;
use super::{
    Store, StoreEvent,
    policy::StorePolicy,
    report::{Ended, Reporter},
};
use crate::{clock::Clock, net::with_causes};

mod reading;
mod session;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// HTTP/2 keep-alive: a ping after this long …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// … and the connection is dead if it is not answered within this long.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after all endpoints have failed; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A cluster's keys in etcd.
#[derive(Debug)]
pub struct EtcdStore {
    policy: StorePolicy,
    clock: Clock,
}

impl EtcdStore {
    /// A store that is read as `policy` says.
    pub const fn new(policy: StorePolicy, clock: Clock) -> Self {
        Self { policy, clock }
    }
}

impl Store for EtcdStore {
    fn watch(
        self: Box<Self>,
        events: mpsc::Sender<StoreEvent>,
        hurry: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut reporter = Reporter::new(self.clock, events);
            let mut hurry = hurry;
            let mut pause = PAUSE_MIN;
            loop {
                for endpoint in &self.policy.endpoints {
                    let ended = self.use_endpoint(endpoint, &mut reporter, &mut hurry).await;
                    let reason = match ended {
                        Ended::NobodyListens => return,
                        Ended::Failed { reason, worked } => {
                            if worked {
                                pause = PAUSE_MIN;
                            }
                            format!("{endpoint}: {reason}")
                        }
                    };
                    if reporter.lost(reason).await.is_err() {
                        return;
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        })
    }
}

impl EtcdStore {
    async fn use_endpoint(
        &self,
        endpoint: &str,
        reporter: &mut Reporter,
        hurry: &mut watch::Receiver<u64>,
    ) -> Ended {
        let client = match connect(endpoint, &self.policy).await {
            Ok(client) => client,
            Err(reason) => return Ended::Failed { reason, worked: false },
        };
        let reader = Reader { client, prefix: self.policy.prefix(), clock: self.clock };
        session::run(&reader, &self.policy, reporter, hurry).await
    }
}

/// Connects to an endpoint.
pub(super) async fn connect(endpoint: &str, policy: &StorePolicy) -> Result<Client, String> {
    knock(endpoint).await?;
    // Authenticates at once if there is a user, so it may take as long as a request.
    in_time(Client::connect([endpoint], Some(options(policy)))).await
}

fn options(policy: &StorePolicy) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
        .with_keep_alive_while_idle(true)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_require_leader(true);
    if let Some((user, password)) = &policy.login {
        options = options.with_user(user, password).with_auto_token_refresh(true);
    }
    if let Some(tls) = &policy.tls {
        let mut options_tls = TlsOptions::new();
        options_tls = match &tls.ca {
            Some(ca) => options_tls.ca_certificate(Certificate::from_pem(ca)),
            None => options_tls.with_enabled_roots(),
        };
        if let Some((certificate, key)) = &tls.identity {
            options_tls = options_tls.identity(Identity::from_pem(certificate, key));
        }
        options = options.with_tls(options_tls);
    }
    options
}

/// An error of the client without the words around it, and what is behind it.
pub(super) fn in_words(error: &etcd_client::Error) -> String {
    let etcd_client::Error::GRpcStatus(status) = error else { return error.to_string() };
    with_causes(status.message().to_owned(), std::error::Error::source(status))
}

/// Whether anybody listens at an endpoint: the client itself goes on trying in silence.
async fn knock(endpoint: &str) -> Result<(), String> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(host.trim_end_matches('/'))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {CONNECT_TIMEOUT:?}")),
    }
}

/// Bounds a request's time.
pub(super) async fn in_time<T>(
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, String> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|error| in_words(&error)),
        Err(_) => Err(format!("no answer within {REQUEST_TIMEOUT:?}")),
    }
}

/// etcd's revisions are signed and never negative.
pub(super) fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// What to say when nothing stands under the scope.
fn nothing_found(policy: &StorePolicy, scopes: &BTreeSet<String>) -> String {
    let (prefix, namespace) = (policy.prefix(), policy.namespace_path());
    let found = if scopes.is_empty() {
        format!("nor any other scope under {namespace}")
    } else {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        format!("but under {namespace} the scopes {}", scopes.join(", "))
    };
    format!(
        "etcd answers and holds nothing under {prefix}, {found}. Is Patroni running with this scope and namespace? \
         A Patroni configured with `etcd:` writes through the v2 API, whose keys are invisible here: for \
         that write store = \"etcd\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::store::policy::Token;

    #[test]
    fn nothing_found_says_what_was() {
        let policy = StorePolicy {
            endpoints: Vec::new(),
            namespace: "service".to_owned(),
            scope: "demo".to_owned(),
            group: None,
            tls: None,
            login: None,
            token: Token::None,
            reread_interval: Duration::from_secs(1),
        };
        let scopes = BTreeSet::from(["prod".to_owned(), "test".to_owned()]);
        let text = nothing_found(&policy, &scopes);
        assert!(
            text.contains("/service/demo/") && text.contains("prod, test") && text.contains("`etcd:`"),
            "{text}"
        );
        assert!(nothing_found(&policy, &BTreeSet::new()).contains("nor any other scope under /service/"));
    }
}
