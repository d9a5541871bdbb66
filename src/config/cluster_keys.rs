//! The keys of a cluster: where it is, who asks its members, which of them serve reads.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::{
    address::{Endpoint, ServerAddress},
    declare::{Entry, Fields, Key, Reload, Section, section},
    secret::Secret,
    tag::Tag,
    value::{Delay, OrOff, Size, Value},
    words::{Balance, Fallback, MaxProtocol, ProxyHeader, RetryReads, StoreKind, SyncStandbys},
};

section! {
    /// A Patroni cluster. One process may serve several; each has a name of your choice.
    /// `[clusters.NAME.replicas]` may set any key of `[replicas]` for this cluster alone.
    ClusterKeys "[clusters.NAME]" {
        /// Patroni's `scope`, or Stolon's `--cluster-name`. Needed with every store but `"none"`.
        Restart scope: Option<String>;
        /// Who says which member leads: Patroni's consensus store, named as Patroni names it; `"patroni"`: the REST API
        /// of its members; `"stolon"`: the record of a Stolon cluster in etcd (its `--store-backend etcdv3`); or
        /// `"none"`: the servers themselves are asked. Only a store shows for how long the leader
        /// keeps its key. With `"patroni"` writes need a leader that Patroni names and that a majority of the members
        /// follows. Without either there is no fencing: a deposed leader that still answers cannot be told from
        /// a live one by its own word, only by the majority of `hosts`.
        Restart store: StoreKind;
        /// The store's addresses: `host:port`, `http://host:port` or `https://host:port`. Without a scheme, TLS is
        /// used if `store_ca_file` or `store_cert_file` is set. With `store = "patroni"`: the `restapi` of several
        /// members, all of which are asked each time; of stores one is asked, and the next when it fails. With
        /// `store = "kubernetes"` a pod needs none: the API server of its own cluster is asked.
        Restart endpoints: Vec<Endpoint> = [];
        /// Patroni's `namespace`. With `store = "kubernetes"`: the one of Kubernetes; pgsteer's own where none is written.
        /// With `store = "stolon"`: its `--store-prefix`, `stolon/cluster` where none is written.
        Restart namespace: String = "/service/";
        /// The group of a Citus cluster that is meant, as `citus.group` in Patroni's configuration: 0 is the coordinator's.
        Restart group: Option<u32>;
        /// With `store = "none"`: the servers to ask, `host:port` or `/socket/folder:port`. A majority must answer.
        Restart hosts: Vec<ServerAddress> = [];
        /// With `store = "kubernetes"`: whether Patroni writes to Endpoints or to ConfigMaps, as `use_endpoints` in its
        /// configuration.
        Restart kubernetes_use_endpoints: bool = false;
        /// With `store = "kubernetes"`: the labels of Patroni's objects, as `labels` in its configuration.
        Restart kubernetes_labels: String = "application=patroni";
        /// With `store = "kubernetes"`: the label that carries the scope, as `scope_label` in Patroni's configuration.
        Restart kubernetes_scope_label: String = "cluster-name";
        /// User at the store, where it asks for one.
        Restart store_user: Option<String>;
        /// Password at the store.
        Restart store_password: Option<Secret>;
        /// File that holds the password at the store.
        Restart store_password_file: Option<PathBuf>;
        /// Token shown to the store (Consul's ACL, Kubernetes' bearer token).
        Restart store_token: Option<Secret>;
        /// File that holds the token. It is read anew again and again, so that others may renew it. With
        /// `store = "kubernetes"` and no `endpoints`, token and certificate authority are those of the pod.
        Restart store_token_file: Option<PathBuf>;
        /// Certificate authorities (PEM) that the store's certificate is checked against.
        Restart store_ca_file: Option<PathBuf>;
        /// Client certificate (PEM) shown to the store.
        Restart store_cert_file: Option<PathBuf>;
        /// Private key (PEM) of the client certificate.
        Restart store_key_file: Option<PathBuf>;
        /// How often the store is read again although its watch is silent. A silent watch proves nothing; each
        /// re-read renews the right to write, so it must stay well below Patroni's `ttl`.
        Restart store_reread_interval: Duration = "1s";
        /// User of Patroni's REST API (`restapi.authentication`), for `pgsteer switchover`.
        Restart patroni_user: Option<String>;
        /// Its password.
        Restart patroni_password: Option<Secret>;
        /// File that holds its password.
        Restart patroni_password_file: Option<PathBuf>;
        /// Certificate authorities (PEM) that the certificates of Patroni's REST API are checked against, where its URLs
        /// begin with https. It is asked in failsafe mode and for `pgsteer switchover`.
        Restart patroni_ca_file: Option<PathBuf>;
        /// Client certificate (PEM) shown to Patroni's REST API.
        Restart patroni_cert_file: Option<PathBuf>;
        /// Private key (PEM) of that certificate.
        Restart patroni_key_file: Option<PathBuf>;
        /// When the leader is about to step down as planned (Patroni's `/failover`, or its record says `stopping`), new
        /// transactions wait for its successor, at most this long after each sign of it; those that run go on. If
        /// nothing has come of it by then, or it was given up, they go on on the old leader. 0: they do not wait.
        Restart switchover_hold_max: Delay = "10s";
        /// The newest version of the protocol that the servers are asked for. With 3.2 (PostgreSQL 18) they give cancel
        /// keys of 256 bits instead of 32; older PostgreSQL says that it has only 3.0, and that is spoken then. `"3.0"`
        /// is for a proxy in between that cannot negotiate. Clients may speak either, whatever the servers do.
        Restart max_protocol_version: MaxProtocol = "3.2";
        /// Whether servers are told by the PROXY protocol, before anything else, who connects: `v1` or `v2`, for a proxy
        /// before them that expects it. A connection of a pool is pgsteer's own, which the header says (UNKNOWN,
        /// LOCAL); a replication connection is its client's.
        Restart server_proxy_protocol: ProxyHeader = "off";
        /// How often the host names of members are resolved again. A member whose name has come to lead elsewhere (an address
        /// that it had is gone) is asked anew there, and its connections are replaced; as the leader it must first answer
        /// that it takes writes. 0: only new connections notice.
        Restart dns_max_ttl: Delay = "15s";
        /// Role that asks the members how they are. It needs `LOGIN` and `pg_monitor`.
        Restart probe_user: String;
        /// Its password. Without one, its entry in `auth_file` serves if that is a plain password; otherwise the
        /// servers must let it in without.
        Restart probe_password: Option<Secret>;
        /// File that holds its password.
        Restart probe_password_file: Option<PathBuf>;
        /// Database it connects to.
        Restart probe_database: String = "postgres";
        /// How often each member is asked; between 10ms and 1m. While a failover is under way it is asked more often.
        Restart probe_interval: Duration = "500ms";
        /// How long a member may take to answer; between 10ms and 1m.
        Restart probe_timeout: Duration = "1s";
    }
}

section! {
    /// Which replicas serve reads, and what happens when none does. A replica that left the reads comes back once it
    /// is within half of both bounds, so that it does not flicker.
    Replicas "[replicas]" {
        /// How many bytes of WAL a replica may be behind the leader, as probed. A WAL segment switch alone is 16 MB.
        AtOnce lag_bytes_max: OrOff<Size> = "32MB";
        /// How old the oldest known leader position may be that a replica has not replayed yet. An idle leader is no lag.
        AtOnce lag_time_max: OrOff<Duration> = "1s";
        /// While no leader exists, replicas that last qualified go on serving reads for this long.
        AtOnce no_leader_grace: Delay = "60s";
        /// What a read does when no replica qualifies. `wait`: waits up to `replica_wait_timeout`, then fails;
        /// `leader`: goes to the leader, read-only enforced and capped; `error`: fails at once.
        AtOnce fallback: Fallback = "wait";
        /// How many server connections a read route may use on the leader, for each user and database, with
        /// `fallback = "leader"`.
        AtOnce fallback_connections_max: NonZeroU32 = 10;
        /// How long a read waits for a replica that qualifies. While there is no leader, or replicas have yet to follow a new
        /// one (Patroni needs seconds for that), it waits as writes do: `leader_wait_timeout`.
        AtOnce replica_wait_timeout: Duration = "1s";
        /// What another replica runs again, once, on listeners with `route = "read"`: a statement outside transactions that
        /// proves to read only, of whose answer the client has got nothing. `lost`: where its replica was lost; `conflicts`:
        /// also where it was in the way of what that replays (40001); `off`: nothing. What functions do is learnt from a
        /// replica as with `route = "split"`; what is not known to read only is never run again.
        NewConnections retry_reads: RetryReads = "lost";
        /// How reads are spread over the replicas that qualify. `round_robin`: one after the other; `least_connections`:
        /// to the one with the fewest requests of this pgsteer under way, one after the other while none has fewer;
        /// `latency`: of two that chance picks, to the one whose probes are answered sooner, its requests under way
        /// considered (so while there are none, a little sooner is enough). All of them heed a member's tag `weight`
        /// (1 to 1000, without it 1).
        AtOnce balance: Balance = "round_robin";
        /// How long it takes until a replica that joins others has its full share of reads: it begins with an eighth.
        /// 0: at once. `balance` applies to what it has so far.
        AtOnce slow_start: Delay = "10s";
        /// Where this pgsteer is. Replicas whose tag `zone` says the same come first; others serve when none of them
        /// qualifies.
        AtOnce zone: Option<String>;
        /// What is thought of synchronous standbys: `any`, they are like others; `prefer` or `avoid`, they come first or
        /// last (among those in the zone, if one of them qualifies); `only` or `never`.
        AtOnce sync_standbys: SyncStandbys = "any";
        /// Tags that a replica must have to serve reads: `"name"` (set to something that means yes) or `"name=value"`.
        AtOnce required_tags: Vec<Tag> = [];
    }
}
