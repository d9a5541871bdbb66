//! Where to connect, and with TLS or without: what a URL says of it.

use std::{fmt, sync::Arc};

use super::{Address, Dial, Stream, tls};
use crate::tls::Connector;

/// Where to connect, and how.
#[derive(Clone)]
pub struct Secured {
    /// Host and port.
    pub address: Address,
    /// The host, as it is named in certificates.
    host: String,
    connector: Option<Connector>,
    dial: Arc<dyn Dial>,
}

/// Why there is no endpoint, or no header, of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.connector.is_some();
        f.debug_struct("Secured").field("address", &self.address).field("tls", &tls).finish_non_exhaustive()
    }
}

impl Secured {
    /// The place of `http://host:port` or, with TLS as `connector` says, `https://host:port`.
    ///
    /// # Errors
    /// It is no such URL, or needs a connector that is missing.
    pub fn new(url: &str, connector: Option<&Connector>, dial: Arc<dyn Dial>) -> Result<Self, Unfit> {
        let unfit = |why: &str| Unfit(format!("{url}: {why}"));
        let parsed = url::Url::parse(url).map_err(|error| unfit(&error.to_string()))?;
        let connector = match (parsed.scheme(), connector) {
            ("http", _) => None,
            ("https", Some(connector)) => Some(connector.clone()),
            ("https", None) => return Err(unfit("there is nothing to check its certificate against")),
            _ => return Err(unfit("it begins neither with http:// nor with https://")),
        };
        let host = match parsed.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(ip)) => ip.to_string(),
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(unfit("it names no host")),
        };
        let port = parsed.port_or_known_default().ok_or_else(|| unfit("it names no port"))?;
        Ok(Self { address: Address::tcp(&host, port), host, connector, dial })
    }

    /// Connects, TLS included. The caller bounds the time.
    ///
    /// # Errors
    /// A sentence for the log.
    pub async fn connect(&self) -> Result<Stream, String> {
        let stream = self.dial.dial(&self.address).await.map_err(|error| error.to_string())?;
        match &self.connector {
            None => Ok(stream),
            Some(connector) => {
                let (config, name) = connector.to_host(&self.host);
                let shaken = tls::connect(stream, config, name).await;
                Ok(shaken.map_err(|error| format!("TLS: {error}"))?.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_what_is_none() {
        for (url, expected) in [
            ("http://db1:8008", Ok("db1:8008")),
            ("http://[::1]:8008", Ok("[::1]:8008")),
            ("https://db1:1", Err("https://db1:1: there is nothing to check its certificate against")),
            ("ftp://db1", Err("ftp://db1: it begins neither with http:// nor with https://")),
        ] {
            let dial = Arc::new(crate::net::NetDialer::default());
            let found = Secured::new(url, None, dial).map(|secured| secured.address.to_string());
            assert_eq!(found.as_deref().map_err(|unfit| unfit.0.as_str()), expected);
        }
    }
}
