//! TLS: what is refused, what is odd, what comes of it.

use std::path::{Path, PathBuf};

use pgsteer_testkit::{Authority, Valid, self_signed};

use super::*;
use crate::tls::{Demand, SslMode};

/// A folder with certificates and keys.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let authority = Authority::new("authority", Valid::Always).unwrap();
        let own = authority.issue("own", &["db.example"], Valid::Always).unwrap();
        let old = authority.issue("old", &[], Valid::Expired).unwrap();
        let expired = Authority::new("expired", Valid::Expired).unwrap();
        for (name, text) in [
            ("ca.pem", &*authority.pem()),
            ("old-ca.pem", &expired.pem()),
            ("own.pem", &own.certificate),
            ("own.key", &own.key),
            ("old.pem", &old.certificate),
            ("old.key", &old.key),
            ("other.key", &self_signed("other", &[]).unwrap().key),
            ("crl.pem", &authority.revoke(&[&old]).unwrap()),
            ("empty.pem", ""),
        ] {
            files.write(name, text);
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn parse(&self, text: &str) -> Result<Config, Invalid> {
        let environment = |_: &str| None;
        Config::parse(&with(text), "p.toml", self.0.path(), &environment, Readers::OwnerOrGroup)
    }

    /// The errors, or else the warnings, with the folder's name left out.
    fn findings(&self, text: &str) -> Vec<String> {
        let found = match self.parse(text) {
            Ok(config) => config.warnings().to_vec(),
            Err(invalid) => invalid.findings().to_vec(),
        };
        let folder = format!("{}/", Path::new(self.0.path()).display());
        found.iter().map(|finding| finding.to_string().replace(&folder, "")).collect()
    }
}

const OWN: &str = "cert_file = \"own.pem\"\nkey_file = \"own.key\"\n";

/// Each text, which begins in line 10, and the one thing that is said of it.
fn check(cases: &[(&str, &str)]) {
    let files = Files::new();
    for (text, found) in cases {
        let text = text.replace("OWN", OWN);
        assert_eq!(files.findings(&text), [format!("p.toml:{found}")], "{text}");
    }
}

#[test]
fn an_own_certificate_and_its_key() {
    check(&[
        (
            "[client_tls]\nsslmode = \"yes\"",
            "11:11: `sslmode`: `yes` is none of \"disable\" or \"allow\" or \"prefer\" or \"require\" or \"verify-ca\" or \"verify-full\"",
        ),
        (
            "[client_tls]\nsslmode = \"require\"",
            "11:11: sslmode = \"require\" needs a certificate and its key; add cert_file and key_file",
        ),
        (
            "[client_tls]\ncert_file = \"own.pem\"",
            "11:13: `cert_file` is set, but sslmode = \"disable\": clients cannot use TLS; set sslmode = \"prefer\", or \"require\"",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"own.pem\"",
            "12:13: `cert_file` is set without `key_file`; add the certificate's key",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\nkey_file = \"own.key\"",
            "12:12: `key_file` is set without `cert_file`; add the key's certificate",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"none.pem\"\nkey_file = \"own.key\"",
            "12:13: `cert_file`: cannot read none.pem: no such file or directory",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"empty.pem\"\nkey_file = \"own.key\"",
            "12:13: `cert_file`: empty.pem: there is no certificate in it (PEM)",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"own.pem\"\nkey_file = \"own.pem\"",
            "13:12: `key_file`: own.pem: there is no private key in it (PEM)",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"own.pem\"\nkey_file = \"other.key\"",
            "13:12: `key_file`: other.key: the key in it is not the certificate's; cert_file must hold the certificate of this key first, those between it and its authority after it",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\ncert_file = \"old.pem\"\nkey_file = \"old.key\"",
            "12:13: `cert_file`: old.pem: the certificate expired on 2021-01-01T00:00:00Z; who checks it will refuse the connection",
        ),
        (
            "[client_tls]\nsslmode = \"verify-full\"\nOWN",
            "11:11: sslmode = \"verify-full\" needs `ca_file`; add the authorities of your clients' certificates",
        ),
    ]);
}

#[test]
fn clients_certificates_and_the_rest() {
    check(&[
        (
            "[client_tls]\nsslmode = \"require\"\nOWNca_file = \"old-ca.pem\"",
            "14:11: `ca_file`: old-ca.pem: the authority's certificate expired on 2021-01-01T00:00:00Z; put the authority's current certificate there",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\nOWNcrl_file = \"crl.pem\"",
            "14:12: `crl_file` is set, but no certificate is checked; add `ca_file`",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\nOWNca_file = \"ca.pem\"\ncrl_file = \"ca.pem\"",
            "15:12: `crl_file`: ca.pem: there is no revocation list in it (X509 CRL in PEM)",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\nOWNprotocols = []",
            "14:13: `protocols` is empty: no version of TLS is left; remove it for both",
        ),
        (
            "[client_tls]\nsslmode = \"require\"\nOWNprotocols = [\"tlsv1.1\"]",
            "14:14: `protocols`: `tlsv1.1` is none of \"tlsv1.2\" or \"tlsv1.3\"; did you mean \"tlsv1.2\"?",
        ),
        (
            "[[listen]]\naddress = \"@x\"\nroute = \"read\"\n[listen.client_tls]\nsslmode = \"require\"",
            "13:1: there is no TLS on a Unix socket; remove the table; `unix_socket_mode` says who may connect",
        ),
    ]);
}

#[test]
fn what_is_wanted_of_servers() {
    check(&[
        (
            "[server_tls]\nsslmode = \"verify-full\"",
            "11:11: sslmode = \"verify-full\" needs `ca_file`; add the authorities of your servers' certificates, or \"system\"",
        ),
        (
            "[server_tls]\nca_file = \"ca.pem\"",
            "11:11: `ca_file` has no effect with sslmode = \"prefer\"; set sslmode = \"verify-full\"",
        ),
        (
            "[server_tls]\nsslmode = \"require\"\nca_file = \"system\"",
            "12:11: the system's authorities vouch for everybody: only a name that is checked says anything; set sslmode = \"verify-full\"",
        ),
        (
            "[server_tls]\nsslnegotiation = \"direct\"",
            "11:18: sslnegotiation = \"direct\" and sslmode = \"prefer\" exclude each other; set sslmode = \"require\", or better \"verify-full\"",
        ),
        (
            "[server_tls]\nchannel_binding = \"require\"",
            "11:19: channel_binding = \"require\" and sslmode = \"prefer\" exclude each other: without TLS there is nothing to bind to; set sslmode = \"require\", or better \"verify-full\"",
        ),
        (
            "[server_tls]\nsslmode = \"require\"\nchannel_binding = \"require\"\n[clusters.a.server_tls]\nsslmode = \"disable\"",
            "12:19: channel_binding = \"require\" and sslmode = \"disable\" exclude each other: without TLS there is nothing to bind to; set sslmode = \"require\", or better \"verify-full\"",
        ),
        (
            "[server_tls]\nkey_file = \"own.key\"",
            "11:12: `key_file` is set without `cert_file`; add the key's certificate",
        ),
        (
            "[server_tls]\ncrl_file = \"crl.pem\"",
            "11:12: `crl_file` is set, but no certificate is checked; add `ca_file`",
        ),
        (
            "[clusters.a.server_tls]\nsslmode = \"verify-ca\"\nca_file = \"none.pem\"",
            "12:11: `ca_file`: cannot read none.pem: no such file or directory",
        ),
        (
            "[databases.d.server_tls]\nsslmode = \"verify-ca\"",
            "11:11: sslmode = \"verify-ca\" needs `ca_file`; add the authorities of your servers' certificates, or \"system\"",
        ),
    ]);
}

#[test]
fn with_certificates_alone_every_listener_asks_for_one() {
    let found = "9:13: auth_type = \"cert\", but 127.0.0.1:6432 does not ask clients for a certificate; set sslmode = \"verify-full\" and ca_file under [client_tls]";
    check(&[("[auth]\nauth_type = \"cert\"\n", found)]);
}

/// A key that others may read, which root would not notice.
#[test]
fn keys_are_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(files.path("own.key"), everybody).unwrap();
    let found = files.findings(&format!("[client_tls]\nsslmode = \"prefer\"\n{OWN}"));
    assert_eq!(found, ["p.toml:13:12: everybody may read this private key; chmod o-r own.key"]);
}

#[test]
fn listeners_clusters_and_databases_may_differ() {
    let files = Files::new();
    let text = format!(
        "[client_tls]\nsslmode = \"prefer\"\nca_file = \"ca.pem\"\n{OWN}\
         [[listen]]\naddress = \"127.0.0.1:1\"\nroute = \"read\"\nclient_tls.sslmode = \"verify-full\"\n\
         [[listen]]\naddress = \"127.0.0.1:2\"\nroute = \"read\"\nclient_tls.sslmode = \"disable\"\n\
         [[listen]]\naddress = \"@x\"\nroute = \"read\"\n\
         [server_tls]\nsslmode = \"require\"\n\
         [clusters.a.server_tls]\nsslmode = \"verify-full\"\nca_file = \"ca.pem\"\n\
         [databases.bare]\ncluster = \"a\"\n[databases.bare.server_tls]\nsslmode = \"disable\"\n\
         [databases.checked]\ncluster = \"a\"\n[databases.checked.server_tls]\nsslmode = \"verify-ca\"\n"
    );
    let config = files.parse(&text).unwrap();
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let demands: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| config.client_tls(listener).map(|acceptor| acceptor.demand))
        .collect();
    assert_eq!(demands, [Some(Demand::Nothing), Some(Demand::Certificate), None, None]);
    for (database, mode) in [
        (None, SslMode::VerifyFull),
        (Some("any"), SslMode::VerifyFull),
        (Some("bare"), SslMode::Disable),
        (Some("checked"), SslMode::VerifyCa),
    ] {
        assert_eq!(config.server_tls("a", database).mode, mode, "{database:?}");
    }
    assert_eq!(config.server_tls("b", None).mode, SslMode::Require);
    let shown = config.describe();
    for line in
        ["[listen.\"127.0.0.1:1\".client_tls]", "[databases.bare.server_tls]", "[clusters.a.server_tls]"]
    {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn the_system_vouches_for_names() {
    let files = Files::new();
    let config = files.parse("[server_tls]\nsslmode = \"verify-full\"\nca_file = \"system\"").unwrap();
    assert_eq!(config.server_tls("a", None).mode, SslMode::VerifyFull);
}

/// Other files, other certificates; a listener that is not in the new file keeps what it had.
#[test]
fn certificates_follow_a_reload() {
    let files = Files::new();
    let text = format!("[client_tls]\nsslmode = \"prefer\"\n{OWN}");
    let before = files.parse(&text).unwrap();
    let acceptor = |config: &Config| config.client_tls(&before.listeners[0]).unwrap();
    let same = before.reloaded(files.parse(&text).unwrap()).unwrap();
    assert!(acceptor(&before).same_certificate(&acceptor(&same)));
    let other = self_signed("other", &[]).unwrap();
    files.write("own.pem", &other.certificate);
    files.write("own.key", &other.key);
    let new = files.parse(&text).unwrap();
    let changes: Vec<_> = before.reload_report(&new).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["client_tls.cert_file: another certificate, applied for new connections"]);
    assert!(!acceptor(&before).same_certificate(&acceptor(&before.reloaded(new).unwrap())));
    let moved = files.parse(&text.replace("prefer", "require")).unwrap();
    let mut moved = before.reloaded(moved).unwrap();
    assert_eq!(acceptor(&moved).demand, Demand::Encryption);
    moved.listeners.clear();
    assert!(moved.client_tls(&before.listeners[0]).is_none());
}
