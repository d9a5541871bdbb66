//! Who comes, and how: what is known of a client before it has proved anything.

use std::net::IpAddr;

pub use super::ClientCertificate;

/// A client that wants in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit<'a> {
    /// Who it says it is.
    pub user: &'a str,
    /// Which database it wants.
    pub database: &'a str,
    /// What for.
    pub wants: Wants,
    /// How it came.
    pub whence: &'a Whence,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// SQL, logical replication included.
    Session,
    /// The WAL (`replication=true`): no database is involved.
    PhysicalReplication,
}

/// How a client came, and what its connection itself proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// Through a Unix socket.
    Local {
        /// The name of the system's user at the other end, where the system knows it.
        system_user: Option<String>,
    },
    /// Over TCP, in the clear.
    Plain {
        /// Its address.
        address: IpAddr,
    },
    /// Over TCP with TLS.
    Tls {
        /// Its address.
        address: IpAddr,
        /// The certificate it has shown, if any: checked against the authorities.
        certificate: Option<Box<ClientCertificate>>,
    },
}

impl Whence {
    /// The address, as an IPv4 one where it is one within IPv6.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Local { .. } => None,
            Self::Plain { address } | Self::Tls { address, .. } => Some(address.to_canonical()),
        }
    }

    /// The certificate the client has shown.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        match self {
            Self::Tls { certificate, .. } => certificate.as_deref(),
            Self::Local { .. } | Self::Plain { .. } => None,
        }
    }

    /// The address in PostgreSQL's words, for errors.
    pub fn host(&self) -> String {
        self.address().map_or_else(|| "[local]".to_owned(), |address| address.to_string())
    }

    /// Whether it is encrypted, in PostgreSQL's words.
    pub const fn encryption(&self) -> &'static str {
        match self {
            Self::Tls { .. } => "SSL encryption",
            Self::Local { .. } | Self::Plain { .. } => "no encryption",
        }
    }
}

/// One of this machine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The address.
    pub address: IpAddr,
    /// Its network's mask.
    pub mask: IpAddr,
}
