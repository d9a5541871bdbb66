//! Whether a server is the one it should be, as libpq sees it (documentation, "SSL Support", and `fe-secure-common.c`).

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    Authorities, Certificate, Fault, Revocations, accept::unusable, certificate::HostNames, provider,
};

/// How closely a server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scrutiny {
    /// It must come from an authority.
    Issuer,
    /// And be made out to the host.
    IssuerAndName,
}

/// Looks at servers' certificates.
pub(super) enum Verifier {
    /// Whoever answers is the server: the connection is encrypted, and with whom is anybody's guess.
    Anybody,
    /// The certificate is looked at.
    Strict { webpki: Arc<WebPkiServerVerifier>, pinned: Arc<[CertificateDer<'static>]>, scrutiny: Scrutiny },
}

impl Verifier {
    pub(super) fn strict(
        authorities: &Authorities,
        Revocations(lists): Revocations,
        scrutiny: Scrutiny,
    ) -> Result<Self, Fault> {
        let webpki = WebPkiServerVerifier::builder_with_provider(authorities.roots.clone(), provider())
            .with_crls(lists)
            .enforce_revocation_expiration()
            .build()
            .map_err(unusable)?;
        Ok(Self::Strict { webpki, pinned: authorities.certificates.clone(), scrutiny })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Self::Strict { webpki, pinned, scrutiny } = self else {
            return Ok(ServerCertVerified::assertion());
        };
        // A certificate that signed itself and was named as authority: webpki takes no authority for a server's own
        // certificate, and PostgreSQL's documentation makes just these.
        let verified = if pinned.contains(end_entity) {
            is_current(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, host)
        } else {
            webpki.verify_server_cert(end_entity, intermediates, host, ocsp, now).map(drop)
        };
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if *scrutiny == Scrutiny::Issuer || is_common_name(end_entity, host) => {}
            outcome => outcome?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("Anybody"),
            Self::Strict { scrutiny, .. } => write!(f, "{scrutiny:?}"),
        }
    }
}

fn is_current(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (from, until) = Certificate::parse(der).ok_or(CertificateError::BadEncoding)?.validity();
    let seconds = now.as_secs();
    if seconds < from.as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if seconds > until.as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// A certificate without alternative names that are hosts' is made out to its common name; a `*` stands for the
/// whole first part of a name.
fn is_common_name(der: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    let Some(certificate) = Certificate::parse(der) else { return false };
    let Some(name) = certificate.common_name() else { return false };
    if certificate.host_names() == HostNames::Alternative {
        return false;
    }
    let host = host.to_str();
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(first, tail)| {
            !first.is_empty() && tail.contains('.') && tail.eq_ignore_ascii_case(rest)
        }),
        None => host.eq_ignore_ascii_case(&name),
    }
}
