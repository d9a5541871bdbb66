//! What binds a login to a TLS connection: `tls-server-end-point` (RFC 5929, section 4.1), a hash of the server's
//! certificate.

use std::fmt;

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_cert::{
    der::{Reader as _, TagNumber, asn1::ContextSpecific},
    spki::AlgorithmIdentifierOwned,
};

use super::Certificate;

/// The hash of a server's certificate by which both ends know that they speak over the same TLS connection.
#[derive(Clone, PartialEq, Eq)]
pub struct EndPoint(Box<[u8]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl EndPoint {
    /// Of a certificate in DER. The hash is the one that the certificate's own signature is made with, but SHA-256 for
    /// MD5 and SHA-1. `None` where that leaves it open, as with Ed25519: then nothing can be bound.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::parse(der)?;
        Some(Self(match hash_of(certificate.signature_algorithm())? {
            Hash::Sha224 => Sha224::digest(der).as_slice().into(),
            Hash::Sha256 => Sha256::digest(der).as_slice().into(),
            Hash::Sha384 => Sha384::digest(der).as_slice().into(),
            Hash::Sha512 => Sha512::digest(der).as_slice().into(),
        }))
    }

    /// These bytes, for tests of what is made of them.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The hash.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EndPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndPoint({} bytes)", self.0.len())
    }
}

fn hash_of(signature: &AlgorithmIdentifierOwned) -> Option<Hash> {
    Some(match &*signature.oid.to_string() {
        // PKCS #1: MD5, SHA-1, then SHA-2.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" => Hash::Sha256,
        "1.2.840.113549.1.1.11" => Hash::Sha256,
        "1.2.840.113549.1.1.12" => Hash::Sha384,
        "1.2.840.113549.1.1.13" => Hash::Sha512,
        "1.2.840.113549.1.1.14" => Hash::Sha224,
        "1.2.840.113549.1.1.10" => return pss_hash(signature),
        // ECDSA.
        "1.2.840.10045.4.1" => Hash::Sha256,
        "1.2.840.10045.4.3.1" => Hash::Sha224,
        "1.2.840.10045.4.3.2" => Hash::Sha256,
        "1.2.840.10045.4.3.3" => Hash::Sha384,
        "1.2.840.10045.4.3.4" => Hash::Sha512,
        // DSA.
        "1.2.840.10040.4.3" => Hash::Sha256,
        "2.16.840.1.101.3.4.3.1" => Hash::Sha224,
        "2.16.840.1.101.3.4.3.2" => Hash::Sha256,
        _ => return None,
    })
}

/// RSASSA-PSS names its hash in its parameters (RFC 4055, section 3.1); SHA-1 where it names none.
fn pss_hash(signature: &AlgorithmIdentifierOwned) -> Option<Hash> {
    let named = signature.parameters.as_ref()?.sequence(|fields| {
        let hash = ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(fields, TagNumber(0))?;
        fields.drain(fields.remaining_len())?;
        Ok::<_, x509_cert::der::Error>(hash.map(|hash| hash.value.oid.to_string()))
    });
    Some(match named.ok()?.as_deref() {
        None | Some("1.3.14.3.2.26" | "1.2.840.113549.2.5" | "2.16.840.1.101.3.4.2.1") => Hash::Sha256,
        Some("2.16.840.1.101.3.4.2.2") => Hash::Sha384,
        Some("2.16.840.1.101.3.4.2.3") => Hash::Sha512,
        Some("2.16.840.1.101.3.4.2.4") => Hash::Sha224,
        Some(_) => return None,
    })
}
