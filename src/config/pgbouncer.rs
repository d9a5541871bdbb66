//! Settings of PgBouncer's that are none here, and what takes their place: for whoever brings a `pgbouncer.ini` along.

/// By name; what is there instead, as a whole sentence or a key.
const INSTEAD: &[(&str, &str)] = &[
    ("listen_addr", "write `address` in [[listen]]"),
    ("listen_port", "write `address` in [[listen]]"),
    ("listen_backlog", "write `backlog` in [[listen]]"),
    ("unix_socket_dir", "write `address = \"/folder:port\"` in a [[listen]] of its own"),
    ("host", "members come from the cluster: see [clusters.NAME]"),
    ("port", "members come from the cluster: see [clusters.NAME]"),
    ("load_balance_hosts", "write `balance` in [replicas]"),
    ("server_round_robin", "remove it: the server used last is used next"),
    ("connect_query", "use ALTER ROLE … SET or ALTER DATABASE … SET"),
    ("reserve_pool", "write `reserve_pool_size`"),
    (
        "max_db_client_connections",
        "nothing limits clients by database here, only `max_client_conn` in [pool] all of them",
    ),
    (
        "max_user_client_connections",
        "nothing limits clients by user here, only `max_client_conn` in [pool] all of them",
    ),
    (
        "server_reset_query",
        "remove it: what a session holds follows its client, and servers are cleaned of it",
    ),
    (
        "server_reset_query_always",
        "remove it: what a session holds follows its client, and servers are cleaned of it",
    ),
    ("track_extra_parameters", "remove it: all settings follow their client"),
    ("ignore_startup_parameters", "remove it: start-up settings are honoured"),
    ("server_check_query", "remove it: see `server_check_delay` in [pool]"),
    ("server_fast_close", "remove it: there is no such thing here"),
    ("cancel_wait_timeout", "remove it: cancel requests wait for no server"),
    ("query_wait_notify", "remove it: who waits is told after five seconds"),
    ("shutdown_wait_timeout", "write `drain_timeout` in [pool]"),
    ("suspend_timeout", "remove it"),
    ("disable_pqexec", "remove it: there is no such thing here"),
    ("application_name_add_host", "remove it: the log says where clients are"),
    ("autodb_idle_timeout", "remove it"),
    ("dns_nxdomain_ttl", "write `dns_max_ttl` in [clusters.NAME]"),
    ("dns_zone_check_period", "write `dns_max_ttl` in [clusters.NAME]"),
    ("resolv_conf", "remove it: the system's own is used"),
    ("admin_users", "there is no admin console: see [http]"),
    ("stats_users", "there is no admin console: see [http]"),
    ("stats_period", "there is no admin console: see [http]"),
    ("peer_id", "remove it: one process has all `workers`"),
    ("peers", "remove it: one process has all `workers`"),
    ("so_reuseport", "remove it: one process has all `workers`"),
    ("logfile", "remove it: the log goes to standard error"),
    ("syslog", "remove it: the log goes to standard error"),
    ("log_connections", "write `connections` in [log]"),
    ("log_disconnections", "write `connections` in [log]"),
    ("log_pooler_errors", "remove it: they are always logged"),
    ("log_stats", "remove it: see /metrics"),
    ("verbose", "write `level` in [log]"),
    ("pidfile", "remove it: this is for whoever starts pgsteer"),
    ("auth_ldap_options", "write `auth_options` in [auth]"),
    ("max_packet_size", "remove it"),
    ("pkt_buf", "remove it"),
    ("sbuf_loopcnt", "remove it"),
    ("tcp_defer_accept", "remove it"),
    ("tcp_socket_buffer", "remove it"),
    ("pgbouncer", "its settings stand in [pool], [auth] and [[listen]]"),
];

/// What there is instead of this setting of PgBouncer's; `None`: it is none, or has the same name here.
pub(super) fn instead(name: &str) -> Option<String> {
    for side in ["client_tls", "server_tls"] {
        let key = name.strip_prefix(side).and_then(|rest| rest.strip_prefix('_'));
        match key {
            Some("sslmode" | "ca_file" | "cert_file" | "key_file" | "protocols") => {
                return Some(format!("write `{}` in [{side}]", key.unwrap_or_default()));
            }
            Some("ciphers" | "tls13_ciphers" | "ecdhecurve" | "dheparams") => {
                return Some("remove it: those of TLS 1.2 and 1.3 that are not weak are used".to_owned());
            }
            _ => {}
        }
    }
    let known = INSTEAD.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, instead)| (*instead).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::section_with;

    #[test]
    fn what_there_is_instead() {
        for (name, instead_of_it) in [
            ("client_tls_key_file", Some("write `key_file` in [client_tls]")),
            ("server_tls_ciphers", Some("remove it: those of TLS 1.2 and 1.3 that are not weak are used")),
            ("listen_port", Some("write `address` in [[listen]]")),
            ("server_tls_x", None),
            ("pool_mode", None),
        ] {
            assert_eq!(instead(name).as_deref(), instead_of_it, "{name}");
        }
    }

    /// What is said of a key is true of the keys there are.
    #[test]
    fn nothing_is_in_place_of_a_key_that_exists() {
        for (name, advice) in INSTEAD {
            assert_eq!(section_with(name), None, "{name}");
            let key = advice.strip_prefix("write `").and_then(|rest| rest.split(['`', ' ']).next());
            assert!(key.is_none_or(|key| section_with(key).is_some()), "{name}: {advice}");
        }
    }
}
