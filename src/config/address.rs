//! Addresses as the configuration holds them: checked texts. Who dials turns them into addresses.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use toml::de::DeValue;

use super::value::{Context, Fault, Value, quoted};

/// Where a PostgreSQL server listens: `host`, `host:port`, `[ipv6]:port` or `/socket/folder:port`.
/// A text that has been checked to be one of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddress(String);

/// Where a store listens: a URL without path, credentials or query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    /// `None`: where the store listens unless told otherwise.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Unsaid,
    Http,
    Https,
}

impl ServerAddress {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = match text.strip_prefix(['/', '@']) {
            Some(_) => text.rsplit_once(':').is_none_or(|(_, port)| is_port(port)),
            None => is_host_and_port(text),
        };
        valid.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("`{text}` is no address: expected host, host:port, [ipv6]:port or /socket/folder:port")
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Endpoint {
    /// The URL to connect to. An endpoint without a scheme follows `tls`, one without a port has `port`.
    pub(super) fn url(&self, tls: bool, port: u16) -> String {
        let scheme = if self.is_tls(tls) { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port.unwrap_or(port))
    }

    fn authority(&self) -> String {
        match self.port {
            None => self.host.clone(),
            Some(port) => format!("{}:{port}", self.host),
        }
    }

    pub(super) fn is_tls(&self, unsaid: bool) -> bool {
        match self.scheme {
            Scheme::Unsaid => unsaid,
            Scheme::Http => false,
            Scheme::Https => true,
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, authority) = if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else {
            (Scheme::Unsaid, text)
        };
        if authority.contains('@') {
            return Err("an endpoint holds no credentials: use store_user and store_password".to_owned());
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if !is_host_and_port(authority) {
            return Err(format!(
                "`{text}` is no endpoint: expected host:port, http://host:port or https://host:port"
            ));
        }
        let bare_v6 = authority.parse::<Ipv6Addr>().is_ok();
        if bare_v6 {
            return Ok(Self { scheme, host: format!("[{authority}]"), port: None });
        }
        let split = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = split.map_or((authority, None), |(host, port)| (host, Some(port)));
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_host_and_port(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(host, port)| {
            host.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ',' | '?' | '#' | '@' | '[' | ']');
    !host.is_empty() && !host.contains(odd) && port.is_none_or(is_port)
}

impl Value for ServerAddress {
    fn kind() -> String {
        "server address".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("an address like \"db1:5432\"", value))?;
        text.parse().map_err(Fault::new)
    }
    fn show(&self) -> String {
        quoted(&self.0)
    }
}

impl Value for Endpoint {
    fn kind() -> String {
        "endpoint".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text =
            value.as_str().ok_or_else(|| Fault::not_a("an endpoint like \"10.0.0.10:2379\"", value))?;
        text.parse().map_err(Fault::new)
    }
    fn show(&self) -> String {
        match self.scheme {
            Scheme::Unsaid => quoted(&self.authority()),
            Scheme::Http => quoted(&format!("http://{}", self.authority())),
            Scheme::Https => quoted(&format!("https://{}", self.authority())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_addresses() {
        for text in [
            "db1",
            "db1:6000",
            "10.0.0.1:1",
            "[::1]:7",
            "[::1]",
            "::1",
            "/run/pg",
            "/run/pg:6",
            "@pg:6",
            "a_b.c:1",
        ] {
            assert!(text.parse::<ServerAddress>().is_ok(), "{text}");
        }
        for text in [
            "", "a:", "a:0", "a:+1", "a:99999", "a b", "[::1", "[x]:1", "[::1]x", ":5432", "a/b", "a,b",
            "a:1:2",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints() {
        for (text, plain, tls) in [
            ("a", "http://a:2379", "https://a:2379"),
            ("a:1", "http://a:1", "https://a:1"),
            ("http://a:1", "http://a:1", "http://a:1"),
            ("https://a/", "https://a:2379", "https://a:2379"),
            ("::1", "http://[::1]:2379", "https://[::1]:2379"),
            ("https://[::1]:1", "https://[::1]:1", "https://[::1]:1"),
            ("[::1]", "http://[::1]:2379", "https://[::1]:2379"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (endpoint.url(false, 2379).as_str(), endpoint.url(true, 2379).as_str()),
                (plain, tls),
                "{text}"
            );
        }
        for text in ["", "http://", "ftp://a", "a:x", "http://a/v2", "http://u:p@a:1", "a?b", "https://a:1#c"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        assert!(!"http://u:sesame@a:1".parse::<Endpoint>().unwrap_err().contains("sesame"));
    }
}
