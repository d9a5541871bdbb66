//! How web servers are spoken to: as browsers do, with certificates made out to the host.

use std::sync::Arc;

use rustls::{ClientConfig, client::Resumption};

use super::{About, Authorities, Fault, provider};

/// The protocol inside (ALPN, RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// For servers that one of these authorities vouches for.
///
/// # Errors
/// rustls does not take its own versions of TLS.
pub fn web(authorities: &Authorities) -> Result<Arc<ClientConfig>, Fault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::new(About::Versions, error.to_string(), ""))?;
    let mut config = builder.with_root_certificates(authorities.roots.clone()).with_no_client_auth();
    config.alpn_protocols = vec![HTTP.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
