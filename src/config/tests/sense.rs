//! What would come to nothing, or stop everything.

use super::{errors, good, with};

/// More in `[pool]`, which begins at line 10, and what is found.
fn refused(more: &str, found: &str) {
    assert_eq!(errors(&with(more)), [format!("p.toml:{found}")], "{more}");
}

fn warned(more: &str, found: &str) {
    let config = good(&with(more));
    let told: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(told, [format!("p.toml:{found}")], "{more}");
}

fn accepted(more: &str) {
    assert!(good(&with(more)).warnings().is_empty(), "{more}");
}

/// It would refuse it of every connection, of clients and to servers.
#[test]
fn what_the_kernel_refuses() {
    for (key, most, beyond, found) in [
        ("tcp_keepidle", "\"32767s\"", "\"10h\"", "16: `tcp_keepidle`: 10h is out of range: at most 32767s"),
        ("tcp_keepintvl", "1", "32768", "17: `tcp_keepintvl`: 32768s is out of range: at most 32767s"),
        ("tcp_keepcnt", "127", "128", "15: `tcp_keepcnt`: 128 is out of range: at most 127"),
        (
            "tcp_user_timeout",
            "2147483",
            "2147484",
            "20: `tcp_user_timeout`: 2147484s is out of range: at most 2147483647ms",
        ),
    ] {
        accepted(&format!("[pool]\n{key} = {most}"));
        let help = "the kernel takes no more; 0 is the system's own";
        refused(&format!("[pool]\n{key} = {beyond}"), &format!("11:{found}; {help}"));
    }
    refused(
        "[pool]\ntcp_keepidle = \"500ms\"",
        "11:16: `tcp_keepidle`: 500ms is not a whole number of seconds",
    );
    refused(
        "[pool]\ntcp_user_timeout = \"1500us\"",
        "11:20: `tcp_user_timeout`: 1500us is not a whole number of milliseconds",
    );
    accepted("[pool]\ntcp_user_timeout = \"1500ms\"");
}

#[test]
fn what_another_key_makes_meaningless() {
    refused(
        "[pool]\nreserve_pool_size = 5\nreserve_pool_timeout = 0",
        "12:24: `reserve_pool_size` is set, but with reserve_pool_timeout = 0 the reserve is never used; give it a time, or remove reserve_pool_size",
    );
    accepted("[pool]\nreserve_pool_timeout = 0");
    refused(
        "[pool]\nmap_unnamed_statements = true\nmax_prepared_statements = 0",
        "11:26: `map_unnamed_statements` has no meaning with max_prepared_statements = 0: there is nothing to map to; remove one of them",
    );
    accepted("[pool]\nmax_prepared_statements = 0");
    refused(
        "[pool]\npool_mode = \"statement\"\ncommit_fate = true",
        "12:15: `commit_fate` has no meaning with pool_mode = \"statement\": there are no transaction blocks; remove it",
    );
}

#[test]
fn limits_behind_others() {
    for (more, found) in [
        (
            "[pool]\nquery_timeout = \"10s\"\ntransaction_timeout = \"5s\"",
            "11:17: `query_timeout` never acts: transaction_timeout (5s)",
        ),
        (
            "[pool]\nidle_transaction_timeout = \"5s\"\ntransaction_timeout = \"5s\"",
            "11:28: `idle_transaction_timeout` never acts: transaction_timeout (5s)",
        ),
        (
            "[auth]\nauth_type = \"trust\"\nauth_delay_max = \"1m\"",
            "10:18: `auth_delay_max` never acts: client_login_timeout (1m)",
        ),
    ] {
        let found = format!("{found} comes first; make it shorter, or 0 where that means off");
        warned(more, &found);
    }
    accepted("[pool]\nquery_timeout = \"4s\"\ntransaction_timeout = \"5s\"");
    accepted("[pool]\nclient_login_timeout = \"2s\"");
}

#[test]
fn servers_that_no_limit_allows() {
    refused(
        "[pool]\nmin_pool_size = 5\nmax_db_connections = 4",
        "11:17: min_pool_size (5) is larger than max_db_connections (4)",
    );
    refused(
        "[pool]\nmax_member_connections = 4\n[databases.d]\nmin_pool_size = 5",
        "13:17: min_pool_size (5) is larger than max_member_connections (4)",
    );
    refused(
        "[pool]\nmin_pool_size = 5\n[databases.d]\nmax_db_connections = 4",
        "12:12: min_pool_size (5) is larger than max_db_connections (4)",
    );
    accepted("[pool]\nmin_pool_size = 4\n[databases.d]\nmax_db_connections = 4");
}

#[test]
fn sessions_are_not_split() {
    let split = "[[listen]]\naddress = \"[::1]:1\"\nroute = \"split\"";
    warned(
        &format!("{split}\n[pool]\npool_mode = \"session\""),
        "12:9: `route = \"split\"` splits nothing with `pool_mode = \"session\"` in [pool]; set pool_mode = \"transaction\" for this listener, or use route = \"write\"",
    );
    accepted(&format!("{split}\npool_mode = \"transaction\"\n[pool]\npool_mode = \"session\""));
}

#[test]
fn orders_and_threads() {
    let token = "token = \"0123456789abcdef\"";
    refused(
        &format!("[http]\naddress = 0\n{token}"),
        "11:11: `token` is set, but nothing is served over HTTP; set address, or remove the token",
    );
    warned(
        &format!("[http]\naddress = \"0.0.0.0:1\"\n{token}"),
        "11:11: the token is sent in the clear, and 0.0.0.0:1 can be reached from elsewhere; listen on 127.0.0.1, or have something that speaks TLS in front of it",
    );
    accepted(&format!("[http]\naddress = \"[::1]:1\"\n{token}"));
    refused(
        "[pool]\nnotify_buffer_max = \"255kB\"",
        "11:21: `notify_buffer_max`: less than 256kB; every client that listens has as much in any case",
    );
    refused(
        "[runtime]\nworkers = 1025",
        "11:11: `workers`: 1025 is out of range: at most 1024; leave it out for one for each core",
    );
}

/// Keys about what does not happen. Where it does they say nothing.
#[test]
fn what_has_no_effect() {
    let split = "[[listen]]\naddress = \"[::1]:1\"\nroute = \"split\"\n";
    let read = "[[listen]]\naddress = \"[::1]:1\"\nroute = \"read\"\n";
    let remove = "write such a [[listen]], or remove it";
    for (key, by, found) in [
        (
            "[databases.d]\nsplit_route = \"read\"\n",
            split,
            format!("`split_route` has no effect: no [[listen]] has route = \"split\"; {remove}"),
        ),
        (
            "[users.u]\nsplit_route = \"write\"\n",
            split,
            format!("`split_route` has no effect: no [[listen]] has route = \"split\"; {remove}"),
        ),
        (
            "[replicas]\nbalance = \"latency\"\n",
            read,
            format!("`replicas` has no effect: no [[listen]] has route = \"read\" or \"split\"; {remove}"),
        ),
        (
            "[pool]\nconsistency_wait = \"1s\"\n",
            "[users.u]\nconsistency = \"session\"\n",
            "`consistency_wait` has no effect: consistency is \"eventual\" for everybody; set consistency, or remove it".to_owned(),
        ),
        (
            "[databases.d]\nconsistency_wait = \"1s\"\n",
            "consistency = \"global\"\n",
            "`consistency_wait` has no effect: consistency is \"eventual\" for everybody; set consistency, or remove it".to_owned(),
        ),
        (
            "[pool]\ncommit_fate_wait = \"1s\"\n",
            "[databases.d]\ncommit_fate = true\n",
            "`commit_fate_wait` has no effect: commit_fate is off for everybody; set commit_fate = true, or remove it".to_owned(),
        ),
        (
            "[pool]\nwarm_connections_max = 5\n",
            "warm_candidates = 1\n",
            "`warm_connections_max` has no effect: warm_candidates is 0; set warm_candidates, or remove it".to_owned(),
        ),
    ] {
        let told = |text: &str| {
            let config = good(&with(text));
            config.warnings().iter().map(|told| told.to_string()).collect::<Vec<_>>()
        };
        let alone = told(key);
        assert!(alone.len() == 1 && alone[0].ends_with(&found), "{key}: {alone:?}");
        let beside = told(&format!("{key}{by}"));
        assert!(beside.is_empty(), "{key}{by}: {beside:?}");
    }
}

/// `0.0.0.0` takes every address of IPv4, `[::]` all there are.
#[test]
fn addresses_that_meet() {
    for (other, meet) in [
        ("0.0.0.0:6432", true),
        ("[::]:6432", true),
        ("[::1]:6432", false),
        ("127.0.0.2:6432", false),
        ("0.0.0.0:6433", false),
        ("127.0.0.1:0", false),
    ] {
        let more =
            format!("[[listen]]\naddress = \"{other}\"\nroute = \"read\"\n[auth]\nauth_type = \"reject\"");
        let found = format!("p.toml:9:11: {other} is already used by another [[listen]]");
        assert_eq!(errors(&with(&more)), if meet { vec![found] } else { vec![] }, "{other}");
    }
}

/// A setting of PgBouncer's is no misspelt key that looks like it.
#[test]
fn settings_of_another_pooler() {
    refused(
        "[pool]\nmax_user_client_connections = 5",
        "11:1: unknown key `max_user_client_connections` in [pool]; this is PgBouncer's; nothing limits clients by user here, only `max_client_conn` in [pool] all of them",
    );
}
