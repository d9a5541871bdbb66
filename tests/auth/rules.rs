//! `pg_hba.conf`.

use std::process::Command;

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const CONFIG: &str = "auth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\nauth_file = \"users.txt\"\n";
const USERS: &str = "\"trader\" \"secret\"\n\"reader\" \"secret\"\n\"boss\" \"secret\"\n";

const TLS: &str = "[client_tls]\nsslmode = \"prefer\"\ncert_file = \"own.pem\"\nkey_file = \"own.key\"\n";

const RULES: &str = "\
# TYPE  DATABASE  USER       ADDRESS       METHOD
host    all       boss       all           reject
host    postgres  @traders   127.0.0.1/32  scram-sha-256
host    postgres  /^read     samehost      md5
host    nowhere   all        all           trust
";

async fn outcomes(pgsteer: &Pgsteer, cases: &[(&str, &str, &str, &str)]) {
    for (user, password, database, expected) in cases {
        let said = pgsteer.who(user, password, database).await;
        assert_eq!(said, *expected, "{user}@{database}: {}", pgsteer.log());
    }
}

#[tokio::test]
async fn rules_decide_and_are_read_again() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(
        &server,
        "postgres",
        "create role trader login; create role reader login; create role boss login",
    )
    .await;
    let files = [("pg_hba.conf", RULES), ("users.txt", USERS), ("traders", "trader\n")];
    let pgsteer = Pgsteer::start(&server, CONFIG, &files).await;
    let none = "28000 no pg_hba.conf entry for host \"127.0.0.1\", user \"reader\", database \"template1\", no encryption";
    let rejected = "28000 pg_hba.conf rejects connection for host \"127.0.0.1\", user \"boss\", database \"postgres\", no encryption";
    let before = [
        ("trader", "secret", "postgres", "trader in postgres"),
        ("trader", "wrong", "postgres", "28P01 password authentication failed for user \"trader\""),
        ("reader", "secret", "postgres", "reader in postgres"),
        ("reader", "secret", "template1", none),
        ("boss", "secret", "postgres", rejected),
        ("reader", "", "nowhere", "3D000 database \"nowhere\" does not exist"),
    ];
    outcomes(&pgsteer, &before).await;

    // A file with an error changes nothing, not even what is right in it.
    std::fs::write(pgsteer.file("pg_hba.conf"), "host all boss all trust\nhost all +staff all trust\n")
        .unwrap();
    pgsteer.reload("failed").await;
    assert!(pgsteer.log().contains("pg_hba.conf:2: this rule depends on memberships"), "{}", pgsteer.log());
    outcomes(&pgsteer, &before).await;

    std::fs::write(pgsteer.file("pg_hba.conf"), "host all boss all plain\n").unwrap();
    pgsteer.reload("ok").await;
    let none = "28000 no pg_hba.conf entry for host \"127.0.0.1\", user \"trader\", database \"postgres\", no encryption";
    let after = [("boss", "secret", "postgres", "boss in postgres"), ("trader", "secret", "postgres", none)];
    outcomes(&pgsteer, &after).await;
}

/// `pgsteer check` and a start say which line is wrong.
#[test]
fn wrong_rules_are_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("pg_hba.conf", "local all all peer map=x\n\nhost all all 1.2.3.4 scram\nhost all all all pam=1\n");
    write("pg_ident.conf", "y a b\ny a\n");
    write("users.txt", USERS);
    write("hashes.txt", "\"trader\" \"md50123456789abcdef0123456789abcdef\"\n");
    write(
        "certificates",
        "host all all all md5\nhostssl all all all md5 clientcert=verify-ca\nhostssl all all all cert\n",
    );
    write("secrets", "host all boss all trust\nhost all all all md5\n");
    write("hashes", "host all all all scram-sha-256\nhost all all all md5\n");
    let own = pgsteer_testkit::self_signed("own", &[]).unwrap();
    write("own.pem", &own.certificate);
    write("own.key", &own.key);
    let head = "[clusters.a]\nstore = \"none\"\nhosts = [\"127.0.0.1:1\"]\nprobe_user = \"p\"\n\
                [[listen]]\naddress = \"127.0.0.1:1\"\nroute = \"write\"\n[auth]\n";
    for command in ["check", "run"] {
        for (more, expected) in [
            (
                format!("{CONFIG}auth_ident_file = \"pg_ident.conf\""),
                &[
                    "pg_ident.conf:2: missing entry at end of line",
                    "pg_hba.conf:3: invalid IP mask \"scram\"",
                    "pg_hba.conf:4: invalid authentication method \"pam=1\"",
                ][..],
            ),
            (CONFIG.to_owned(), &["pg_hba.conf:1: the map \"x\" is not in the auth_ident_file"]),
            (
                "auth_type = \"trust\"\nauth_options = \"x=y\"".to_owned(),
                &["auth_options:1: authentication option \"x\""],
            ),
            // What the configuration around them cannot give.
            (
                CONFIG.replace("pg_hba.conf", "certificates"),
                &[
                    "certificates:2: this rule needs a client's certificate, and clients cannot use TLS: set sslmode",
                ],
            ),
            (
                format!("{}{TLS}", CONFIG.replace("pg_hba.conf", "certificates")),
                &[
                    "certificates:2: this rule needs a client's certificate, and no client is asked for one without `ca_file`",
                    "certificates:3: this rule needs a client's certificate",
                ],
            ),
            (
                "auth_type = \"hba\"\nauth_hba_file = \"secrets\"".to_owned(),
                &[
                    "secrets:2: md5 needs secrets to check passwords by, and there are none: add auth_file or auth_user",
                ],
            ),
            (
                "auth_type = \"hba\"\nauth_hba_file = \"hashes\"\nauth_file = \"hashes.txt\"".to_owned(),
                &["hashes:1: no secret in ", "hashes.txt serves scram-sha-256, so this rule lets nobody in"],
            ),
            (CONFIG.replace("pg_hba", "pg_hbb"), &["cannot read ", "pg_hbb.conf: no such file or directory"]),
        ] {
            write("pgsteer.toml", &format!("{head}{more}"));
            let mut pgsteer = Command::new(env!("CARGO_BIN_EXE_pgsteer"));
            let said =
                pgsteer.args([command, "--config"]).arg(folder.path().join("pgsteer.toml")).output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr);
            assert!(
                !said.status.success() && expected.iter().all(|part| text.contains(part)),
                "{command} {text}"
            );
        }
    }
}

/// What only a server can tell is a warning: in the answer of `pgsteer check`, which is that it is valid.
#[test]
fn odd_rules_are_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let head = "[clusters.a]\nstore = \"none\"\nhosts = [\"127.0.0.1:1\"]\nprobe_user = \"p\"\n\
                [[listen]]\naddress = \"127.0.0.1:1\"\nroute = \"write\"\n";
    let hba = "[auth]\nauth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\n";
    let nothing = "who logs in by peer brings nothing that opens a server";
    write("pg_hba.conf", "local all all peer\nhost all all all trust\nhostssl all all all trust\n");
    for (more, expected, unexpected) in [
        (
            hba.to_owned(),
            &["pg_hba.conf:3: this rule is for nobody", &format!("pg_hba.conf:1: {nothing}")][..],
            "",
        ),
        (format!("{hba}[databases.d]\nuser = \"u\"\npassword = \"secret\"\n"), &["pg_hba.conf:3: "], nothing),
    ] {
        write("pgsteer.toml", &format!("{head}{more}"));
        let mut pgsteer = Command::new(env!("CARGO_BIN_EXE_pgsteer"));
        let said =
            pgsteer.args(["check", "--config"]).arg(folder.path().join("pgsteer.toml")).output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && expected.iter().all(|part| text.contains(part)), "{text}");
        assert!(unexpected.is_empty() || !text.contains(unexpected), "{text}");
    }
}
