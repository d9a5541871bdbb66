//! What is refused, and in which words.

use super::*;

#[test]
fn an_error_shows_file_line_key_and_fix() {
    for (text, rendered) in [
        (
            "[pool]\ndefualt_pool_size = 3\n",
            "error: unknown key `defualt_pool_size` in [pool]\n\
             \x20 --> p.toml:11:1\n\
             \x20  |\n\
             11 | defualt_pool_size = 3\n\
             \x20  | ^^^^^^^^^^^^^^^^^ did you mean `default_pool_size`?",
        ),
        (
            "[pool]\nquery_timeout = \"5 minutes\"\n",
            "error: `query_timeout`: `5 minutes` is no duration: the units are us, ms, s, m, h, d; a bare number is seconds\n\
             \x20 --> p.toml:11:17\n\
             \x20  |\n\
             11 | query_timeout = \"5 minutes\"\n\
             \x20  |                 ^^^^^^^^^^^",
        ),
        (
            "[[listen]]\naddress = \"localhost\"\nroute = \"read\"\n",
            "error: `address`: `localhost` is no IP address with a port\n\
             \x20 --> p.toml:11:11\n\
             \x20  |\n\
             11 | address = \"localhost\"\n\
             \x20  |           ^^^^^^^^^^^\n\
             \x20  |\n\
             \x20  = help: write \"127.0.0.1:6432\" for this machine only, \"0.0.0.0:6432\" for every IPv4 address, \"[::]:6432\" for all, \"/run/pgsteer:6432\" for a Unix socket",
        ),
        (
            "[databases.d]\nuser = \"u\"\npassword = 5\npasword = \"hunter2\"\n",
            "error: `password`: expected text between quotes, or { env = \"NAME\" } for an environment variable\n\
             \x20 --> p.toml:12:1\n\
             \x20  |\n\
             12 | password = *\n\
             \x20  | ^^^^^^^^\n\
             \n\
             error: unknown key `pasword` in [databases.d]\n\
             \x20 --> p.toml:13:1\n\
             \x20  |\n\
             13 | pasword = ***\n\
             \x20  | ^^^^^^^ did you mean `password`?",
        ),
    ] {
        let invalid = parse(&with(text)).unwrap_err();
        let shown: Vec<_> = invalid.findings().iter().map(Finding::render).collect();
        // The first expected text gives a line of the whole file without [auth]; the others with it.
        let rendered = rendered.replace("p.toml:11:1 |", "p.toml:11:1\n   |\n11 |");
        assert_eq!(shown.join("\n\n"), rendered, "{text}");
    }
}

/// Each text comes after the good configuration, so it begins in line 10 (line 8 if it has its own [auth]).
#[test]
fn single_keys_are_refused() {
    for (text, error) in [
        ("[pools]", "10:2: unknown key `pools` in the file (did you mean `pool`?)"),
        ("[pool]\ncluster = 1", "11:1: unknown key `cluster` in [pool] (this key belongs in [[listen]])"),
        ("[http]\nxyzzy = 1", "11:1: unknown key `xyzzy` in [http]; known here: address, token, token_file"),
        (
            "[pool]\npool_mode = \"sesion\"",
            "11:13: `pool_mode`: `sesion` is none of \"transaction\" or \"session\" or \"statement\"; did you mean \"session\"?",
        ),
        (
            "[pool]\npool_mode = 1",
            "11:13: `pool_mode`: expected \"transaction\" or \"session\" or \"statement\", found an integer",
        ),
        (
            "[pool]\nmax_client_conn = 0",
            "11:19: `max_client_conn`: 0 is out of range: it must lie between 1 and 10000000",
        ),
        (
            "[pool]\nmax_client_conn = -1",
            "11:19: `max_client_conn`: -1 is out of range: it must lie between 1 and 10000000",
        ),
        ("[pool]\nmax_client_conn = 1.5", "11:19: `max_client_conn`: expected a whole number, found a float"),
        (
            "[pool]\ntcp_keepalive = 1",
            "11:17: `tcp_keepalive`: expected true or false (without quotes), found an integer",
        ),
        ("[pool]\nserver_connect_timeout = 0", "11:26: `server_connect_timeout`: must be longer than zero"),
        (
            "[replicas]\nlag_bytes_max = \"32mb\"",
            "11:17: `lag_bytes_max`: `32mb` is no size: the units are B, kB, MB, GB, TB",
        ),
        (
            "[clusters.a.replicas]\nbalanse = \"x\"",
            "11:1: unknown key `balanse` in [clusters.a.replicas] (did you mean `balance`?)",
        ),
        (
            "[[listen]]\nroute = \"splat\"\naddress=\"[::1]:1\"",
            "11:9: `route`: `splat` is none of \"write\" or \"read\" or \"split\"; did you mean \"split\"?",
        ),
        ("[[listen]]\nroute = \"read\"", "10:1: `address` is missing in [[listen]]; add `address = …`"),
        (
            "[auth]\nauth_type = \"gss\"",
            "9:13: `auth_type`: `gss` is none of \"scram-sha-256\" or \"md5\" or \"plain\" or \"peer\" or \"cert\" or \"trust\" or \"hba\" or \"ldap\" or \"pam\" or \"oauth\" or \"reject\"",
        ),
        (
            "[auth]\nauth_type = \"scram\"",
            "9:13: `auth_type`: `scram` is none of \"scram-sha-256\" or \"md5\" or \"plain\" or \"peer\" or \"cert\" or \"trust\" or \"hba\" or \"ldap\" or \"pam\" or \"oauth\" or \"reject\"; did you mean \"scram-sha-256\"?",
        ),
        (
            "[databases]\ndatabases_only = true",
            "11:18: `databases_only` must be a table, found a boolean; the key `databases_only` belongs in [auth]",
        ),
        ("[databases.d]\ndbname = \"\"", "11:10: `dbname`: must not be empty"),
        ("[databases.\"\"]", "10:12: a name in [databases.…] has 1 to 127 bytes and no zero byte"),
        (
            "[databases.d]\nuser = \"u\"\npassword = { env = \"UNKNOWN\" }",
            "12:1: `password`: the environment variable `UNKNOWN` is not set; set it, or use the key's `_file` sibling",
        ),
        ("[auth]\nx = 1\nx = 2", "10:1: not valid TOML: duplicate key"),
        (
            "listen = 3",
            "10:1: unknown key `listen` in [auth]; known here: auth_type, auth_options, auth_hba_file, auth_ident_file, auth_file, auth_user, auth_password, auth_password_file, auth_query, auth_dbname, auth_cache_age, auth_cache_users_max, auth_query_timeout, auth_failures_max, auth_delay_max, auth_delayed_max, databases_only",
        ),
        ("pool = 3", "10:8: `pool` must be a table, found an integer; write its keys under [pool]"),
        ("x = \"", "10:6: not valid TOML: invalid basic string, expected `\"`"),
    ] {
        let text = if text.starts_with("pool =") { format!("{text}\n{}", with("")) } else { with(text) };
        let expected = if text.starts_with("pool =") { error.replace("10:", "1:") } else { error.to_owned() };
        assert_eq!(errors(&text), [format!("p.toml:{expected}")], "{text}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (text, error) in [
        ("[pool]\nmin_pool_size = 26", "11:17: min_pool_size is larger than default_pool_size (25)"),
        (
            "[databases.d]\npool_size = 3\nmin_pool_size = 4",
            "12:17: min_pool_size is larger than the pool (3)",
        ),
        ("[databases.d]\ncluster = \"b\"", "11:11: there is no cluster `b`; did you mean \"a\"?"),
        (
            "[databases.d]\npassword = \"x\"",
            "10:12: `password` is set without `user`; add the user it belongs to",
        ),
        (
            "[[listen]]\naddress = \"[::1]:1\"\nroute = \"split\"\npool_mode = \"session\"",
            "13:13: `route = \"split\"` splits nothing with `pool_mode = \"session\"`; use pool_mode = \"transaction\", or route = \"write\"",
        ),
        (
            "[[listen]]\naddress = \"[::1]:1\"\nroute = \"write\"\nlag_bytes_max = \"1MB\"",
            "10:1: lag bounds, `sync_standbys` and `required_tags` have no meaning with `route = \"write\"`; remove them, or use route = \"read\" or \"split\"",
        ),
        (
            "[replicas]\nzone = \"z\"",
            "1:1: `zone`, `sync_standbys` and `required_tags` need a store: without one nothing is known of them; remove them, or set `store`",
        ),
        (
            "[[listen]]\naddress = \"127.0.0.1:6432\"\nroute = \"read\"",
            "11:11: 127.0.0.1:6432 is already used by another [[listen]]",
        ),
        (
            "[[listen]]\naddress = \"/run:1\"\nroute = \"read\"\n[[listen]]\naddress = \"/run:1\"\nroute = \"write\"",
            "14:11: /run:1 is already used by another [[listen]]",
        ),
        (
            "[[listen]]\naddress = \"@x\"\nunix_socket_mode = \"0700\"\nroute = \"read\"",
            "12:20: `unix_socket_mode` has no meaning for @x:5432; only a socket in a folder has a file",
        ),
        (
            "[[listen]]\naddress = \"[::1]:1\"\nproxy_protocol = \"required\"\nroute = \"read\"",
            "10:1: `proxy_protocol` is set without `proxy_protocol_from`; add the addresses of the proxies: proxy_protocol_from = [\"10.0.0.5\"]",
        ),
        (
            "[[listen]]\naddress = \"[::1]:1\"\nproxy_protocol_from = [\"10.0.0.1\"]\nroute = \"read\"",
            "12:23: `proxy_protocol_from` is set without `proxy_protocol`; add proxy_protocol = \"required\", or remove it",
        ),
        (
            "[[listen]]\naddress = \"@x\"\nproxy_protocol_from = [\"10.0.0.1\"]\nproxy_protocol = \"optional\"\nroute = \"read\"",
            "12:23: `proxy_protocol_from` has no meaning for @x:5432; who may connect to the socket is believed: see unix_socket_mode",
        ),
        ("[http]\naddress = \"127.0.0.1:6432\"", "6:11: 127.0.0.1:6432 is already used by [http]"),
    ] {
        assert_eq!(errors(&with(text)), [format!("p.toml:{error}")], "{text}");
    }
}

#[test]
fn keys_about_logging_in_that_contradict_each_other_are_refused() {
    for (text, error) in [
        (
            "[auth]\nauth_type = \"md5\"",
            "8:2: `auth_file` is missing: auth_type = \"md5\" needs it; add `auth_file = \"userlist.txt\"` under [auth], or `auth_user`, to look users up on the servers",
        ),
        (
            "[auth]\nauth_type = \"trust\"\nauth_query = \"SELECT $1\"",
            "10:1: `auth_query` is set without the `auth_user` it is for; add `auth_user` beside `auth_query`",
        ),
        (
            "[auth]\nauth_type = \"trust\"\nauth_user = \"u\"\nauth_password = \"p\"",
            "10:13: with auth_type = \"trust\" nobody's secret is looked up; remove it, or choose another auth_type",
        ),
        (
            "[auth]\nauth_type = \"hba\"",
            "8:2: `auth_hba_file` is missing: auth_type = \"hba\" needs it; add `auth_hba_file = \"pg_hba.conf\"` under [auth]",
        ),
        (
            "[auth]\nauth_type = \"trust\"\nauth_hba_file = \"x\"",
            "10:17: `auth_hba_file` has a meaning with auth_type = \"hba\" only; write auth_type = \"hba\", or remove it",
        ),
        (
            "[auth]\nauth_type = \"hba\"\nauth_hba_file = \"x\"\nauth_options = \"a=b\"",
            "11:16: `auth_options` has no meaning with auth_type = \"hba\"; write the options behind the methods in the auth_hba_file",
        ),
        (
            "[auth]\nauth_type = \"trust\"\nauth_ident_file = \"x\"",
            "10:19: no map is asked for, so `auth_ident_file` has no meaning; write auth_options = \"map=…\", or remove it",
        ),
        (
            "[databases.d]\nauth_password = \"x\"",
            "11:1: `auth_password` is set without the `auth_user` it is for; add `auth_user` beside `auth_password`",
        ),
        (
            "[auth]\nauth_user = \"u\"\nauth_password = \"p\"\nauth_query = \"SELECT 1\"",
            "11:14: `auth_query` does not mention `$1`, the user who is looked up; write for instance: … WHERE rolname = $1",
        ),
        (
            "[auth]\nauth_type = \"trust\"\ndatabases_only = true",
            "10:18: no database is declared, so nobody could connect; add [databases.NAME], or remove databases_only",
        ),
        (
            "[databases.d]\nuser = \"u\"\npassword_file = \"Cargo.toml\"\npassword = \"x\"",
            "12:17: both `password` and `password_file` are set; keep one of them",
        ),
    ] {
        assert_eq!(errors(&with(text)), [format!("p.toml:{error}")], "{text}");
    }
}

#[test]
fn clusters_are_refused() {
    const ETCD: &str = "probe_user='p'\nstore='etcd3'\nscope='s'\nendpoints=['e1:2379','https://e2']";
    for (keys, found) in [
        (
            "store = \"raft\"\nprobe_user='p'",
            &[
                "2:9: `store`: `raft` is none of \"etcd3\" or \"etcd\" or \"consul\" or \"zookeeper\" or \"kubernetes\" or \"patroni\" or \"stolon\" or \"none\"",
            ][..],
        ),
        (
            "store='none'\nhosts=['a b']\nprobe_user='p'",
            &[
                "3:8: `hosts`: `a b` is no address: expected host, host:port, [ipv6]:port or /socket/folder:port",
            ],
        ),
        (
            "store='none'\nhosts=['a','a']",
            &["1:11: `probe_user` is missing in [clusters.a]; add `probe_user = …`"],
        ),
        ("store='none'\nprobe_user='p'\nhosts=['a','a','b']", &["4:7: `a` is listed twice; remove one"]),
        (
            "store='none'\nprobe_user='p'",
            &[
                "1:11: `hosts` is missing or empty; add the servers to ask: hosts = [\"db1:5432\", \"db2:5432\", \"db3:5432\"]",
            ],
        ),
        (
            "store='none'\nprobe_user='p'\nhosts=['a','b','c']\nendpoints=['e']",
            &["5:1: `endpoints` has no meaning with store = \"none\"; remove it, or name the store"],
        ),
        (
            "store='etcd3'\nprobe_user='p'\nstore_user='u'",
            &[
                "1:11: `scope` is missing; add Patroni's scope: `patronictl list` shows it",
                "1:11: `endpoints` is missing or empty; add the addresses of etcd (v3): endpoints = [\"10.0.0.10:2379\"]",
                "1:11: `store_user` is set without `store_password`; add store_password or store_password_file",
            ],
        ),
        (
            ETCD,
            &[
                "5:11: some endpoints use TLS and some do not; write all endpoints with https:// or all with http://",
            ],
        ),
        (
            &format!("{ETCD}\nprobe_timeout='2m'\nstore_cert_file='/nonexistent'"),
            &[
                "1:11: `store_cert_file` is set without `store_key_file`; add the certificate's key",
                "6:15: `probe_timeout`: 2m is out of range: it must lie between 10ms and 1m",
                "7:17: `store_cert_file`: cannot read /nonexistent: no such file or directory",
            ],
        ),
    ] {
        let found: Vec<_> = found.iter().map(|error| format!("p.toml:{error}")).collect();
        assert_eq!(errors(&cluster(keys)), found, "{keys}");
    }
}

#[test]
fn keys_of_other_stores_are_refused() {
    for (keys, found) in [
        (
            "store='kubernetes'\nprobe_user='p'\nscope='s'\nstore_user='u'\nstore_password='p'\nnamespace='n'",
            &[
                "1:11: `store_ca_file`: cannot read /var/run/secrets/kubernetes.io/serviceaccount/ca.crt: no such file or directory; outside a pod of the cluster write endpoints, and what they ask for",
                "1:11: `store_token_file`: cannot read /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory; outside a pod of the cluster write endpoints, and what they ask for",
                "5:12: `store_user` has no meaning with Kubernetes; remove it",
                "6:16: `store_password` has no meaning with Kubernetes; remove it",
            ][..],
        ),
        (
            "store='consul'\nprobe_user='p'\nscope='s'\nendpoints=['c']\nkubernetes_labels='a=b'\nstore_token='x'\nstore_token_file='Cargo.toml'",
            &[
                "6:19: `kubernetes_labels` has no meaning with Consul; remove it",
                "8:18: both `store_token` and `store_token_file` are set; keep one of them",
            ],
        ),
        (
            "store='stolon'\nprobe_user='p'\nendpoints=['a']\nswitchover_hold_max=1\nstore_token='x'",
            &[
                "1:11: `scope` is missing; add Stolon's --cluster-name",
                "5:21: `switchover_hold_max` has no meaning with Stolon's etcd (v3); remove it",
                "6:13: `store_token` has no meaning with Stolon's etcd (v3); remove it",
            ],
        ),
        (
            "store='patroni'\nprobe_user='p'\nscope='s'\nendpoints=['a','a:8008']\nnamespace='x'\ngroup=0",
            &[
                "5:11: `http://a:8008` is listed twice; remove one",
                "6:11: `namespace` has no meaning with Patroni's REST API; remove it",
                "7:7: `group` has no meaning with Patroni's REST API; remove it",
            ],
        ),
    ] {
        let found: Vec<_> = found.iter().map(|error| format!("p.toml:{error}")).collect();
        assert_eq!(errors(&cluster(keys)), found, "{keys}");
    }
}

#[test]
fn all_errors_are_told_at_once_and_none_twice() {
    let found = errors(
        "[clusters.a]\nscpoe = 's'\nstore = 'etcd3'\nendpoints = ['a']\nprobe_user = 'p'\n[auth]\nauth_type = 'md5'\n[pool]\nx = 1",
    );
    let lines: Vec<_> = found.iter().filter_map(|error| error.split(": ").next()).collect();
    // The misspelt scope is not called missing too; the missing listener has no line.
    assert_eq!(lines, ["p.toml:2:1", "p.toml:6:2", "p.toml:9:1", "p.toml"], "{found:#?}");
}

#[test]
fn what_is_wanted_of_replicas_is_refused() {
    for (text, error) in [
        (
            "[replicas]\nbalance = \"random\"",
            "11:11: `balance`: `random` is none of \"round_robin\" or \"least_connections\" or \"latency\"",
        ),
        (
            "[replicas]\nsync_standbys = \"avid\"",
            "11:17: `sync_standbys`: `avid` is none of \"any\" or \"prefer\" or \"avoid\" or \"only\" or \"never\"; did you mean \"avoid\"?",
        ),
        (
            "[databases.d]\nrequired_tags = [\"disk = ssd\"]",
            "11:18: `required_tags`: \"disk = ssd\" is no tag; write \"name\" or \"name=value\"",
        ),
    ] {
        assert_eq!(errors(&with(text)), [format!("p.toml:{error}")], "{text}");
    }
}
