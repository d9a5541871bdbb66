//! TLS up to the first byte: certificates, keys and revocations turned into rustls' configurations, and what a
//! certificate says of its owner. Bytes in, values out: no files and no sockets.
//!
//! The cryptography is ring's, named wherever a configuration is built: nothing here depends on a default of the
//! process.

mod accept;
mod certificate;
mod dial;
mod end_point;
mod material;
mod names;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use rustls::{
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
};

pub use accept::{Acceptor, Demand, Negotiation};
pub use certificate::{Certificate, ClientCertificate};
pub use dial::{ChannelBinding, Connector, SslMode, Start, ToServers};
pub use end_point::EndPoint;
pub use material::{About, Authorities, Fault, Identity, Revocations};

/// The name of PostgreSQL's protocol inside a TLS handshake (ALPN, RFC 7301), as registered with IANA.
pub const ALPN: &[u8] = b"postgresql";

/// A version of TLS. Older ones are not spoken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// For tests that build configurations of their own.
#[cfg(test)]
pub(crate) fn tests_provider() -> Arc<CryptoProvider> {
    provider()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// rustls' names for versions; none is refused where the configuration is read.
fn supported(versions: &[Version]) -> Vec<&'static SupportedProtocolVersion> {
    let name = |version: &Version| match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    versions.iter().map(name).collect()
}
