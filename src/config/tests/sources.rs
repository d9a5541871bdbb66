//! Where configurations come from: files, the command line, and anything at all.

use std::{fs, io::Write, os::unix::fs::PermissionsExt};

use proptest::prelude::*;

use super::*;

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

#[test]
fn files_are_found_beside_the_configuration() {
    let with_secret =
        with("[auth]\nauth_file='users'\n").replace("probe_user", "probe_password_file='secret'\nprobe_user");
    let folder =
        folder_with(&[("p.toml", &with_secret), ("users", "\"u\" \"hunter2\"\n"), ("secret", "sesame\n")]);
    let source = Source::File(folder.path().join("p.toml"));
    let config = source.load().unwrap();
    assert_eq!(config.clusters["a"].probe.password, Some(Secret::new("sesame")));
    assert_eq!(config.server_login("d", "u").credentials, Credentials::Listed(Secret::new("hunter2")));
    let shown = format!("{config:?}{}{:?}", config.describe(), config.warnings());
    assert!(!shown.contains("sesame") && !shown.contains("hunter2"), "{shown}");
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());

    fs::write(folder.path().join("users"), "\"u\" \"x\"\n\"v\" hunter2\n").unwrap();
    let error = source.load().unwrap_err().to_string();
    assert!(error.contains("users:2") && error.contains("not in double quotes"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    fs::remove_file(folder.path().join("secret")).unwrap();
    let error = source.load().unwrap_err().to_string();
    assert!(error.contains("no such file or directory") && error.contains("2 errors"), "{error}");
    fs::write(folder.path().join("p.toml"), b"a\n\xff").unwrap();
    let error = source.load().unwrap_err().to_string();
    assert!(error.contains("p.toml:2") && error.contains("not UTF-8"), "{error}");
}

#[test]
fn a_file_of_secrets_that_everybody_may_read_is_a_warning() {
    let text = with("[auth]\nauth_file='users'\n[databases.d]\nuser='u'\npassword='x'");
    let folder = folder_with(&[("users", "\"u\" \"x\"\n"), ("p.toml", &text)]);
    for name in ["users", "p.toml"] {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let config = Source::File(folder.path().join("p.toml")).load().unwrap();
    let warnings: Vec<_> = config.warnings().iter().map(Finding::what).collect();
    assert_eq!(
        warnings,
        [
            "everybody may read this file, and `databases.d.password` is in it",
            "everybody may read this file of secrets"
        ]
    );

    let options =
        "[auth]\nauth_type='ldap'\nauth_options='ldapserver=a ldapbasedn=b ldapbinddn=c ldapbindpasswd=x'";
    let folder = folder_with(&[("p.toml", &with(options))]);
    fs::set_permissions(folder.path().join("p.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = Source::File(folder.path().join("p.toml")).load().unwrap();
    let said = "everybody may read this file, and `auth.auth_options` is in it";
    assert!(config.warnings().iter().any(|warning| warning.what() == said), "{:?}", config.warnings());
}

#[test]
fn secrets_that_cannot_serve_are_told() {
    let key = format!("{}=", "A".repeat(43));
    let scram = &*format!("\"s\" \"SCRAM-SHA-256$4096:c2FsdA==${key}:{key}\"\n");
    let md5 = format!("\"m\" \"md5{}\"\n", "0".repeat(32));
    let forced = "[databases.d]\nuser='s'\n";
    for (users, kind, more, told) in [
        (
            &*format!("{scram}{md5}"),
            "scram-sha-256",
            "",
            "the user \"m\" cannot log in: the secret does not serve",
        ),
        (&*md5, "scram-sha-256", "", "1 error in the configuration"),
        (&*format!("{scram}{md5}"), "md5", "", ""),
        (scram, "scram-sha-256", forced, "the auth_file has only a SCRAM verifier for \"s\""),
        ("\"s\" \"plain\"", "scram-sha-256", forced, ""),
    ] {
        let text = with(&format!("[auth]\nauth_file='users'\nauth_type='{kind}'\n{more}"));
        let folder = folder_with(&[("users", users), ("p.toml", &text)]);
        let found = match Source::File(folder.path().join("p.toml")).load() {
            Ok(config) => config.warnings().iter().map(Finding::render).collect(),
            Err(invalid) => invalid.to_string(),
        };
        assert_eq!(found.is_empty(), told.is_empty(), "{users} {kind}: {found}");
        assert!(found.contains(told), "{users} {kind}: {found}");
    }
}

#[test]
fn hosts_on_the_command_line_are_a_configuration() {
    let folder = folder_with(&[("users", "\"pgsteer\" \"sesame\"\n")]);
    let hosts = Hosts {
        hosts: ["a:1", "[::1]:2", "/run/pg"].map(|host| host.parse().unwrap()).to_vec(),
        auth_file: folder.path().join("users"),
        probe_user: None,
        probe_password_file: None,
    };
    let config = Source::Hosts(hosts.clone()).load().unwrap();
    let cluster = &config.clusters["default"];
    assert_eq!(cluster.source, StoreSource::None { hosts: hosts.hosts.clone() });
    let probe = &cluster.probe;
    assert_eq!((&*probe.user, probe.password.clone()), ("pgsteer", Some(Secret::new("sesame"))));
    let listening: Vec<_> = config.listeners.iter().map(|l| format!("{} {:?}", l.address, l.route)).collect();
    assert_eq!(listening, ["127.0.0.1:6432 Write", "127.0.0.1:6433 Read"]);

    let nowhere = Hosts { auth_file: "/nonexistent".into(), ..hosts };
    let error = Source::Hosts(nowhere).load().unwrap_err().to_string();
    assert!(error.contains("/nonexistent") && error.contains("no such file"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        if let Err(invalid) = Source::File(file.path().to_owned()).load() {
            prop_assert!(!invalid.to_string().is_empty());
        }
    }

    /// Bytes hardly ever are TOML: pieces of it get further.
    #[test]
    fn any_pieces_are_read_or_refused(pieces in proptest::collection::vec(piece(), 0..25)) {
        if let Err(invalid) = parse(&pieces.concat()) {
            prop_assert!(!invalid.to_string().is_empty());
            for finding in invalid.findings() {
                let shown = format!("{finding}\n{}", finding.render());
                prop_assert!(!shown.contains("hunter2"), "{}", shown);
            }
        }
    }
}

const HEADERS: [&str; 11] = [
    "[pool]\n",
    "[[listen]]\n",
    "[clusters.a]\n",
    "[clusters.\"ä.b\"]\n",
    "[databases.d]\n",
    "[users.u]\n",
    "[auth]\n",
    "[replicas]\n",
    "[clusters.a.replicas]\n",
    "[http]\n",
    "[x]\n",
];
const VALUES: [&str; 17] = [
    "1",
    "0",
    "\"5s\"",
    "'none'",
    "'etcd3'",
    "['a','b']",
    "[]",
    "true",
    "{}",
    "{ env = 'KNOWN' }",
    "1979-05-27",
    "'127.0.0.1:1'",
    "'read'",
    "-1.5e3",
    "'😀'",
    "[['a']]",
    "'''\n'''",
];

fn piece() -> impl Strategy<Value = String> {
    let keys = keys::sections().into_iter().flat_map(|(_, _, keys)| keys);
    let names: Vec<_> = keys.map(|key| key.name).collect();
    let name = (proptest::sample::select(names), any::<bool>());
    let pair = (name, proptest::sample::select(VALUES.to_vec())).prop_map(|((name, whole), value)| {
        let value = if name.ends_with("password") { "'hunter2'" } else { value };
        let name = if whole { name } else { &name[..name.len() - 1] };
        format!("{name} = {value}\n")
    });
    let header = proptest::sample::select(HEADERS.to_vec()).prop_map(str::to_owned);
    prop_oneof![header, pair, "[ -~\n]{0,8}"]
}
