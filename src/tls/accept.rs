//! How clients' connections are secured.

use std::{fmt, sync::Arc};

use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};

use super::{ALPN, About, Authorities, EndPoint, Fault, Identity, Revocations, Version, provider, supported};

/// What a client must do about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It may use it.
    Nothing,
    /// It must use it.
    Encryption,
    /// It must use it and show a certificate.
    Certificate,
}

/// How TLS may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiation {
    /// After an SSLRequest, or at once.
    Any,
    /// After an SSLRequest only.
    Postgres,
    /// With the first byte only (PostgreSQL 17).
    Direct,
}

/// Whom it lets in, and with what.
#[derive(Clone)]
pub struct Acceptor {
    /// What is asked of clients.
    pub demand: Demand,
    /// How TLS may begin.
    pub negotiation: Negotiation,
    /// rustls' own configuration.
    pub config: Arc<ServerConfig>,
    /// What logins over it are bound to.
    pub end_point: Option<EndPoint>,
    /// The own certificate's SHA-256.
    fingerprint: [u8; 32],
}

impl Acceptor {
    /// Puts together what the configuration says. With authorities every client is asked for a certificate, and one
    /// that is shown must be theirs and not revoked, as with PostgreSQL's `ssl_ca_file`.
    ///
    /// # Errors
    /// rustls does not take one of the parts.
    pub fn new(
        demand: Demand,
        negotiation: Negotiation,
        versions: &[Version],
        identity: &Identity,
        clients: Option<(&Authorities, Revocations)>,
    ) -> Result<Self, Fault> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&supported(versions))
            .map_err(|error| Fault::new(About::Versions, error.to_string(), ""))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((authorities, Revocations(lists))) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities.roots.clone(), provider())
                        .with_crls(lists)
                        .enforce_revocation_expiration()
                        // Who shows none can be told so in words, behind the handshake.
                        .allow_unauthenticated()
                        .build();
                builder.with_client_cert_verifier(verifier.map_err(unusable)?)
            }
        };
        let key = SingleCertAndKey::from((*identity.key).clone());
        let mut config = builder.with_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL does not resume sessions, and its clients do not ask for it: nothing is kept for that.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            demand,
            negotiation,
            config: Arc::new(config),
            end_point: identity.end_point(),
            fingerprint: identity.fingerprint(),
        })
    }

    /// Whether both show the same certificate.
    pub fn same_certificate(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

pub(super) fn unusable(error: VerifierBuilderError) -> Fault {
    match error {
        VerifierBuilderError::InvalidCrl(error) => {
            Fault::new(About::Revocations, format!("cannot use a list in it: {error:?}"), "")
        }
        error => Fault::new(About::Authorities, error.to_string(), ""),
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("demand", &self.demand).finish_non_exhaustive()
    }
}
