//! Where a PostgreSQL server listens.

use std::{fmt, str::FromStr, sync::Arc};

/// PostgreSQL's port where none is given.
const DEFAULT_PORT: u16 = 5432;

/// A server's address as users and Patroni write it. Names are resolved at every dial. One whose name has come to lead
/// elsewhere is another address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A host name or IP address (IPv6 without brackets), and a port.
    Tcp {
        /// Name, IPv4 or IPv6 address.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// How often the name has come to lead elsewhere, as far as that was seen.
        moves: u32,
    },
    /// A socket folder and the port that names the socket in it (`.s.PGSQL.<port>`), as libpq has it. A folder that
    /// begins with `@` is in the abstract namespace.
    Unix {
        /// The folder.
        folder: Arc<str>,
        /// The port in the socket's name.
        port: u16,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: expected host, host:port, [ipv6]:port or /socket/folder:port")]
pub struct AddressError {
    text: String,
}

impl Address {
    /// A TCP address.
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: host.into(), port, moves: 0 }
    }

    /// Its host, where that is a name, which may come to lead elsewhere.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tcp { host, .. } => host.parse::<std::net::IpAddr>().is_err().then_some(host),
            Self::Unix { .. } => None,
        }
    }

    /// The same after its name has come to lead elsewhere so often.
    #[must_use]
    pub fn after(self, moves: u32) -> Self {
        match self {
            Self::Tcp { host, port, .. } => Self::Tcp { host, port, moves },
            unix @ Self::Unix { .. } => unix,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let port_of = |p: &str| p.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(wrong);
        if text.starts_with(['/', '@']) {
            let (folder, port) = match text.rsplit_once(':') {
                Some((folder, port)) => (folder, port_of(port)?),
                None => (text, DEFAULT_PORT),
            };
            return Ok(Self::Unix { folder: folder.into(), port });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => port_of(port)?,
                None if rest.is_empty() => DEFAULT_PORT,
                None => return Err(wrong()),
            };
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            return Ok(Self::tcp(host, port));
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Self::tcp(text, DEFAULT_PORT));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port_of(port)?),
            None => (text, DEFAULT_PORT),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/' || c == ',') {
            return Err(wrong());
        }
        Ok(Self::tcp(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix { folder, port } => write!(f, "{folder}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_what_they_mean() {
        for (text, shown) in [
            ("db1", "db1:5432"),
            ("db1:6000", "db1:6000"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[::1]:7", "[::1]:7"),
            ("::1", "[::1]:5432"),
            ("/run/pg", "/run/pg:5432"),
            ("/run/pg:6", "/run/pg:6"),
            ("@pg", "@pg:5432"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in ["", "a:", "a:0", "a:99999", "a b", "[::1", "[x]:1", "[::1]x", ":5432", "a/b"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
