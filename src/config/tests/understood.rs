//! What is understood: warnings, settings in effect, reloads.

use std::time::Duration;

use super::*;

#[test]
fn warnings() {
    for (text, found) in [
        ("", &[][..]),
        (
            "[replicas]\nlag_bytes_max = 0\nlag_time_max = 0",
            &[
                "10:1: no lag bound: reads may see data of any age; set lag_bytes_max or lag_time_max",
                "10:1: `replicas` has no effect: no [[listen]] has route = \"read\" or \"split\"; write such a [[listen]], or remove it",
            ],
        ),
        (
            "[auth]\nauth_type = \"oauth\"",
            &[
                "9:13: with auth_type = \"oauth\" clients bring nothing that opens a server, and nothing else is known that does; list passwords in auth_file, or add user and password under [databases.NAME], unless the servers let pgsteer in by trust",
            ],
        ),
        ("[auth]\nauth_type = \"oauth\"\n[databases.d]\nuser = \"u\"\npassword = \"p\"", &[]),
        (
            "[[listen]]\naddress = \"[::1]:1\"\nroute = \"read\"\nconsistency = \"global\"",
            &[
                "13:15: reads here see what clients of listeners with `consistency = \"global\"` are told, and not all listeners have it; set it in [pool]",
            ],
        ),
        (
            "[pool]\nconsistency = \"global\"\n[[listen]]\naddress = \"[::1]:1\"\nroute = \"read\"\n[[listen]]\naddress = \"[::1]:2\"\nroute = \"read\"\nconsistency = \"session\"",
            &[
                "12:1: reads here see what clients of listeners with `consistency = \"global\"` are told, and not all listeners have it; leave `consistency` out at the others",
            ],
        ),
        ("[pool]\nquery_wait_timeout = 0", &["11:22: requests wait for a server without limit"]),
        (
            "[[listen]]\naddress = \"0.0.0.0:1\"\nroute = \"read\"",
            &[
                "11:11: with auth_type = \"trust\" everybody who reaches this address may be any user; listen on 127.0.0.1, or choose another auth_type",
            ],
        ),
        (
            "[databases.d]\nuser = \"u\"\npassword = \"${PASSWORD}\"",
            &[
                "12:1: `password` is taken as it stands, `${` and all; for an environment variable write password = { env = \"NAME\" }",
            ],
        ),
        (
            "[databases.d]\nuser = \"u\"",
            &[
                "11:8: there is no password for the user \"u\"; add `password`, or the user to the auth_file, unless the servers let it in without",
            ],
        ),
        (
            "[clusters.b]\nstore = \"none\"\nhosts = [\"a\"]\nprobe_user = \"p\"\n[[listen]]\naddress = \"[::1]:1\"\nroute = \"read\"\ncluster = \"a\"",
            &[
                "12:9: one host: there is nothing to fail over to",
                "10:11: nothing leads to the cluster `b`; name it in a [[listen]] or in [databases.NAME]",
            ],
        ),
    ] {
        let text = with(text).replacen("route = \"write\"", "route = \"write\"\ncluster = \"a\"", 1);
        let config = parse(&text).unwrap();
        let shown: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
        // The first listener names its cluster here: everything below is one line further down.
        let found: Vec<_> = found.iter().map(|warning| shift(warning)).collect();
        assert_eq!(shown, found, "{text}");
    }
}

fn shift(finding: &str) -> String {
    let (line, rest) = finding.split_once(':').unwrap();
    format!("p.toml:{}:{rest}", line.parse::<usize>().unwrap() + 1)
}

#[test]
fn the_defaults_are_the_contract() {
    let config = good(&with(""));
    let settings = config.pool_settings("any", "body");
    let seconds = |n| Some(Duration::from_secs(n));
    let expected = PoolSettings {
        pool_mode: PoolMode::Transaction,
        own_pool_mode: None,
        pool_size: 25,
        min_pool_size: 0,
        reserve_pool_size: 0,
        reserve_pool_timeout: seconds(5),
        max_db_connections: None,
        max_user_connections: None,
        max_member_connections: None,
        connect_burst_max: 8,
        query_wait_timeout: seconds(30),
        leader_wait_timeout: seconds(60),
        server_lifetime: seconds(3600),
        server_idle_timeout: seconds(600),
        server_connect_timeout: Duration::from_secs(3),
        server_login_retry: Duration::from_secs(1),
        server_check_delay: Duration::from_secs(30),
        client_idle_timeout: None,
        idle_transaction_timeout: None,
        query_timeout: None,
        transaction_timeout: None,
        max_prepared_statements: Some(200),
        opaque_functions: OpaqueFunctions::Trust,
        split_route: SplitRoute::Auto,
        consistency: Expectation {
            own: None,
            otherwise: Consistency::Eventual,
            wait: Duration::from_millis(200),
        },
        commit_fate: CommitFate::Unknown,
        opaque_function_names: vec![],
        hidden_state_sample: Some(10_000),
        pin_max: None,
        pin_timeout: None,
        notify_buffer_max: 8 * 1024 * 1024,
        unnamed_statements: UnnamedStatements::Mapped,
        rotation: Rotation::Off,
    };
    assert_eq!(settings, expected);
    let limits = config.limits();
    assert_eq!((limits.max_client_conn, limits.client_login_timeout), (1000, Duration::from_secs(60)));
    assert_eq!(config.keys.replicas.lag_bytes_max, OrOff(Some(Size(32 << 20))));
    assert_eq!(config.keys.replicas.no_leader_grace, Delay(Duration::from_secs(60)));
    assert!(config.tcp().keepalive);
    assert_eq!(config.keys.http.address.0.unwrap().to_string(), "127.0.0.1:9930");
    assert_eq!(config.clusters["a"].probe.interval, Duration::from_millis(500));
    assert_eq!(config.listeners[0].cluster, "a");
}

#[test]
fn every_default_can_be_read_and_every_key_is_documented() {
    let mut required = Vec::new();
    for (header, about, keys) in keys::sections() {
        assert!(!about.trim().is_empty(), "{header}");
        for key in keys {
            assert!(key.doc.trim().ends_with('.'), "{header} {}: {}", key.name, key.doc);
            if (key.required)() {
                required.push(key.name);
            }
        }
    }
    // A default that cannot be read would make its key missing below.
    assert_eq!(required, ["store", "probe_user", "address", "route"]);
    let text = format!("{}[databases.d]\n[users.u]", with(""));
    let entries = good(&text).keys.entries();
    let chosen = entries.iter().filter(|entry| entry.is_default == declare::DefaultOr::Chosen);
    assert_eq!(
        chosen.map(declare::Entry::path).collect::<Vec<_>>(),
        [
            "clusters.a.store",
            "clusters.a.hosts",
            "clusters.a.probe_user",
            "listen.\"127.0.0.1:6432\".address",
            "listen.\"127.0.0.1:6432\".route",
            "auth.auth_type"
        ]
    );
}

#[test]
fn a_user_goes_before_a_database_and_both_before_the_pool() {
    let config = good(&with(
        "[pool]\npool_mode='session'\nquery_timeout=9\n\
         [databases.d]\npool_mode='statement'\npool_size=3\nquery_timeout=8\nmax_db_connections=7\nserver_lifetime=0\n\
         [databases.f]\nuser='u'\n\
         [users.u]\npool_mode='transaction'\nquery_timeout=0\nmax_user_connections=6",
    ));
    for (database, user, mode, size, timeout, db_max, user_max, lifetime) in [
        ("x", "y", PoolMode::Session, 25, Some(9), None, None, Some(3600)),
        ("d", "y", PoolMode::Statement, 3, Some(8), Some(7), None, None),
        ("x", "u", PoolMode::Transaction, 25, None, None, Some(6), Some(3600)),
        ("d", "u", PoolMode::Transaction, 3, None, Some(7), Some(6), None),
        // The pool is the forced user's, the timeouts are the client's.
        ("f", "y", PoolMode::Transaction, 25, Some(9), None, Some(6), Some(3600)),
    ] {
        let s = config.pool_settings(database, user);
        let seconds = |n: Option<u64>| n.map(Duration::from_secs);
        assert_eq!((s.pool_mode, s.pool_size), (mode, size), "{database} {user}");
        assert_eq!((s.max_db_connections, s.max_user_connections), (db_max, user_max), "{database} {user}");
        assert_eq!(
            (s.query_timeout, s.server_lifetime),
            (seconds(timeout), seconds(lifetime)),
            "{database} {user}"
        );
    }
}

/// The good configuration with a second cluster `b`.
pub(super) fn two_clusters(more: &str) -> Config {
    let first = with("").replace("route =", "cluster = 'a'\nroute =");
    let second = "[clusters.b]\nstore='none'\nprobe_user='p'\nhosts=['x','y','z']\n";
    good(&format!("{first}{second}{more}"))
}

#[test]
fn a_database_may_lead_to_another_cluster_and_log_in_as_another_user() {
    let config = two_clusters("[databases.d]\ncluster='b'\ndbname='real'\nuser='forced'\npassword='s'");
    let listener = &config.listeners[0];
    assert_eq!((config.cluster_of(listener, "d"), config.cluster_of(listener, "e")), ("b", "a"));
    for (database, real, user, credentials) in [
        ("d", "real", "forced", Credentials::Forced(Secret::new("s"))),
        ("e", "e", "me", Credentials::Nothing),
    ] {
        let expected = ServerLogin { user: user.to_owned(), database: real.to_owned(), credentials };
        assert_eq!(config.server_login(database, "me"), expected);
    }
    assert!(config.may_ask_for("e"));
    let config = good(&with("[databases.d]\n[auth]\nauth_type='trust'\ndatabases_only=true"));
    assert!(config.may_ask_for("d") && !config.may_ask_for("e"));
}

#[test]
fn a_cluster_may_have_its_own_rules_for_replicas() {
    let general = "[replicas]\nlag_bytes_max='1MB'\nfallback='error'\n";
    let config = good(&with(&format!("{general}[clusters.a.replicas]\nfallback='leader'")));
    let replicas = &config.clusters["a"].replicas;
    assert_eq!((replicas.lag_bytes_max, replicas.fallback), (OrOff(Some(Size(1 << 20))), Fallback::Leader));
    assert_eq!(config.keys.replicas.fallback, Fallback::Error);
}

#[test]
fn etcd_is_understood() {
    let config = good(&cluster(
        "store='etcd3'\nscope='s'\nendpoints=['e1','e2:1']\nnamespace='x/y'\nprobe_user='p'\n\
         store_user='u'\nstore_password={ env = 'KNOWN' }\nstore_ca_file='Cargo.toml'",
    ));
    let StoreSource::Remote(etcd) = &config.clusters["a"].source else { panic!("{config:?}") };
    assert_eq!(etcd.endpoints, ["https://e1:2379", "https://e2:1"]);
    assert_eq!(etcd.prefix(), "/x/y/s/");
    assert_eq!(etcd.login, Some(("u".to_owned(), Secret::new("from the environment"))));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(etcd.tls, Some(StoreTls { ca_file: Some(folder.join("Cargo.toml")), client: None }));
    assert!(!format!("{config:?}{}", config.describe()).contains("from the environment"));
}

#[test]
fn every_store_has_a_port_and_a_place() {
    for (keys, endpoint, prefix, shown) in [
        ("store='etcd3'\nendpoints=['e']", "http://e:2379", "/service/s/", "keys under /service/s/"),
        ("store='etcd3'\nendpoints=['https://e']\ngroup=0", "https://e:2379", "/service/s/0/", "etcd (v3)"),
        (
            "store='patroni'\nendpoints=['db1','[::1]:8009']",
            "http://db1:8008",
            "/service/s/",
            "the cluster s",
        ),
        ("store='zookeeper'\nendpoints=['z']", "http://z:2181", "/service/s/", "ZooKeeper"),
        (
            "store='kubernetes'\nendpoints=['http://proxy:8001']\nnamespace='db'",
            "http://proxy:8001",
            "dbs/",
            "in the namespace db",
        ),
        (
            "store='stolon'\nendpoints=['e']",
            "http://e:2379",
            "stolon/cluster/s/",
            "keys under stolon/cluster/s/",
        ),
        ("store='stolon'\nendpoints=['e']\nnamespace='/x/y'", "http://e:2379", "/x/y/s/", "Stolon's etcd"),
    ] {
        let config = good(&cluster(&format!("scope='s'\nprobe_user='p'\n{keys}")));
        let StoreSource::Remote(store) = &config.clusters["a"].source else { panic!("{config:?}") };
        assert_eq!((&*store.endpoints[0], &*store.prefix()), (endpoint, prefix), "{keys}");
        assert!(config.describe().contains(shown), "{}", config.describe());
    }
}

#[test]
fn a_reload_says_what_changes_and_when() {
    let base = "[databases.d]\nuser='u'\npassword='hunter2'\n";
    let old = good(&with(base));
    for (new, changes) in [
        (with(base), &[][..]),
        (
            with(&format!("{base}[pool]\nquery_timeout='5s'")),
            &["pool.query_timeout: 0 -> \"5s\", applied at once"],
        ),
        (
            with(&base.replace("hunter2", "hunter3")),
            &["databases.d.password: changed, applied for new connections"],
        ),
        (
            with(base).replace("6432", "6444"),
            &[
                "listen.\"127.0.0.1:6432\".address: removed, applied at a restart",
                "listen.\"127.0.0.1:6432\".backlog: removed, applied at a restart",
                "listen.\"127.0.0.1:6432\".proxy_protocol: removed, applied at a restart",
                "listen.\"127.0.0.1:6432\".proxy_protocol_from: removed, applied at a restart",
                "listen.\"127.0.0.1:6432\".route: removed, applied at a restart",
                "listen.\"127.0.0.1:6432\".unix_socket_mode: removed, applied at a restart",
                "listen.\"127.0.0.1:6444\".address: \"127.0.0.1:6444\", new, applied at a restart",
                "listen.\"127.0.0.1:6444\".backlog: 1024, new, applied at a restart",
                "listen.\"127.0.0.1:6444\".proxy_protocol: \"off\", new, applied at a restart",
                "listen.\"127.0.0.1:6444\".proxy_protocol_from: [], new, applied at a restart",
                "listen.\"127.0.0.1:6444\".route: \"write\", new, applied at a restart",
                "listen.\"127.0.0.1:6444\".unix_socket_mode: \"0777\", new, applied at a restart",
            ],
        ),
    ] {
        let new = good(&new);
        let told: Vec<_> = old.reload_report(&new).iter().map(ToString::to_string).collect();
        assert_eq!(told, changes);
        let after = old.reloaded(new).unwrap();
        assert_eq!(after.listeners, old.listeners);
        assert!(old.reload_report(&after).iter().all(|change| change.applied != Reload::Restart));
    }
}

#[test]
fn what_listeners_and_databases_want_of_replicas() {
    let config = good(&cluster(
        "store='etcd3'\nscope='s'\nendpoints=['x']\nprobe_user='p'\n\
         [replicas]\nrequired_tags = ['online']\nzone = 'a'\n\
         [[listen]]\naddress = '[::1]:4'\nroute = 'write'\n\
         [[listen]]\naddress = '[::1]:2'\nroute = 'read'\nlag_time_max = '1m'\nrequired_tags = ['disk=ssd']\n\
         [[listen]]\naddress = '[::1]:3'\nroute = 'split'\nsync_standbys = 'only'\n\
         [databases.reports]\nlag_time_max = 0\nrequired_tags = ['reports']\n\
         [databases.plain]\npool_size = 3",
    ));
    let wanted: Vec<String> = config
        .wanted("a")
        .iter()
        .map(|wanted| {
            let tags: Vec<_> = wanted.required_tags.iter().map(|tag| tag.name.as_str()).collect();
            format!("{:?} {} {}", wanted.lag_time_max, wanted.sync_standbys.word(), tags.join(","))
        })
        .collect();
    let of = |listener: usize, database: &str| {
        wanted[config.wanted_places("a", &config.listeners[listener]).of(database)].as_str()
    };
    // The fourth listener is the one of every test here: it reads.
    for (listener, database, expected) in [
        (0, "reports", "Some(1s) any online"),
        (1, "plain", "Some(60s) any online,disk"),
        (1, "reports", "None any online,disk,reports"),
        (2, "plain", "Some(1s) only online"),
        (2, "reports", "None only online,reports"),
        (3, "plain", "Some(1s) any online"),
        (3, "reports", "None any online,reports"),
    ] {
        assert_eq!(of(listener, database), expected, "{listener} {database}");
    }
    assert_eq!(wanted.len(), 6);

    // A reload changes what `[replicas]` says; the rest stays where it stands until a restart.
    let mut changed = config.clone();
    changed.keys.replicas.sync_standbys = SyncStandbys::Prefer;
    changed.keys.cluster_replicas.insert("a".into(), changed.keys.replicas.clone());
    changed.keys.databases.get_mut("reports").unwrap().required_tags = None;
    changed.keys.databases.get_mut("plain").unwrap().lag_time_max = Some(OrOff(None));
    let after = config.reloaded(changed).unwrap();
    assert_eq!(after.wanted("a").len(), 6);
    for (before, after) in config.wanted("a").into_iter().zip(after.wanted("a")) {
        let sync_standbys = match before.sync_standbys {
            SyncStandbys::Any => SyncStandbys::Prefer,
            own => own,
        };
        assert_eq!(after, Wanted { sync_standbys, ..before });
    }
}

#[test]
fn what_reads_must_see() {
    use Consistency::{Eventual, Global, Session};
    let config = good(&with(
        "[pool]\nconsistency='session'\nconsistency_wait='1s'\n\
         [databases.d]\nconsistency='eventual'\nconsistency_wait=0\n[users.u]\nconsistency='global'",
    ));
    for (database, user, own, wait) in [
        ("x", "y", None, 1),
        ("d", "y", Some(Eventual), 0),
        ("x", "u", Some(Global), 1),
        ("d", "u", Some(Global), 0),
    ] {
        let expected = Expectation { own, otherwise: Session, wait: Duration::from_secs(wait) };
        assert_eq!(config.pool_settings(database, user).consistency, expected, "{database} {user}");
    }
    assert_eq!(config.listeners[0].consistency, None);
}
