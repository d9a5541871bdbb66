//! Every metric: its name, type, labels and what it means. `/metrics` and `config/METRICS.md` come from here.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only upwards, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Kind {
    /// Prometheus' word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric with `N` labels.
#[derive(Clone, Copy, Debug)]
pub struct Metric<const N: usize> {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: [&'static str; N],
}

/// A metric, for those who list them.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $metric:ident: $kind:ident $name:literal [$($label:literal),*];)*) => {
        $(
            $(#[doc = $help])+
            pub const $metric: Metric<{ <[&str]>::len(&[$($label),*]) }> =
                Metric { name: $name, kind: Kind::$kind, labels: [$($label),*] };
        )*
        /// All of them, in the order in which they are listed and printed.
        pub const TABLE: &[Described] = &[$(Described {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: concat!($($help),+).trim_ascii_start(),
        }),*];
    };
}

metrics! {
    /// 1, with the version.
    BUILD_INFO: Gauge "pgsteer_build_info" ["version"];
    /// When the process started, in seconds since 1970.
    START_TIME: Gauge "pgsteer_start_time_seconds" [];
    /// CPU time of the process, user and system.
    CPU: Counter "pgsteer_cpu_seconds_total" [];
    /// Resident memory of the process.
    RESIDENT_MEMORY: Gauge "pgsteer_resident_memory_bytes" [];
    /// Open file descriptors.
    OPEN_FDS: Gauge "pgsteer_open_fds" [];
    /// File descriptors that may be open.
    MAX_FDS: Gauge "pgsteer_max_fds" [];
    /// Threads that serve clients.
    WORKERS: Gauge "pgsteer_workers" [];
    /// Connections that each of these threads serves, those that log in included.
    WORKER_CLIENTS: Gauge "pgsteer_worker_clients" ["worker"];
    /// How often the configuration was read again, by outcome (ok, failed).
    RELOADS: Counter "pgsteer_config_reloads_total" ["outcome"];

    /// 1 for the leader of the term in force; nothing while there is none.
    LEADER: Gauge "pgsteer_leader" ["cluster", "member"];
    /// Number of the term in force, counted from the start of the process; 0 while there is none.
    TERM_EPOCH: Gauge "pgsteer_term_epoch" ["cluster"];
    /// Timeline of the term in force; 0 while there is none.
    TERM_TIMELINE: Gauge "pgsteer_term_timeline" ["cluster"];
    /// How long ago an operator has pinned the leader; absent while nobody is pinned. A pin is for an emergency: alert on it
    /// when it is older than that may last.
    PIN_AGE: Gauge "pgsteer_pin_age_seconds" ["cluster", "member"];
    /// 1 while an operator has marked a member: drain or down.
    MEMBER_MARKED: Gauge "pgsteer_member_marked" ["cluster", "member", "mark"];
    /// 1 for what holds of writes: open, held (a leader is in doubt) or vacant (there is none), and why in a word.
    WRITE_STATE: Gauge "pgsteer_write_state" ["cluster", "state", "reason"];
    /// How long the right to write still lasts; 0 or less: there is none.
    RIGHT_REMAINING: Gauge "pgsteer_right_to_write_seconds" ["cluster"];
    /// 1 for where the right to write comes from: lease (the store), probes or none.
    RIGHT_SOURCE: Gauge "pgsteer_right_to_write_source" ["cluster", "source"];
    /// 1 for what holds of the store: absent (`store = "none"`), never_answered, answering, nothing (under the scope) or lost.
    STORE_STATUS: Gauge "pgsteer_store_status" ["cluster", "status"];
    /// How long ago the store's newest answer was asked for, while it answers; how long it has been lost, if it is.
    STORE_AGE: Gauge "pgsteer_store_age_seconds" ["cluster"];
    /// How often what is known of the cluster was renewed; grows with every answer of a member or the store.
    TOPOLOGY_UPDATES: Counter "pgsteer_topology_updates_total" ["cluster"];
    /// Whether a write can be served now (1) or waits (0); what `/ready` says.
    WRITE_SERVED: Gauge "pgsteer_write_served" ["cluster"];
    /// Whether a read can be served now (1) or waits (0); what `/ready` says.
    READ_SERVED: Gauge "pgsteer_read_served" ["cluster"];

    /// 1 for what a member is to pgsteer: leading, following, deposed, down, unusable or lost (out of reach for long: what is read there was cut off).
    MEMBER_STANDING: Gauge "pgsteer_member_standing" ["cluster", "member", "standing"];
    /// 1 for what a member said it is when asked last: primary, standby, or unknown if it did not answer.
    MEMBER_ROLE: Gauge "pgsteer_member_role" ["cluster", "member", "role"];
    /// Timeline that a member named when asked last.
    MEMBER_TIMELINE: Gauge "pgsteer_member_timeline" ["cluster", "member"];
    /// WAL that a replica had not replayed when asked last, compared with the leader.
    MEMBER_LAG_BYTES: Gauge "pgsteer_member_lag_bytes" ["cluster", "member"];
    /// Age of the oldest position of the leader that a replica had not replayed when asked last.
    MEMBER_LAG_SECONDS: Gauge "pgsteer_member_lag_seconds" ["cluster", "member"];
    /// Whether a member serves reads.
    MEMBER_QUALIFIES: Gauge "pgsteer_member_qualifies" ["cluster", "member"];
    /// Share of reads that a member has compared with the others that serve them: eight times its tag `weight`, or less while it
    /// has just joined them (`slow_start`).
    MEMBER_SHARE: Gauge "pgsteer_member_read_share" ["cluster", "member"];
    /// Servers of a member that clients have now; what `balance = "least_connections"` goes by.
    MEMBER_BUSY: Gauge "pgsteer_member_busy_servers" ["cluster", "member"];
    /// How long a member takes to answer a probe, smoothed; what `balance = "latency"` goes by.
    MEMBER_LATENCY: Gauge "pgsteer_member_latency_seconds" ["cluster", "member"];
    /// 1 for the reason why a member serves no reads, in a word; `/leader` has the sentence.
    MEMBER_EXCLUDED: Gauge "pgsteer_member_excluded" ["cluster", "member", "reason"];
    /// 1 for what came of asking a member last: answered, refused, unreachable, no_connection, timeout, starting, auth_failed or failed.
    MEMBER_PROBE: Gauge "pgsteer_member_probe" ["cluster", "member", "outcome"];
    /// How long ago the newest question to a member that has an outcome was sent.
    MEMBER_PROBE_AGE: Gauge "pgsteer_member_probe_age_seconds" ["cluster", "member"];
    /// How long that outcome took.
    MEMBER_PROBE_TOOK: Gauge "pgsteer_member_probe_duration_seconds" ["cluster", "member"];
    /// Whether a member is suspected to have failed and has not answered since.
    MEMBER_SUSPECTED: Gauge "pgsteer_member_suspected" ["cluster", "member"];

    /// Server connections of all pools of a member by state (opening, idle, leased, recovering).
    SERVERS: Gauge "pgsteer_server_connections" ["cluster", "member", "state"];
    /// Server connections that are opened ahead and kept on a member that may lead next (`warm_candidates`), as far as the limits
    /// allow.
    SERVERS_AHEAD: Gauge "pgsteer_server_connections_ahead" ["cluster", "member"];
    /// Clients that wait for a server connection to a member.
    SERVERS_WAITING: Gauge "pgsteer_server_waiting_clients" ["cluster", "member"];
    /// Server connections opened.
    SERVERS_OPENED: Counter "pgsteer_server_connections_opened_total" ["cluster", "member"];
    /// Server connections closed, for whatever reason.
    SERVERS_CLOSED: Counter "pgsteer_server_connections_closed_total" ["cluster", "member"];
    /// Server connections that could not be opened, by cause (unreachable, refused, protocol, credential, tls, standby) and SQLSTATE.
    SERVERS_FAILED: Counter "pgsteer_server_connection_failures_total" ["cluster", "member", "cause", "sqlstate"];

    /// Pools that exist.
    POOLS: Gauge "pgsteer_pools" [];
    /// Pools that are too many to be listed one by one below; the figures above and the totals include them.
    POOLS_UNLISTED: Gauge "pgsteer_pools_unlisted" [];
    /// Server connections of a pool by state. `database` is as clients name it, `dbname` as the servers know it; `use` is all, or
    /// read_fallback for reads that the leader serves.
    POOL_SERVERS: Gauge "pgsteer_pool_servers" ["cluster", "member", "database", "dbname", "user", "use", "state"];
    /// Server connections that a pool may have.
    POOL_SIZE: Gauge "pgsteer_pool_size" ["cluster", "member", "database", "dbname", "user", "use"];
    /// Clients that wait for a server of a pool.
    POOL_WAITING: Gauge "pgsteer_pool_waiting_clients" ["cluster", "member", "database", "dbname", "user", "use"];
    /// How long the first of them has waited.
    POOL_OLDEST_WAIT: Gauge "pgsteer_pool_oldest_wait_seconds" ["cluster", "member", "database", "dbname", "user", "use"];
    /// Servers of a pool that clients keep because of their sessions' state; `pin_max` limits them.
    POOL_PINNED: Gauge "pgsteer_pool_pinned_servers" ["cluster", "member", "database", "dbname", "user", "use"];

    /// Clients that are logged in, by what they do: idle, waiting, running, idle_in_transaction or pinned (idle, but their session's state keeps their server).
    CLIENTS: Gauge "pgsteer_clients" ["activity"];
    /// Client connections that count against `max_client_conn`.
    CLIENT_CONNECTIONS: Gauge "pgsteer_client_connections" [];
    /// `max_client_conn`.
    CLIENT_CONNECTIONS_MAX: Gauge "pgsteer_client_connections_max" [];
    /// Pairs of a user and a database that have been served and are remembered: at most 100,000, then those without a client give way.
    TENANTS: Gauge "pgsteer_users_and_databases" [];
    /// Replication connections, each with a server connection beside the pools.
    REPLICATION_CONNECTIONS: Gauge "pgsteer_replication_connections" [];
    /// Connections to leaders on which clients listen that have no server of their own, beside the pools.
    LISTENING_CONNECTIONS: Gauge "pgsteer_listening_connections" [];
    /// Notifications that came on them and were passed on, for each client that got it.
    NOTIFICATIONS: Counter "pgsteer_notifications_total" [];
    /// Clients that were let in.
    LOGINS: Counter "pgsteer_logins_total" [];
    /// Clients that were not let in, by where that ended (introduction by a proxy, too_many logging in at once, authentication, admission, timeout, left) and SQLSTATE.
    LOGIN_FAILURES: Counter "pgsteer_login_failures_total" ["stage", "sqlstate"];
    /// Logins from an address with many failed ones, by what became of them: delayed, or refused because too many waited.
    DELAYS: Counter "pgsteer_logins_delayed_total" ["outcome"];
    /// Lookups of users on the servers (auth_query, and memberships that rules depend on), by outcome (found, unknown or no member, unreachable, refused); remembered: uses of an old answer because nobody could be asked.
    LOOKUPS: Counter "pgsteer_auth_queries_total" ["outcome"];

    /// Queries answered: ReadyForQuery messages passed on.
    QUERIES: Counter "pgsteer_queries_total" [];
    /// Of these, with no transaction left open.
    TRANSACTIONS: Counter "pgsteer_transactions_total" [];
    /// Bytes received from clients.
    CLIENT_BYTES: Counter "pgsteer_received_from_clients_bytes_total" [];
    /// Bytes received from servers.
    SERVER_BYTES: Counter "pgsteer_received_from_servers_bytes_total" [];
    /// Times that a client got a server.
    LEASES: Counter "pgsteer_leases_total" [];
    /// Requests that a server, told to end (57P01), turned away before it began with any of them; another server got them.
    TURNED_AWAY: Counter "pgsteer_requests_turned_away_total" [];
    /// Uses of named prepared statements (Parse, Bind, Describe) that were mapped to a statement of the server's.
    STATEMENT_USES: Counter "pgsteer_statement_uses_total" [];
    /// Of these, with a Parse because the server did not have the statement.
    STATEMENT_PARSES: Counter "pgsteer_statement_parses_total" [];
    /// Times that a server was asked what a client has left in its session, before it was given back.
    INSPECTIONS: Counter "pgsteer_session_inspections_total" [];
    /// Times that a server was given the state of a client's session (settings that it does not report, roles, statements prepared by SQL), or freed of another's.
    RESTORES: Counter "pgsteer_session_restores_total" [];
    /// Times that a client began to keep its server because of its session's state, by what kind (temp, cursors, locks, loads, seed, sequences, listens, bound, prepared, settings, every_setting, opaque or unreadable); one may have several.
    PINS: Counter "pgsteer_session_pins_total" ["kind"];
    /// State that was found in a session although no statement had shown that it was left there, by kind; looked for in samples (`hidden_state_sample`).
    HIDDEN: Counter "pgsteer_session_hidden_state_total" ["kind"];
    /// Requests of clients without a server on listeners with `route = "split"`, by where they belong (replica, leader) and why: reads, read_only_transaction, asked; writes, volatile (a function, operator or relation that may write), unknown (functions), unlearnt (nothing is known of the database yet), state (of the session), not_whole, refused (by a replica before) or returned (by a replica just now). Where no replica qualifies the leader serves those of replicas.
    SPLITS: Counter "pgsteer_split_requests_total" ["to", "reason"];
    /// Requests that a replica could not answer and that the leader was given instead, by the SQLSTATE the replica gave, or server_gone or deposed.
    RETURNS: Counter "pgsteer_split_returns_total" ["cause"];
    /// Reads on listeners with `route = "read"` that another replica ran again because the first was lost before the client had any of
    /// an answer (`retry_reads`), by how it was lost: server_gone, cut_off (its member was given up) or conflict (with what it replays).
    REREADS: Counter "pgsteer_read_retries_total" ["cause"];
    /// Reads that had to see a certain commit (`consistency`) and found no replica at once that was known to show it, by what became of them: waited (a replica caught up in time), leader (it served them) or refused (an error).
    CONSISTENT_READS: Counter "pgsteer_consistent_reads_total" ["outcome"];
    /// Requests that were told that what they were to see is not there, by what is known of it: lost (a failover went on without it), unknown (whether it did), foreign (it is of another cluster) or unreadable (`pgsteer.wait_for` is no token).
    LOST_WRITES: Counter "pgsteer_lost_writes_total" ["known"];
    /// Commits whose answer was lost with their server and that the next leader was asked about (`commit_fate`), by what was found out: committed, not_committed, unknown (the client got 08007, or what its server had said last) or unheard (it had left).
    COMMIT_FATES: Counter "pgsteer_commit_fates_total" ["outcome"];
    /// Questions of clients for a last commit (`SHOW pgsteer.last_commit`), by whose: own, session (another one) or transaction.
    LAST_COMMITS: Counter "pgsteer_last_commit_questions_total" ["whose"];
    /// Questions for the position of the log behind what a client may have committed, by when they were asked: along (with the client's own messages) or after (its transaction was over).
    POSITIONS: Counter "pgsteer_commit_positions_total" ["asked"];
    /// Waits of requests that ended in a server or an error, by what was waited for: server (of a pool with none free), leader (or the right to write to it) or replica.
    WAITS: Histogram "pgsteer_wait_seconds" ["for"];
    /// Requests refused with an error while their client went on, by SQLSTATE.
    REJECTED: Counter "pgsteer_rejected_requests_total" ["sqlstate"];
    /// Clients cut off, by cause (deposed, no_right, server_gone, login_refused, client_fault, shutdown, or a time limit's name) and the SQLSTATE they were given; `relayed`: the server told them itself.
    CUTOFFS: Counter "pgsteer_cutoffs_total" ["cause", "sqlstate"];
    /// Transactions and statements under way that ended unfinished, by the same and client_gone.
    ABORTED: Counter "pgsteer_aborted_transactions_total" ["cause", "sqlstate"];
    /// Cancel requests, by who wanted them (client, query_timeout) and outcome (forwarded, stopped_waiting, nothing_to_cancel, unknown_key, failed).
    CANCELS: Counter "pgsteer_cancel_requests_total" ["source", "outcome"];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len(), "each once");
        for Described { name, kind, labels, help } in TABLE {
            let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(name.starts_with("pgsteer_") && word(name), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(labels.iter().all(|label| word(label) && *label != "le"), "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        }
    }
}
