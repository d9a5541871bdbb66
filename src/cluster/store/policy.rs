//! Where a store is, what to read there, and as whom: the same for every store.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    net::{
        Dial,
        http::HttpEndpoint,
        secured::{Secured, Unfit},
    },
    tls::Connector,
};

/// Where a store is and what to read there.
#[derive(Clone)]
pub struct StorePolicy {
    /// `host:port`, or with `http://` or `https://` in front. At least one.
    pub endpoints: Vec<String>,
    /// Patroni's namespace, e.g. `/service/`.
    pub namespace: String,
    /// Patroni's scope.
    pub scope: String,
    /// The group within a Citus cluster.
    pub group: Option<u32>,
    /// TLS to the store.
    pub tls: Option<StoreTls>,
    /// User and password at the store.
    pub login: Option<(String, String)>,
    /// What shows who we are, where the store asks for a token.
    pub token: Token,
    /// How often everything is read again.
    pub reread_interval: Duration,
}

/// A token.
#[derive(Clone, Default)]
pub enum Token {
    /// None.
    #[default]
    None,
    /// This one.
    Text(String),
    /// The one in this file, read again whenever it is needed: others renew it.
    File(PathBuf),
}

/// TLS to a store.
#[derive(Clone)]
pub struct StoreTls {
    /// Certificates of the authority, PEM; the system's where `None`.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key, PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The same, ready for use by what speaks HTTP/1.1 here.
    pub connector: Option<Connector>,
}

/// A store's policy and the network to it.
#[derive(Clone)]
pub struct Reach {
    /// Where and what.
    pub policy: StorePolicy,
    /// Who dials.
    pub dial: Arc<dyn Dial>,
}

impl Token {
    /// The token; a file is read now.
    ///
    /// # Errors
    /// The file cannot be read; a sentence for the log.
    pub async fn read(&self) -> Result<Option<String>, String> {
        let file = match self {
            Self::None => return Ok(None),
            Self::Text(text) => return Ok(Some(text.clone())),
            Self::File(file) => file.clone(),
        };
        let shown = file.display().to_string();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
        let read = read.map_err(std::io::Error::other).and_then(|read| read);
        let text = read.map_err(|error| format!("cannot read the token in {shown}: {error}"))?;
        match text.trim() {
            "" => Err(format!("the token in {shown} is empty")),
            text => Ok(Some(text.to_owned())),
        }
    }
}

impl Reach {
    /// The places of all endpoints.
    ///
    /// # Errors
    /// An endpoint cannot be used; a sentence that says which.
    pub(super) fn secured(&self) -> Result<Vec<Secured>, String> {
        // The protocol inside has no name in TLS (ALPN).
        let connector = self.connector().map(|connector| connector.speaking(None));
        let secured = |url: &String| Secured::new(url, connector.as_ref(), self.dial.clone());
        let all: Result<Vec<Secured>, Unfit> = self.policy.endpoints.iter().map(secured).collect();
        all.map_err(|unfit| unfit.0)
    }

    /// What there is to ask over HTTP, with user and password if there are any.
    ///
    /// # Errors
    /// An endpoint, or what is to be shown to it, cannot be used; a sentence that says which.
    pub(super) fn http_endpoints(&self) -> Result<Vec<HttpEndpoint>, String> {
        let endpoint = |url: &String| {
            let endpoint = HttpEndpoint::new(url, self.connector(), self.dial.clone())?;
            match &self.policy.login {
                None => Ok(endpoint),
                Some((user, password)) => {
                    let pair = STANDARD.encode(format!("{user}:{password}"));
                    endpoint.with_secret("authorization", &format!("Basic {pair}"))
                }
            }
        };
        let all: Result<Vec<HttpEndpoint>, Unfit> = self.policy.endpoints.iter().map(endpoint).collect();
        all.map_err(|unfit| unfit.0)
    }

    fn connector(&self) -> Option<&Connector> {
        self.policy.tls.as_ref()?.connector.as_ref()
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Text(_) => "given",
            Self::File(_) => "in a file",
        })
    }
}

impl fmt::Debug for StorePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorePolicy")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix())
            .field("tls", &self.tls.is_some())
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .field("token", &self.token)
            .field("reread_interval", &self.reread_interval)
            .finish()
    }
}

impl StorePolicy {
    /// The path of the namespace, with a slash at both ends, as Patroni makes it.
    pub fn namespace_path(&self) -> String {
        let words: Vec<&str> = self.namespace.split('/').filter(|word| !word.is_empty()).collect();
        if words.is_empty() { "/".to_owned() } else { format!("/{}/", words.join("/")) }
    }

    /// What every key of the cluster begins with. In a Citus cluster each group has keys of its own.
    pub fn prefix(&self) -> String {
        let scope = format!("{}{}/", self.namespace_path(), self.scope.trim_matches('/'));
        match self.group {
            None => scope,
            Some(group) => format!("{scope}{group}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(namespace: &str, scope: &str, group: Option<u32>) -> StorePolicy {
        StorePolicy {
            endpoints: vec!["127.0.0.1:1".to_owned()],
            namespace: namespace.to_owned(),
            scope: scope.to_owned(),
            group,
            tls: Some(StoreTls {
                ca: None,
                identity: Some((b"CERT".to_vec(), b"KEY".to_vec())),
                connector: None,
            }),
            login: Some(("root".to_owned(), "hunter2".to_owned())),
            token: Token::Text("hunter3".to_owned()),
            reread_interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn paths_as_patroni_makes_them() {
        for (namespace, scope, group, prefix) in [
            ("/service/", "demo", None, "/service/demo/"),
            ("service", "demo", None, "/service/demo/"),
            ("//a//b/", "demo", None, "/a/b/demo/"),
            ("/", "demo", None, "/demo/"),
            ("", "demo", None, "/demo/"),
            ("/service/", "citus", Some(0), "/service/citus/0/"),
            ("/service/", "citus", Some(12), "/service/citus/12/"),
        ] {
            let policy = policy(namespace, scope, group);
            assert_eq!(policy.prefix(), prefix, "{namespace:?} {scope:?}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", policy("service", "demo", None));
        assert!(!shown.contains("hunter") && !shown.contains("KEY") && shown.contains("root"), "{shown}");
    }
}
