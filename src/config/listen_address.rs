//! Where pgsteer listens: an IP address and port, or a Unix socket.

use std::{fmt, net::SocketAddr, str::FromStr};

use toml::de::DeValue;

use super::value::{Context, Fault, Value, quoted};

/// PostgreSQL's port, which names a Unix socket where none is given: a client that is told the folder alone finds it.
const DEFAULT_PORT: u16 = 5432;
/// The longest path of a socket that Linux takes, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// The Unix socket `.s.PGSQL.<port>` in a folder; one that begins with `@` is in the abstract namespace.
    Unix {
        /// The folder.
        folder: String,
        /// The port in the socket's name.
        port: u16,
    },
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// Whether it is in the abstract namespace, where there are no files and so no permissions.
    pub fn is_abstract(&self) -> bool {
        matches!(self, Self::Unix { folder, .. } if folder.starts_with('@'))
    }

    /// Whether two listeners cannot both have it. Port 0 stands for any that is free; every address of a family takes each
    /// of its addresses, and `[::]` takes those of IPv4 as well.
    pub(super) fn is_taken_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let takes = |all: &SocketAddr, one: &SocketAddr| {
                    all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
                };
                let meet = one.ip() == other.ip() || takes(one, other) || takes(other, one);
                one.port() != 0 && one.port() == other.port() && meet
            }
            _ => self == other,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with(['/', '@']) {
            return text.parse().map(Self::Tcp).map_err(|_| format!("`{text}` is no IP address with a port"));
        }
        let (folder, port) = match text.rsplit_once(':') {
            None => (text, DEFAULT_PORT),
            Some((folder, digits)) => match digits.parse::<u16>() {
                Ok(port) if port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => (folder, port),
                _ => {
                    return Err(format!("`{digits}` is no port: expected /socket/folder:port or @name:port"));
                }
            },
        };
        if folder == "@" || text.contains('\0') {
            return Err("a socket in the abstract namespace needs a name behind the `@`".to_owned());
        }
        if folder.len() + format!("/.s.PGSQL.{port}").len() > SOCKET_PATH_MAX {
            return Err(format!("the path of the socket would be longer than {SOCKET_PATH_MAX} bytes"));
        }
        Ok(Self::Unix { folder: folder.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { folder, port } => write!(f, "{folder}:{port}"),
        }
    }
}

impl Value for ListenAddress {
    fn kind() -> String {
        "IP address and port, or socket folder".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("an address like \"127.0.0.1:6432\"", value))?;
        text.parse().map_err(|what: String| {
            let fault = Fault::new(what);
            if text.starts_with(['/', '@']) {
                return fault;
            }
            fault.help(
                "write \"127.0.0.1:6432\" for this machine only, \"0.0.0.0:6432\" for every IPv4 address, \"[::]:6432\" for all, \"/run/pgsteer:6432\" for a Unix socket",
            )
        })
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// The permissions of a socket's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Value for FileMode {
    fn kind() -> String {
        "octal mode like `\"0770\"`".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("an octal mode like \"0770\"", value))?;
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| Fault::new(format!("`{text}` is no octal mode between 0000 and 0777")))
    }
    fn show(&self) -> String {
        quoted(&format!("{:04o}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown, local) in [
            ("127.0.0.1:6432", "127.0.0.1:6432", true),
            ("[::]:6432", "[::]:6432", false),
            ("/run/pgsteer", "/run/pgsteer:5432", true),
            ("/run/pgsteer:6432", "/run/pgsteer:6432", true),
            ("@pgsteer:6432", "@pgsteer:6432", true),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (shown, local));
            assert_eq!(address.is_abstract(), text.starts_with('@'));
        }
        for text in ["", "6432", "localhost:6432", "/run:0", "/run:+1", "/run:x", "@", "@:1", "run/pg"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
        let longest = format!("/{}", "x".repeat(SOCKET_PATH_MAX - "//.s.PGSQL.5432".len()));
        assert!(longest.parse::<ListenAddress>().is_ok());
        assert!(format!("{longest}x").parse::<ListenAddress>().is_err());
    }

    #[test]
    fn modes() {
        let nothing = |_: &str| None;
        let context = Context { folder: std::path::Path::new(""), environment: &nothing };
        let read = |text: &str| FileMode::read(DeValue::parse(text).unwrap().get_ref(), context);
        assert_eq!(read("\"0770\"").map(|mode| mode.show()), Ok("\"0770\"".to_owned()));
        assert_eq!(read("\"777\""), Ok(FileMode(0o777)));
        for text in ["\"\"", "\"8\"", "\"0888\"", "\"1777\"", "\"+77\"", "770", "\"00770\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
