//! etcd, through its v3 API.
//!
//! One endpoint at a time. A watch tells of every change within a millisecond; but a watch that is silent proves
//! nothing, and the leader's lease is renewed without any event. So everything is read again, linearizably and with
//! the lease, once in a while, whenever the leader key moved, and whenever somebody is in doubt. Whatever goes
//! wrong with an endpoint is reported as [`StoreEvent::Lost`], and the next one is tried.

use std::{collections::BTreeSet, fmt, future::Future, pin::Pin, time::Duration};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use self::reading::Reader;
use super::{
    Store, StoreEvent,
    keys::{Keys, Unreadable},
};
use crate::clock::{Clock, Moment};

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

/// Where etcd is and what to read there.
#[derive(Clone)]
pub struct EtcdPolicy {
    /// `host:port`, or with `http://` or `https://` in front. At least one.
    pub endpoints: Vec<String>,
    /// Patroni's namespace, e.g. `/service/`.
    pub namespace: String,
    /// Patroni's scope.
    pub scope: String,
    /// TLS to etcd.
    pub tls: Option<EtcdTls>,
    /// User and password at etcd.
    pub login: Option<(String, String)>,
    /// How often everything is read again, the lease included.
    pub reread_interval: Duration,
}

/// TLS to etcd, all PEM.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// Certificates of the authority; the system's where `None`.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for EtcdPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdPolicy")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix())
            .field("tls", &self.tls.is_some())
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .field("reread_interval", &self.reread_interval)
            .finish()
    }
}

impl EtcdPolicy {
    /// The path of the namespace, with a slash at both ends, as Patroni makes it.
    fn namespace_path(&self) -> String {
        let words: Vec<&str> = self.namespace.split('/').filter(|word| !word.is_empty()).collect();
        if words.is_empty() { "/".to_owned() } else { format!("/{}/", words.join("/")) }
    }

    /// What every key of the cluster begins with.
    fn prefix(&self) -> String {
        format!("{}{}/", self.namespace_path(), self.scope.trim_matches('/'))
    }

    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_require_leader(true);
        if let Some((user, password)) = &self.login {
            options = options.with_user(user, password).with_auto_token_refresh(true);
        }
        if let Some(tls) = &self.tls {
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
}

/// A cluster's keys in etcd.
#[derive(Debug)]
pub struct EtcdStore {
    policy: EtcdPolicy,
    clock: Clock,
}

impl EtcdStore {
    /// A store that is read as `policy` says.
    pub const fn new(policy: EtcdPolicy, clock: Clock) -> Self {
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
            let mut reporter = Reporter { clock: self.clock, events, warned: BTreeSet::new() };
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

/// How the use of an endpoint ended.
enum Ended {
    /// The events are not received any more.
    NobodyListens,
    /// It failed, after it had answered at least once or not.
    Failed { reason: String, worked: bool },
}

impl EtcdStore {
    async fn use_endpoint(
        &self,
        endpoint: &str,
        reporter: &mut Reporter,
        hurry: &mut watch::Receiver<u64>,
    ) -> Ended {
        if let Err(reason) = knock(endpoint).await {
            return Ended::Failed { reason, worked: false };
        }
        // Authenticates at once if there is a user, so it may take as long as a request.
        let connected =
            timeout(REQUEST_TIMEOUT, Client::connect([endpoint], Some(self.policy.options()))).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Ended::Failed { reason: in_words(&error), worked: false },
            Err(_) => return Ended::Failed { reason: no_answer(), worked: false },
        };
        let reader = Reader { client, prefix: self.policy.prefix(), clock: self.clock };
        session::run(&reader, &self.policy, reporter, hurry).await
    }
}

/// Nobody receives events any more.
struct Closed;

/// Sends events, and warns of what cannot be read, once.
struct Reporter {
    clock: Clock,
    events: mpsc::Sender<StoreEvent>,
    warned: BTreeSet<String>,
}

impl Reporter {
    async fn lost(&self, reason: String) -> Result<(), Closed> {
        self.send(StoreEvent::Lost { reason }).await
    }

    async fn read(
        &mut self,
        keys: &Keys,
        revision: u64,
        asked_at: Moment,
        right_until: Option<Moment>,
    ) -> Result<(), Closed> {
        let (snapshot, unreadable) = keys.snapshot(asked_at, revision, right_until);
        self.warned.retain(|key| unreadable.iter().any(|u| u.key == *key));
        for Unreadable { key, why } in unreadable {
            if self.warned.insert(key.clone()) {
                tracing::warn!(key, why, "a record in the store cannot be read and is ignored");
            }
        }
        self.send(StoreEvent::Read(snapshot)).await
    }

    async fn send(&self, event: StoreEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }
}

/// An error of the client without the words around it, and what is behind it.
fn in_words(error: &etcd_client::Error) -> String {
    let etcd_client::Error::GRpcStatus(status) = error else { return error.to_string() };
    let mut words = status.message().to_owned();
    let mut behind = std::error::Error::source(status);
    while let Some(cause) = behind {
        let said = cause.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        behind = cause.source();
    }
    words
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

fn no_answer() -> String {
    format!("no answer within {REQUEST_TIMEOUT:?}")
}

/// What to say when nothing stands under the scope.
fn nothing_found(policy: &EtcdPolicy, scopes: &BTreeSet<String>) -> String {
    let (prefix, namespace) = (policy.prefix(), policy.namespace_path());
    let found = if scopes.is_empty() {
        format!("nor any other scope under {namespace}")
    } else {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        format!("but under {namespace} the scopes {}", scopes.join(", "))
    };
    format!(
        "etcd answers and holds nothing under {prefix}, {found}. Is Patroni running with this scope and namespace? \
         A Patroni configured with `etcd:` writes through the v2 API, whose keys are invisible here: it must be \
         configured with `etcd3:`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_patroni_makes_them() {
        for (namespace, scope, prefix) in [
            ("/service/", "demo", "/service/demo/"),
            ("service", "demo", "/service/demo/"),
            ("//a//b/", "demo", "/a/b/demo/"),
            ("/", "demo", "/demo/"),
            ("", "demo", "/demo/"),
        ] {
            let policy = policy(namespace, scope);
            assert_eq!(policy.prefix(), prefix, "{namespace:?} {scope:?}");
        }
    }

    fn policy(namespace: &str, scope: &str) -> EtcdPolicy {
        EtcdPolicy {
            endpoints: vec!["127.0.0.1:1".to_owned()],
            namespace: namespace.to_owned(),
            scope: scope.to_owned(),
            tls: Some(EtcdTls { ca: None, identity: Some((b"CERT".to_vec(), b"KEY".to_vec())) }),
            login: Some(("root".to_owned(), "hunter2".to_owned())),
            reread_interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", policy("service", "demo"));
        assert!(!shown.contains("hunter2") && !shown.contains("KEY") && shown.contains("root"), "{shown}");
    }

    #[test]
    fn nothing_found_says_what_was() {
        let policy = policy("service", "demo");
        let scopes = BTreeSet::from(["prod".to_owned(), "test".to_owned()]);
        let text = nothing_found(&policy, &scopes);
        assert!(
            text.contains("/service/demo/") && text.contains("prod, test") && text.contains("`etcd:`"),
            "{text}"
        );
        assert!(nothing_found(&policy, &BTreeSet::new()).contains("nor any other scope under /service/"));
    }
}
