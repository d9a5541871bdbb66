//! Certificate authorities of a test's own.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::Result;

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The certificate in DER.
    pub der: Vec<u8>,
    serial: SerialNumber,
}

/// Until when something is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// For ever.
    Always,
    /// It is over.
    Expired,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// The generator's.
    pub fn new(name: &str, valid: Valid) -> Result<Self> {
        let mut params = params(name, &[], valid)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for a name, and for these hosts.
    ///
    /// # Errors
    /// The generator's.
    pub fn issue(&self, name: &str, hosts: &[&str], valid: Valid) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let certificate = params(name, hosts, valid)?.signed_by(&key, &self.issuer)?;
        issued(certificate.pem(), certificate.der(), &key, name)
    }

    /// A list of what it has revoked, in PEM.
    ///
    /// # Errors
    /// The generator's.
    pub fn revoke(&self, revoked: &[&Issued]) -> Result<String> {
        let since = date_time_ymd(2020, 1, 1);
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: issued.serial.clone(),
            revocation_time: since,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: since,
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }
}

/// A certificate that signed itself, as the first page of every manual makes them.
///
/// # Errors
/// The generator's.
pub fn self_signed(name: &str, hosts: &[&str]) -> Result<Issued> {
    let key = KeyPair::generate()?;
    let mut params = params(name, hosts, Valid::Always)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key)?;
    issued(certificate.pem(), certificate.der(), &key, name)
}

fn issued(pem: String, der: &[u8], key: &KeyPair, name: &str) -> Result<Issued> {
    Ok(Issued { certificate: pem, key: key.serialize_pem(), der: der.to_vec(), serial: serial(name) })
}

fn serial(name: &str) -> SerialNumber {
    SerialNumber::from_slice(&name.as_bytes()[..name.len().min(16)])
}

fn params(name: &str, hosts: &[&str], valid: Valid) -> Result<CertificateParams> {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "pgsteer");
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial(name));
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(if valid == Valid::Expired { 2021 } else { 2096 }, 1, 1);
    Ok(params)
}
