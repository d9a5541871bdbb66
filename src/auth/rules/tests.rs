//! Rules: what is read, what is refused, and who may come by which.

use super::{lines::tests::Shelf, *};

const IDENT: &str = "\
m      alice            a
m      /^(.*)@x\\.org$   \\1
m      /^ops-(.*)$      all
m      /^dba            \"/^db_[0-9]+$\"
other  \"Bob B\"          bob
";

fn load(hba: &str) -> Result<Rules, Vec<String>> {
    let files =
        Shelf::of(&[("hba", hba), ("ident", IDENT), ("users", "u1\nu2, u3\n"), ("asking", "+asked\n")]);
    let rules = Rules::load(Path::new("hba"), Some(Path::new("ident")), &files);
    rules.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// `local`, `local:name`, an address, or `tls:address` with `:name` of a certificate behind it.
fn whence(text: &str) -> Whence {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("local", "") => Whence::Local { system_user: None },
        ("local", name) => Whence::Local { system_user: Some(name.to_owned()) },
        ("tls", rest) => {
            let (address, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let certificate = ClientCertificate {
                common_name: Some(name.to_owned()),
                distinguished_name: format!("CN={name},O=Org"),
                alt_names: vec![format!("{name}@x.org"), "other".to_owned()],
            };
            let certificate = (!name.is_empty()).then(|| Box::new(certificate));
            Whence::Tls { address: address.parse().unwrap(), certificate }
        }
        (address, _) => Whence::Plain { address: address.parse().unwrap() },
    }
}

/// Who is a member of what, directly or not.
const MEMBERS: [(&str, &str); 4] = [("ann", "staff"), ("ann", "dba"), ("bob", "staff"), ("bob", "sales")];

/// By which line somebody may try, or what it hears.
fn decide(rules: &Rules, from: &str, user: &str, database: &str) -> String {
    let whence = whence(from);
    let wants = if database == "-" { Wants::PhysicalReplication } else { Wants::Session };
    let visit = Visit { user, database, wants, whence: &whence };
    let interfaces = [
        Interface { address: "10.0.0.5".parse().unwrap(), mask: "255.255.255.0".parse().unwrap() },
        Interface { address: "fe80::1".parse().unwrap(), mask: "ffff:ffff:ffff:ffff::".parse().unwrap() },
    ];
    let mut members = Members::default();
    let decided = loop {
        match rules.decide(&visit, &interfaces, &members) {
            Ok(rule) => break Ok(rule),
            Err(Undecided::Refused(error)) => break Err(error),
            Err(Undecided::IfMember("asked")) => panic!("it is decided without that"),
            Err(Undecided::IfMember(role)) => members.learn(role, MEMBERS.contains(&(user, role))),
        }
    };
    let decided = decided.and_then(|rule| {
        rules
            .connection_proves(rule, &visit)
            .map_err(|unproved| unproved.error)
            .map(|()| format!("line {}", rule.place.line))
    });
    decided.unwrap_or_else(|error| {
        assert_eq!(error.code, SqlState::INVALID_AUTHORIZATION);
        error.message.into_owned()
    })
}

type Case = (&'static str, &'static str, &'static str, String);

fn check(hba: &str, cases: Vec<Case>) {
    let rules = load(hba).unwrap();
    for (from, user, database, expected) in cases {
        assert_eq!(decide(&rules, from, user, database), expected, "{hba}\n{from} {user} {database}");
    }
}

fn none(host: &str, user: &str, database: &str, encryption: &str) -> String {
    format!(
        "no pg_hba.conf entry for host \"{host}\", user \"{user}\", database \"{database}\", {encryption}"
    )
}

fn plain(host: &str, user: &str, database: &str) -> String {
    none(host, user, database, "no encryption")
}

#[test]
fn connections_of_a_kind_and_addresses() {
    check(
            "local all all trust\nhost all all 127.0.0.1/32 md5",
            vec![
                ("local", "u", "d", "line 1".to_owned()),
                ("127.0.0.1", "u", "d", "line 2".to_owned()),
                ("::ffff:127.0.0.1", "u", "d", "line 2".to_owned()),
                ("tls 127.0.0.1", "u", "d", "line 2".to_owned()),
                ("127.0.0.2", "u", "d", plain("127.0.0.2", "u", "d")),
                ("tls 127.0.0.2", "u", "d", none("127.0.0.2", "u", "d", "SSL encryption")),
                ("::1", "u", "d", plain("::1", "u", "d")),
                (
                    "127.0.0.1",
                    "u",
                    "-",
                    "no pg_hba.conf entry for replication connection from host \"127.0.0.1\", user \"u\", no encryption"
                        .to_owned(),
                ),
            ],
    );
}

#[test]
fn encryption_tells_rules_apart() {
    check(
        "hostssl all all all trust\nhostnossl all all all trust\nhostgssenc all all all reject",
        vec![
            ("tls ::1", "u", "d", "line 1".to_owned()),
            ("::1", "u", "d", "line 2".to_owned()),
            ("local", "u", "d", plain("[local]", "u", "d")),
        ],
    );
}

#[test]
fn memberships_are_asked_for_where_they_decide() {
    let hba = "\
        local all \"+literally\" trust\n\
        local all ann,+staff trust\n\
        host samerole +dba 10.0.0.0/8 trust\n\
        host all +dba 10.0.0.0/8 reject\n\
        host samegroup all all trust\n\
        host all +staff,root all trust\n";
    check(
        hba,
        vec![
            ("local", "+literally", "d", "line 1".to_owned()),
            ("local", "ann", "d", "line 2".to_owned()),
            ("10.0.0.1", "ann", "staff", "line 3".to_owned()),
            (
                "10.0.0.1",
                "ann",
                "sales",
                "pg_hba.conf rejects connection for host \"10.0.0.1\", user \"ann\", database \"sales\", no encryption"
                    .to_owned(),
            ),
            ("10.0.0.1", "bob", "sales", "line 5".to_owned()),
            ("10.0.0.1", "bob", "d", "line 6".to_owned()),
            ("10.0.0.1", "root", "d", "line 6".to_owned()),
            ("10.0.0.1", "eve", "sales", plain("10.0.0.1", "eve", "sales")),
        ],
    );
    // What is certain needs no asking, whatever comes first in a line; nor what does not fit for another reason.
    check(
        "local all,samerole @asking,all trust\nhost \"d\" @asking 10.0.0.0/8 trust\nhost all all all trust",
        vec![
            ("local", "eve", "asked", "line 1".to_owned()),
            ("10.0.0.1", "eve", "e", "line 3".to_owned()),
            ("11.0.0.1", "eve", "d", "line 3".to_owned()),
        ],
    );
}

#[test]
fn replication_is_a_database_of_its_own() {
    check(
            "host all u all reject\nhost replication r all trust\nhost replication s all reject\nhostnogssenc all r all trust",
            vec![
                (
                    "1.2.3.4",
                    "u",
                    "d",
                    "pg_hba.conf rejects connection for host \"1.2.3.4\", user \"u\", database \"d\", no encryption"
                        .to_owned(),
                ),
                ("1.2.3.4", "r", "-", "line 2".to_owned()),
                ("1.2.3.4", "r", "replication", "line 4".to_owned()),
                (
                    "1.2.3.4",
                    "s",
                    "-",
                    "pg_hba.conf rejects replication connection for host \"1.2.3.4\", user \"s\", no encryption"
                        .to_owned(),
                ),
            ],
    );
}

#[test]
fn names_are_words_lists_files_and_expressions() {
    check(
        "local sameuser all trust\nlocal \"all\",a,/^b\\d+$ x,\"all\",/^y trust\nlocal \"/^c\\d{1,2}$\" @users trust",
        vec![
            ("local", "u", "u", "line 1".to_owned()),
            ("local", "x", "all", "line 2".to_owned()),
            ("local", "all", "a", "line 2".to_owned()),
            ("local", "yz", "b12", "line 2".to_owned()),
            ("local", "yz", "b12x", plain("[local]", "yz", "b12x")),
            ("local", "z", "a", plain("[local]", "z", "a")),
            ("local", "u3", "c12", "line 3".to_owned()),
            ("local", "u4", "c12", plain("[local]", "u4", "c12")),
            ("local", "u3", "c123", plain("[local]", "u3", "c123")),
        ],
    );
}

#[test]
fn addresses_are_ranges_masks_and_our_own() {
    check(
        "host all all samehost trust\nhost all all samenet md5\nhost all a 10.1.0.0 255.255.0.0 trust\n\
             host all a 2001:db8::/33 trust\nhost all a 0.0.0.0/0 trust\nhost all b ::/0 trust",
        vec![
            ("10.0.0.5", "u", "d", "line 1".to_owned()),
            ("10.0.0.77", "u", "d", "line 2".to_owned()),
            ("fe80::2", "u", "d", "line 2".to_owned()),
            ("10.1.77.7", "a", "d", "line 3".to_owned()),
            ("2001:db8:7fff::1", "a", "d", "line 4".to_owned()),
            ("2001:db8:8000::1", "a", "d", plain("2001:db8:8000::1", "a", "d")),
            ("9.9.9.9", "a", "d", "line 5".to_owned()),
            ("9.9.9.9", "b", "d", plain("9.9.9.9", "b", "d")),
            ("2001:db8:8000::1", "b", "d", "line 6".to_owned()),
        ],
    );
}

#[test]
fn names_of_systems_and_certificates_are_mapped() {
    let no_peer = |user| format!("Peer authentication failed for user \"{user}\"");
    let no_cert = |user| format!("certificate authentication failed for user \"{user}\"");
    let none = "connection requires a valid client certificate".to_owned();
    for (hba, cases) in [
        (
            "local all all peer",
            vec![
                ("local alice", "alice", "line 1".to_owned()),
                ("local alice", "a", no_peer("a")),
                ("local", "alice", no_peer("alice")),
            ],
        ),
        (
            "local all all peer map=m",
            vec![
                ("local alice", "a", "line 1".to_owned()),
                ("local alice", "alice", no_peer("alice")),
                ("local carol@x.org", "carol", "line 1".to_owned()),
                ("local carol@x.org", "carol@x.org", no_peer("carol@x.org")),
                ("local ops-1", "anybody", "line 1".to_owned()),
                ("local dba", "db_17", "line 1".to_owned()),
                ("local dba", "db_x", no_peer("db_x")),
                ("local Bob B", "bob", no_peer("bob")),
            ],
        ),
        ("local all all ident map=other", vec![("local Bob B", "bob", "line 1".to_owned())]),
        (
            "hostssl all all all cert",
            vec![
                ("tls ::1 u", "u", "line 1".to_owned()),
                ("tls ::1 u", "v", no_cert("v")),
                ("tls ::1", "u", none.clone()),
            ],
        ),
        ("hostssl all all all cert clientname=DN", vec![("tls ::1 u", "CN=u,O=Org", "line 1".to_owned())]),
        (
            "hostssl all all all cert clientname=SAN map=m",
            vec![("tls ::1 u", "u", "line 1".to_owned()), ("tls ::1 u", "other", no_cert("other"))],
        ),
        (
            "hostssl all all all scram-sha-256 clientcert=verify-ca",
            vec![("tls ::1 u", "v", "line 1".to_owned()), ("tls ::1", "u", none.clone())],
        ),
        (
            "hostssl all all all md5 clientcert=verify-full",
            vec![("tls ::1 u", "u", "line 1".to_owned()), ("tls ::1 u", "v", no_cert("v"))],
        ),
    ] {
        let rules = load(hba).unwrap();
        for (from, user, expected) in cases {
            assert_eq!(decide(&rules, from, user, "d"), expected, "{hba}\n{from} {user}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (hba, error) in [
        ("", "1: there is no rule in it, so nobody could log in"),
        ("\nremote all all trust", "2: invalid connection type \"remote\""),
        ("local", "1: end-of-line before database specification"),
        ("local all", "1: end-of-line before role specification"),
        ("local all all", "1: end-of-line before authentication method specification"),
        ("host all all", "1: end-of-line before host address specification"),
        ("host,local all all all trust", "1: multiple values specified for connection type"),
        ("host all all 1.2.3.4,1.2.3.5 trust", "1: multiple values specified for host address"),
        ("host all all 1.2.3.4/33 trust", "1: invalid CIDR mask in address \"1.2.3.4/33\""),
        ("host all all ::1/129 trust", "1: invalid CIDR mask in address \"::1/129\""),
        ("host all all 1.2.3/8 trust", "1: invalid IP address \"1.2.3\""),
        ("host all all 1.2.3.4 trust", "1: invalid IP mask \"trust\""),
        (
            "host all all 1.2.3.4",
            "1: end-of-line before netmask specification; write 1.2.3.4/32 for this address alone",
        ),
        ("host all all ::1 255.0.0.0 trust", "1: IP address and mask do not match"),
        (
            "host all all db.x.org trust",
            "1: \"db.x.org\" is no IP address; host names are not looked up here, since the answer would be somebody \
             else's: write an address range",
        ),
        ("local all all nonsense", "1: invalid authentication method \"nonsense\""),
        ("host all all all gss", "1: pgsteer does not have the authentication method \"gss\""),
        ("host all all all ident", "1: pgsteer does not have the authentication method \"ident\""),
        ("host all all all peer", "1: peer authentication is only supported on local sockets"),
        ("host all all all cert", "1: cert authentication is only supported on hostssl connections"),
        #[cfg(not(feature = "pam"))]
        ("local all all pam", "1: this pgsteer was built without PAM; it needs the cargo feature \"pam\""),
        ("local all /( trust", "1: invalid regular expression \"(\": unclosed group"),
        ("local all all trust x", "1: authentication option not in name=value format: x"),
        ("local all all trust x=y", "1: authentication option \"x\" is not known for the method trust"),
        ("local all all peer map=m map=m", "1: authentication option \"map\" is given twice"),
        ("local all all peer map=nowhere", "1: the map \"nowhere\" is not in the auth_ident_file"),
        (
            "local all all md5 map=m",
            "1: authentication option \"map\" is only valid for the methods cert, peer and oauth",
        ),
        (
            "host all all all md5 clientcert=verify-ca",
            "1: clientcert and clientname can only be configured for \"hostssl\" rows",
        ),
        ("hostssl all all all md5 clientcert=1", "1: invalid value for clientcert: \"1\""),
        (
            "hostssl all all all md5 clientname=DN",
            "1: clientname has a meaning with clientcert=verify-full only",
        ),
        (
            "hostssl all all all cert clientname=dn",
            "1: invalid value for clientname: \"dn\"; CN, DN or SAN is expected",
        ),
        (
            "hostssl all all all cert clientcert=verify-ca",
            "1: clientcert only accepts \"verify-full\" when using \"cert\" authentication",
        ),
    ] {
        assert_eq!(load(hba).err(), Some(vec![format!("hba:{error}")]), "{hba}");
    }
    let errors = load("x\ny\n@nothing all all trust").err().unwrap();
    assert_eq!(errors.len(), 4, "every line is told of: {errors:?}");
}

#[test]
fn maps_that_make_no_sense_are_refused() {
    for (ident, error) in [
        ("m a", "missing entry at end of line: a map, a system name and a user are expected"),
        ("m a b c", "too much on the line: a map, a system name and a user are expected"),
        ("m a,b c", "multiple values in ident field"),
        ("m /( c", "invalid regular expression \"(\": unclosed group"),
        (
            "m /x \\1",
            "\"\\1\" asks for a captured part, and the regular expression \"/x\" has none in parentheses",
        ),
        ("m x +g", "\"+g\" depends on memberships in roles, which only the servers know: list the users"),
    ] {
        let files = Shelf::of(&[("hba", "local all all trust"), ("ident", ident)]);
        let errors = Rules::load(Path::new("hba"), Some(Path::new("ident")), &files).err().unwrap();
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, [format!("ident:1: {error}")]);
    }
}

#[test]
fn one_method_for_everybody() {
    let files = Shelf::of(&[("ident", IDENT)]);
    let place = Place { file: Path::new("p.toml").into(), line: 3 };
    let only = |method, options| Rules::only(method, options, Some(Path::new("ident")), &files, &place);
    for (method, options, from, user, expected) in [
        ("peer", "", "local u", "u", "line 3"),
        ("peer", "map=m", "local alice", "a", "line 3"),
        ("cert", "clientname=DN", "tls ::1 u", "CN=u,O=Org", "line 3"),
        ("trust", "", "local", "u", "line 3"),
        ("trust", "", "1.2.3.4", "u", "line 3"),
        (
            "reject",
            "",
            "1.2.3.4",
            "u",
            "pg_hba.conf rejects connection for host \"1.2.3.4\", user \"u\", database \"d\", no encryption",
        ),
    ] {
        assert_eq!(decide(&only(method, options).unwrap(), from, user, "d"), expected, "{method} {options}");
    }
    let error = only("peer", "map=x").err().unwrap().remove(0).to_string();
    assert_eq!(error, "p.toml:3: the map \"x\" is not in the auth_ident_file");
    for auth_type in [AuthType::Trust, AuthType::ScramSha256] {
        let rules = Rules::simple(auth_type);
        for (from, database) in [("local", "d"), ("tls ::1", "d"), ("1.2.3.4", "-")] {
            assert_eq!(decide(&rules, from, "u", database), "line 0");
        }
    }
}
