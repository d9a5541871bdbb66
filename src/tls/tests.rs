//! What certificates say, as OpenSSL sees it. The samples in `tests/data/certificates` were made by it, one for each way
//! to sign.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{About, Authorities, Certificate, ClientCertificate, EndPoint, Identity, Revocations};

fn sample(name: &str) -> CertificateDer<'static> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/certificates");
    CertificateDer::from_pem_file(format!("{folder}/{name}.pem")).unwrap()
}

/// `openssl x509 -noout -fingerprint -sha256` and so on.
#[test]
fn the_hash_that_a_login_is_bound_to() {
    for (name, fingerprint) in [
        ("ecdsa-sha1", Some("36b11103a6051913e5405914ba818a5cd44aa3406560967cdead036caf2f616d")),
        ("ecdsa-sha256", Some("cb9ada99ca18d6f198c1221eecd773c829fb211892e7ca4375d459583ec8bfcf")),
        (
            "ecdsa-sha384",
            Some(concat!(
                "c08adaf7c42fa4fd5dbcaf1c409eff56fc13fa5310504b8b42973bb27a16bc3f",
                "4a4ab5c60719f74480db9fc0d7c2ed53"
            )),
        ),
        (
            "ecdsa-sha512",
            Some(concat!(
                "b78360f971a05ec170a88864aede86621abedea5f01f4d93e2018f1476368526",
                "c9d7022db473be429ec1bd77d7df8fa5e756a81f2682c319b7de0d4f613fe45c"
            )),
        ),
        ("ecdsa-sha224", Some("148a31e10bf7444fe566404b852209c20e43783a4217a65767929586")),
        // A hash of another family, which no client would expect.
        ("ecdsa-sha3-256", None),
        ("ed25519", None),
        ("ed448", None),
        ("pss-sha1", Some("b4a7574d32391f84f6fa0947cddf568738fa7d7e59bd27cd3b717b9ab12dda22")),
        ("pss-sha224", Some("e1f93765e109322ebac559739f6c2ed85ab13d93eff46da34daf8590")),
        ("pss-sha256", Some("8fd8ff2818baa2f64d7b257fa71d07776bae2ef25b9c703b77c39cf8ff804376")),
        (
            "pss-sha384",
            Some(concat!(
                "26fd3bf845953b6b7598d0ddd05a29ae21871eb27346d5497fc9b4e8ed4a6f00",
                "2226c269508a7fe8ddf0abac8ccc36a4"
            )),
        ),
        (
            "pss-sha512",
            Some(concat!(
                "bac5b9d01a9d0f10d506c9ff7f488fd80022d70f8a9989793d9c8965d2a6f5e4",
                "c8533dd3ebcdd12c827e605810e2ed0909756a5ad8f30806fc1a3c2d644f86d7"
            )),
        ),
        ("rsa-md5", Some("7d42417076faa22a1df431d817eb166702e68144a0416b3afad2dc8db3f76c83")),
        ("rsa-sha1", Some("75f6e89dcc4c20b0167b7fa331eb566d6b478999f1fc3a13f2185ee695d7642b")),
        ("rsa-sha224", Some("8f70a25b8647775a51902ac0f9c6f0c0e998a2c13593fd5708de0856")),
        ("rsa-sha256", Some("52ff8a5eb722794003caabdaad2c122112b772a35150ab1b44eaff6521928f5a")),
        (
            "rsa-sha384",
            Some(concat!(
                "d633133d4a0234ded7d08271250783303b95fb802a613c0e16aa6e4c9c7d9867",
                "3e87425e85cc7d5ed539d485f6bc27bb"
            )),
        ),
        (
            "rsa-sha512",
            Some(concat!(
                "d2e4aa7a095d9edf7529d90a28e3d107176ab31d5d82bed1306d4550293c49cb",
                "d2a451579d6cb4fb53e39f1961919888322adc5f4f6c5adb32b724cb10f5af4a"
            )),
        ),
    ] {
        let end_point = EndPoint::of(&sample(name));
        let hex =
            end_point.map(|hash| hash.bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(hex.as_deref(), fingerprint, "{name}");
    }
    assert_eq!(EndPoint::of(b"no certificate"), None);
}

/// `openssl x509 -noout -subject -nameopt RFC2253`.
#[test]
fn who_a_certificate_was_given_to() {
    let subject = Certificate::parse(&sample("subject")).unwrap();
    assert_eq!(
        subject.owner(),
        ClientCertificate {
            common_name: Some("multi/x".to_owned()),
            distinguished_name: "CN=\\ #odd \\\\ name\\ ,emailAddress=a@b.c,UID=u1,DC=example,\
                                 O=Gr\\C3\\B6\\C3\\9Fe\\, Co+CN=multi/x,C=DE"
                .to_owned(),
            alt_names: ["db.example", "10.0.0.1", "::1", "x@y.z", "https://e.f/g"]
                .map(str::to_owned)
                .to_vec(),
        }
    );
    let multivalued = Certificate::parse(&sample("multivalued")).unwrap();
    assert_eq!(multivalued.owner().distinguished_name, "OU=a+CN=b,O=x");
    let (from, until) = multivalued.validity();
    assert!(from > Duration::ZERO && until > from);
}

#[test]
fn bytes_that_are_no_certificate() {
    let whole = sample("pss-sha384");
    for end in 0..whole.len() {
        assert!(Certificate::parse(&whole[..end]).is_none(), "cut at {end}");
    }
    for at in 0..whole.len() {
        let mut bent = whole.to_vec();
        bent[at] ^= 0x10;
        // Whatever it is now, it is looked at without harm.
        let _ = EndPoint::of(&bent);
        let _ = Certificate::parse(&bent).map(|certificate| certificate.owner());
    }
}

#[test]
fn files_that_are_wrong() {
    let fault = |about, what: &str| Some((about, what.to_owned()));
    let of =
        |pem: &[u8]| Authorities::from_pem(pem, Duration::ZERO).err().map(|fault| (fault.about, fault.what));
    assert_eq!(of(b""), fault(About::Authorities, "there is no certificate in it (PEM)"));
    assert_eq!(
        of(b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
        fault(About::Authorities, "malformed PEM: a section has no end")
    );
    assert_eq!(
        of(b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        fault(About::Authorities, "malformed PEM: a section is not base64")
    );
    assert_eq!(
        of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        fault(About::Authorities, "cannot use a certificate in it: it is malformed")
    );
    let issued = pgsteer_testkit::self_signed("a", &[]).unwrap();
    let key = |pem: &[u8]| {
        let identity = Identity::from_pem(issued.certificate.as_bytes(), pem);
        identity.err().map(|fault| (fault.about, fault.what))
    };
    assert_eq!(key(issued.key.as_bytes()), None);
    assert_eq!(key(b""), fault(About::Key, "there is no private key in it (PEM)"));
    assert_eq!(
        key(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
        fault(About::Key, "the key in it is encrypted, and nobody is there to be asked")
    );
    let other = pgsteer_testkit::self_signed("b", &[]).unwrap();
    assert_eq!(key(other.key.as_bytes()), fault(About::Key, "the key in it is not the certificate's"));
    let none = Revocations::from_pem(issued.certificate.as_bytes()).err().map(|fault| fault.about);
    assert_eq!(none, Some(About::Revocations));
    assert_eq!(
        format!("{:?}", Identity::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes())),
        "Ok(Identity)"
    );
}
