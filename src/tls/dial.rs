//! How connections to servers are secured: libpq's `sslmode`.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey};

use super::{
    ALPN, About, Authorities, Fault, Identity, Revocations, Version, provider, supported,
    verify::{Scrutiny, Verifier},
};

/// What is wanted of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    #[default]
    Disable,
    /// TLS where the server does not let us in without.
    Allow,
    /// TLS where the server has it.
    Prefer,
    /// TLS; with authorities the certificate must be theirs.
    Require,
    /// TLS, with a certificate of an authority.
    VerifyCa,
    /// TLS, with a certificate of an authority that is made out to the host.
    VerifyFull,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With an SSLRequest.
    #[default]
    Postgres,
    /// At once (PostgreSQL 17 and later).
    Direct,
}

/// Whether logins are bound to the connection that carries them (SCRAM-SHA-256-PLUS): libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// They are not.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// They must be: a server that lets us in otherwise is not spoken to.
    Require,
}

/// How servers are reached: ready for use, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ToServers {
    /// What is wanted.
    pub mode: SslMode,
    /// How it begins.
    pub start: Start,
    /// Whether logins are bound to it.
    pub binding: ChannelBinding,
    connector: Option<Connector>,
}

/// rustls' own configuration for connections to servers.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

/// Two are the same if they are one: what was read twice may have changed in between.
impl PartialEq for ToServers {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.connector, &other.connector) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(&one.0, &two.0),
            _ => false,
        };
        same && self.mode == other.mode && self.start == other.start && self.binding == other.binding
    }
}

impl Eq for ToServers {}

impl ToServers {
    /// Puts together what the configuration says.
    ///
    /// # Errors
    /// rustls does not take one of the parts.
    pub fn new(
        mode: SslMode,
        start: Start,
        versions: &[Version],
        servers: Option<(&Authorities, Revocations)>,
        identity: Option<&Identity>,
    ) -> Result<Self, Fault> {
        if mode == SslMode::Disable {
            return Ok(Self::default());
        }
        let verifier = match (mode, servers) {
            (SslMode::Require | SslMode::VerifyCa, Some((authorities, revoked))) => {
                Verifier::strict(authorities, revoked, Scrutiny::Issuer)?
            }
            (SslMode::VerifyFull, Some((authorities, revoked))) => {
                Verifier::strict(authorities, revoked, Scrutiny::IssuerAndName)?
            }
            (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
                return Err(Fault::new(About::Authorities, "there is nothing to check servers against", ""));
            }
            (SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require, _) => Verifier::Anybody,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&supported(versions))
            .map_err(|error| Fault::new(About::Versions, error.to_string(), ""))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from((*identity.key).clone())))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL does not resume sessions.
        config.resumption = Resumption::disabled();
        let binding = ChannelBinding::default();
        Ok(Self { mode, start, binding, connector: Some(Connector(Arc::new(config))) })
    }

    /// The same, with logins bound or not.
    #[must_use]
    pub fn bound(self, binding: ChannelBinding) -> Self {
        Self { binding, ..self }
    }

    /// What TLS is spoken with; `None` without TLS.
    pub const fn connector(&self) -> Option<&Connector> {
        self.connector.as_ref()
    }
}

impl Connector {
    /// rustls' configuration, and the name by which this host is called: in the handshake, if it is no address (SNI),
    /// and by the certificate.
    pub fn to_host(&self, host: &str) -> (Arc<ClientConfig>, ServerName<'static>) {
        let nameless = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        // What is no name can still be dialled; no certificate is made out to it.
        (self.0.clone(), ServerName::try_from(host.to_owned()).unwrap_or(nameless))
    }
}

impl Connector {
    /// The same for another protocol inside (ALPN, RFC 7301); `None`: one without a name.
    pub fn speaking(&self, protocol: Option<&[u8]>) -> Self {
        let mut config = (*self.0).clone();
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        Self(Arc::new(config))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
