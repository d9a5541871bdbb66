//! The content of certificate files: authorities, an own certificate with its key, revocations. All in PEM.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
    sign::CertifiedKey,
};

use super::{Certificate, EndPoint, provider};

/// Which of the files is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The authorities (`ca_file`).
    Authorities,
    /// The own certificate (`cert_file`).
    Certificate,
    /// Its key (`key_file`).
    Key,
    /// The revocations (`crl_file`).
    Revocations,
    /// The versions of the protocol (`protocols`).
    Versions,
}

/// What is wrong with a file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub about: About,
    /// What is wrong: goes on after the file's name.
    pub what: String,
    /// What to do about it; empty: nothing to say.
    pub help: &'static str,
}

impl Fault {
    pub(super) fn new(about: About, what: impl Into<String>, help: &'static str) -> Self {
        Self { about, what: what.into(), help }
    }
}

/// Certificate authorities that are trusted.
#[derive(Clone)]
pub struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates themselves. A server's own certificate may be among them.
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
}

/// An own certificate and its key.
#[derive(Clone)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    leaf: CertificateDer<'static>,
}

/// Certificates that were revoked before their time (RFC 5280, section 5).
#[derive(Clone, Default)]
pub struct Revocations(pub(super) Vec<CertificateRevocationListDer<'static>>);

impl Authorities {
    /// Reads them. `now` is the time since 1970.
    ///
    /// # Errors
    /// There is none, one is malformed, or all have expired.
    pub fn from_pem(pem: &[u8], now: Duration) -> Result<Self, Fault> {
        let fault = |what, help| Fault::new(About::Authorities, what, help);
        let certificates = certificates(pem, About::Authorities)?;
        let mut roots = RootCertStore::empty();
        let mut newest: Option<(Duration, String)> = None;
        for certificate in &certificates {
            let expiry = Certificate::parse(certificate).map(|c| (c.validity().1, c.valid_until()));
            let unusable = |why: String| fault(format!("cannot use a certificate in it: {why}"), "");
            let expiry = expiry.ok_or_else(|| unusable("it is malformed".to_owned()))?;
            roots.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
            newest = newest.max(Some(expiry));
        }
        match newest {
            Some((until, shown)) if until < now => {
                let what = match certificates.len() {
                    1 => format!("the authority's certificate expired on {shown}"),
                    _ => format!("every certificate in it has expired, the last on {shown}"),
                };
                Err(fault(what, "put the authority's current certificate there"))
            }
            _ => Ok(Self { roots: Arc::new(roots), certificates: certificates.into() }),
        }
    }

    /// The system's own. Those that cannot be used are left out, as other programs do.
    ///
    /// # Errors
    /// None can be used.
    pub fn of_system(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(certificates).0 == 0 {
            let what = "the system has no certificate authorities";
            return Err(Fault::new(About::Authorities, what, "install the package ca-certificates"));
        }
        Ok(Self { roots: Arc::new(roots), certificates: Arc::from([]) })
    }
}

impl Identity {
    /// Reads a certificate, the ones between it and its authority behind it, and its key.
    ///
    /// # Errors
    /// Either is missing or malformed, or they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, Fault> {
        let chain = certificates(certificate, About::Certificate)?;
        let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        if Certificate::parse(&leaf).is_none() {
            return Err(Fault::new(About::Certificate, "the first certificate in it is malformed", ""));
        }
        let der = PrivateKeyDer::from_pem_slice(key).map_err(|error| no_key(key, &error))?;
        let key = CertifiedKey::from_der(chain, der, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Fault::new(
                About::Key,
                "the key in it is not the certificate's",
                "cert_file must hold the certificate of this key first, those between it and its authority after it",
            ),
            error => Fault::new(
                About::Key,
                format!("cannot use the key in it: {error}"),
                "RSA of 2048 bits or more, ECDSA on P-256 or P-384, and Ed25519 can be used",
            ),
        })?;
        Ok(Self { key: Arc::new(key), leaf })
    }

    /// What is odd about it now, in time since 1970: expired, or not valid yet.
    pub fn oddity(&self, now: Duration) -> Option<Fault> {
        let leaf = Certificate::parse(&self.leaf)?;
        let (from, until) = leaf.validity();
        let what = if until < now {
            format!("the certificate expired on {}", leaf.valid_until())
        } else if from > now {
            "the certificate is not valid yet".to_owned()
        } else {
            return None;
        };
        Some(Fault::new(About::Certificate, what, "who checks it will refuse the connection"))
    }

    /// What logins are bound to.
    pub fn end_point(&self) -> Option<EndPoint> {
        EndPoint::of(&self.leaf)
    }

    /// The certificate's SHA-256, to tell one from another.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(&self.leaf).into()
    }
}

impl Revocations {
    /// Reads lists of revoked certificates.
    ///
    /// # Errors
    /// There is none, or one is malformed.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Fault> {
        let lists = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        match lists {
            Ok(lists) if lists.is_empty() => {
                Err(Fault::new(About::Revocations, "there is no revocation list in it (X509 CRL in PEM)", ""))
            }
            Ok(lists) => Ok(Self(lists)),
            Err(error) => Err(malformed(About::Revocations, &error)),
        }
    }
}

fn certificates(pem: &[u8], about: About) -> Result<Vec<CertificateDer<'static>>, Fault> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(none) if none.is_empty() => Err(Fault::new(about, "there is no certificate in it (PEM)", "")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(malformed(about, &error)),
    }
}

fn malformed(about: About, error: &PemError) -> Fault {
    // The error's words may quote the file.
    let what = match error {
        PemError::MissingSectionEnd { .. } => "malformed PEM: a section has no end",
        PemError::IllegalSectionStart { .. } => "malformed PEM: a section's first line is cut",
        PemError::Base64Decode(_) => "malformed PEM: a section is not base64",
        _ => "malformed PEM",
    };
    Fault::new(about, what, "")
}

/// Why there is no key. Nothing of the file is shown.
fn no_key(pem: &[u8], error: &PemError) -> Fault {
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| memchr::memmem::find(pem, mark).is_some()) {
        let help = "remove its passphrase: openssl pkey -in OLD -out NEW";
        return Fault::new(About::Key, "the key in it is encrypted, and nobody is there to be asked", help);
    }
    match error {
        PemError::NoItemsFound => Fault::new(About::Key, "there is no private key in it (PEM)", ""),
        error => malformed(About::Key, error),
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.roots.len())
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocations({})", self.0.len())
    }
}
