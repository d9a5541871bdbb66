//! LDAP, against OpenLDAP's own server.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgsteer_testkit::eventually;

use crate::{
    common::postgres::{Postgres, free_port},
    pgsteer::{Pgsteer, prepare},
};

const ENTRIES: &str = "\
dn: dc=test
objectClass: dcObject
objectClass: organization
dc: test
o: Test

dn: ou=people,dc=test
objectClass: organizationalUnit
ou: people

dn: cn=reader,dc=test
objectClass: person
cn: reader
sn: reader
userPassword: reading

dn: uid=alice,ou=people,dc=test
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Liddell
mail: alice@x.org
userPassword: wonderland

dn: uid=bob,ou=people,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
mail: alice@x.org
userPassword: builder
";

/// A directory of our own on loopback, gone when dropped.
struct Directory {
    folder: tempfile::TempDir,
    running: Child,
    plain: u16,
    tls: u16,
}

impl Directory {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        certificates(folder.path());
        std::fs::create_dir(path("db")).unwrap();
        let schema = ["core", "cosine", "inetorgperson"];
        let schema = schema.map(|name| format!("include /etc/ldap/schema/{name}.schema\n")).concat();
        let config = format!(
            "{schema}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {pid}\n\
             TLSCACertificateFile {ca}\nTLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n\
             database mdb\nmaxsize 10485760\nsuffix \"dc=test\"\nrootdn \"cn=admin,dc=test\"\ndirectory {db}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"cn=reader,dc=test\" read by * none\n",
            pid = path("pid"),
            ca = path("ca.pem"),
            certificate = path("certificate.pem"),
            key = path("key.pem"),
            db = path("db"),
        );
        std::fs::write(path("slapd.conf"), config).unwrap();
        std::fs::write(path("entries"), ENTRIES).unwrap();
        let arguments = ["-f", &path("slapd.conf"), "-l", &path("entries")];
        let added = Command::new("/usr/sbin/slapadd").args(arguments).output();
        let added = added.expect("slapd is not installed: deploy/install.sh directory");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let plain = free_port();
        let tls = std::iter::repeat_with(free_port).find(|port| *port != plain).unwrap();
        let urls = format!("ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/");
        let mut slapd = Command::new("/usr/sbin/slapd");
        slapd
            .args(["-d", "0", "-f", &path("slapd.conf"), "-h", &urls])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let running = slapd.spawn().unwrap();
        let directory = Self { folder, running, plain, tls };
        let up = eventually("slapd listens", Duration::from_secs(20), async || {
            let ports = [directory.plain, directory.tls];
            ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()).then_some(())
        });
        up.await.unwrap();
        directory
    }

    fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.running.kill().unwrap();
        self.running.wait().unwrap();
    }
}

/// An authority, and a server's certificate for 127.0.0.1.
fn certificates(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(authority, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    for (name, pem) in
        [("ca.pem", authority.pem()), ("certificate.pem", server.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

async fn check(server: &Postgres, options: &str, cases: &[(&str, &str, &str)]) {
    let config = format!("auth_type = \"ldap\"\nauth_failures_max = 0\nauth_options = '''{options}'''\n");
    let pgsteer = Pgsteer::start(server, &config, &[]).await;
    for (user, password, expected) in cases {
        let said = pgsteer.who(user, password, "postgres").await;
        assert_eq!(said, *expected, "{options}\n{user} {password}\n{}", pgsteer.log());
    }
}

const NO_ALICE: &str = "28000 LDAP authentication failed for user \"alice\"";
const IN: &str = "alice in postgres";

#[tokio::test]
async fn a_directory_judges_passwords() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create role alice login; create role \"alice@x.org\" login").await;
    let directory = Directory::start().await;
    let (plain, tls, ca) = (directory.plain, directory.tls, directory.authority());
    let search = "ldapbasedn=\"ou=people,dc=test\" ldapbinddn=\"cn=reader,dc=test\" ldapbindpasswd=reading";
    let usual = [("alice", "wonderland", IN), ("alice", "wrong", NO_ALICE)];
    let simple =
        format!("ldapserver=127.0.0.1 ldapport={plain} ldapprefix=uid= ldapsuffix=\",ou=people,dc=test\"");
    check(&server, &simple, &usual).await;
    let injected = "alice,ou=people";
    check(
        &server,
        &simple,
        &[
            (injected, "wonderland", &format!("28000 LDAP authentication failed for user \"{injected}\"")),
            ("alice", "", "28P01 empty password returned by client"),
        ],
    )
    .await;
    check(&server, &format!("ldapserver=127.0.0.1 ldapport={plain} {search}"), &usual).await;
    let star = "28000 LDAP authentication failed for user \"al*\"";
    let two = "28000 LDAP authentication failed for user \"alice@x.org\"";
    let by_mail = "\"ldapsearchfilter=(|(uid=$username)(mail=$username))\"";
    check(
        &server,
        &format!("ldapserver=127.0.0.1 ldapport={plain} {search} {by_mail}"),
        &[("al*", "wonderland", star), ("alice@x.org", "wonderland", two), ("alice", "wonderland", IN)],
    )
    .await;
    let url = format!("\"ldapurl=ldap://127.0.0.1:{plain}/ou=people,dc=test?uid?one\"");
    let reader = "ldapbinddn=\"cn=reader,dc=test\" ldapbindpasswd=reading";
    check(&server, &format!("{url} {reader}"), &usual).await;
    check(&server, &format!("{url} {reader} ldaptls=1 ldapcafile={ca}"), &usual).await;
    check(
        &server,
        &format!("ldapserver=127.0.0.1 ldapscheme=ldaps ldapport={tls} ldapcafile={ca} {search}"),
        &usual,
    )
    .await;
    // The first server is not there, and the certificate of the last is of nobody the system knows.
    let dead = free_port();
    let servers = format!("\"ldapurl=ldap://127.0.0.1:{dead}/ou=people,dc=test?uid\"");
    check(&server, &servers, &usual[1..]).await;
    check(&server, &format!("{url} {reader} ldaptls=1"), &[("alice", "wonderland", NO_ALICE)]).await;
    let unreadable = format!("ldapserver=127.0.0.1 ldapport={plain} ldapbasedn=\"ou=people,dc=test\"");
    check(&server, &unreadable, &[("alice", "wonderland", NO_ALICE)]).await;
}
