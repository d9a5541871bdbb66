//! What a certificate says (X.509, RFC 5280).

use std::time::Duration;

use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{Decode as _, asn1::ObjectIdentifier},
    ext::pkix::{SubjectAltName, name::GeneralName},
    spki::AlgorithmIdentifierOwned,
};

use super::names;

/// Subject's common name (X.520).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate that was read.
#[derive(Clone, Debug)]
pub struct Certificate(CertificateInner<Raw>);

/// Who a client's certificate says it is. The certificate was checked against the authorities before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The first common name of the subject (CN).
    pub common_name: Option<String>,
    /// The subject as RFC 2253 writes it, last part first: `CN=alice,OU=staff,O=Example`; as PostgreSQL compares it
    /// (`clientname=DN`).
    pub distinguished_name: String,
    /// The alternative names (SAN): DNS names, addresses, e-mail addresses, URIs.
    pub alt_names: Vec<String>,
}

/// What a certificate may be used for by name: a host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostNames {
    /// It names hosts among its alternative names: only those count.
    Alternative,
    /// It names none there: the common name counts, as it did before RFC 2818.
    Common,
}

impl Certificate {
    /// Reads a certificate in DER; `None` if it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        CertificateInner::from_der(der).ok().map(Self)
    }

    /// Who it was given to.
    pub fn owner(&self) -> ClientCertificate {
        ClientCertificate {
            common_name: self.common_name(),
            distinguished_name: names::rfc2253(self.0.tbs_certificate().subject()),
            alt_names: self.alternative().iter().filter_map(alternative_name).collect(),
        }
    }

    /// From when and until when it is valid, in time since 1970.
    pub fn validity(&self) -> (Duration, Duration) {
        let validity = self.0.tbs_certificate().validity();
        (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration())
    }

    /// The last moment of its validity, for people: `2027-01-31T12:00:00Z`.
    pub fn valid_until(&self) -> String {
        self.0.tbs_certificate().validity().not_after.to_string()
    }

    /// The first common name; `None` also for one with a NUL in it, which is there to be cut short.
    pub(super) fn common_name(&self) -> Option<String> {
        let mut attributes = self.0.tbs_certificate().subject().iter();
        let first = attributes.find(|attribute| attribute.oid == COMMON_NAME)?;
        names::text(&first.value).filter(|name| !name.is_empty() && !name.contains('\0'))
    }

    /// Which of its names may be a host's.
    pub(super) fn host_names(&self) -> HostNames {
        let is_host =
            |name: &GeneralName| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
        if self.alternative().iter().any(is_host) { HostNames::Alternative } else { HostNames::Common }
    }

    pub(super) fn signature_algorithm(&self) -> &AlgorithmIdentifierOwned {
        self.0.signature_algorithm()
    }

    fn alternative(&self) -> Vec<GeneralName> {
        let found = self.0.tbs_certificate().get_extension::<SubjectAltName>();
        found.ok().flatten().map(|(_, names)| names.0).unwrap_or_default()
    }
}

fn alternative_name(name: &GeneralName) -> Option<String> {
    let text = match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => text.as_str().to_owned(),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => std::net::Ipv4Addr::from_octets(bytes.try_into().ok()?).to_string(),
            bytes => std::net::Ipv6Addr::from_octets(bytes.try_into().ok()?).to_string(),
        },
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}
