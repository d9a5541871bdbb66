//! What kind of run a seed makes: the cluster, the program's configuration, the clients.

use crate::{
    client::Purpose,
    extras::{Asked, Extras},
    operator::DRAIN_MAX,
    random::Rng,
    world::Ms,
};

/// What kind of run it is.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) writers: usize,
    pub(crate) readers: usize,
    /// Patroni's `ttl`.
    pub(crate) ttl: Ms,
    pub(crate) loop_wait: Ms,
    pub(crate) replication: Replication,
    pub(crate) pool_size: usize,
    pub(crate) pool_mode: &'static str,
    /// What reads do while no replica qualifies.
    pub(crate) fallback: &'static str,
    /// Faults that strike.
    pub(crate) faults: usize,
    /// While they strike.
    pub(crate) trouble: Ms,
    /// From a switchover's announcement to the leader's stepping down, at least.
    pub(crate) notice: Ms,
    /// The program's workers.
    pub(crate) workers: usize,
    /// Whether clients change a setting that must follow them, and the program sleeps through changes of leader.
    pub(crate) more: bool,
    pub(crate) extras: Extras,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    Synchronous,
    Asynchronous,
}

/// Extras are drawn apart, so that everything else about a seed stays what it was.
const EXTRAS: u64 = 0x0E87_2A50 << 16;

/// How far a replica may lag.
const LAG_BYTES_MAX: u64 = 256 * 1024;
const LAG_TIME_MAX: Ms = 1000;
pub(crate) const PROBE_INTERVAL: Ms = 500;
pub(crate) const PROBE_TIMEOUT: Ms = 1000;
/// Servers at most for reads that fall back on the leader.
pub(crate) const FALLBACK_SERVERS: usize = 2;
/// How long an answer of a probe counts.
pub(crate) const FRESH_FOR: Ms = PROBE_INTERVAL + PROBE_TIMEOUT + PROBE_INTERVAL / 2;

impl Shape {
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        let ttl = rng.within(3, 5) * 1000;
        Self {
            nodes: if rng.chance(80) { 3 } else { 2 },
            writers: 2 + rng.below(3),
            readers: 1 + rng.below(2),
            ttl,
            loop_wait: ttl / 6,
            replication: if rng.chance(75) { Replication::Synchronous } else { Replication::Asynchronous },
            pool_size: 1 + rng.below(4),
            pool_mode: if rng.chance(85) { "transaction" } else { "session" },
            fallback: if rng.chance(75) { "wait" } else { "leader" },
            faults: 2 + rng.below(5),
            trouble: rng.within(5, 9) * 1000,
            notice: 0,
            workers: 1,
            more: false,
            extras: Extras::default(),
        }
    }

    /// With more to it, for every third seed or so; not for those that are named in tests, which stay what they were.
    pub(crate) fn with_more(mut self, seed: u64) -> Self {
        if matches!(seed % 11, 2 | 4 | 7 | 9) {
            self.workers = 1 + usize::try_from(seed / 11 % 3).unwrap();
            self.more = true;
            let mut rng = Rng::new(seed ^ EXTRAS);
            self.extras = Extras::drawn(&mut rng);
            if self.extras.is_consistent() && rng.chance(30) {
                // Otherwise no failover loses what anybody has been told of.
                self.replication = Replication::Asynchronous;
            }
            if rng.chance(15) {
                self.extras.authority = Asked::Hosts;
            }
        }
        self
    }

    /// Nothing happens but what was planned, with notice enough for whatever a client does to come to its end.
    pub(crate) fn orderly(rng: &mut Rng) -> Self {
        let drawn = Self::drawn(rng);
        Self { faults: 0, notice: 1200, pool_mode: "transaction", ..drawn }
    }

    /// Whether whatever goes wrong is the program's doing.
    pub(crate) const fn is_orderly(&self) -> bool {
        self.notice > 0
    }

    /// Whether a server goes from client to client.
    pub(crate) fn is_shared(&self) -> bool {
        self.pool_mode != "session"
    }

    pub(crate) const fn clients(&self) -> usize {
        self.writers + self.readers + self.extras.splitters
    }

    /// What a client comes for.
    pub(crate) const fn purpose(&self, number: usize) -> Purpose {
        if number < self.writers {
            Purpose::Write
        } else if number < self.writers + self.readers {
            Purpose::Read
        } else {
            Purpose::Split
        }
    }

    /// How far a replica may lag, in bytes and in time: further where it matters what it shows.
    pub(crate) const fn lag_max(&self) -> (u64, Ms) {
        if self.extras.is_any() {
            (4 * LAG_BYTES_MAX, 3 * LAG_TIME_MAX)
        } else {
            (LAG_BYTES_MAX, LAG_TIME_MAX)
        }
    }

    /// Servers of a pool at most. A client that keeps its server starves another for good if there are too few.
    pub(crate) fn servers(&self) -> usize {
        if self.is_shared() { self.pool_size } else { 10 }
    }

    /// The program's configuration.
    /// With so many more servers for each pool than [`Self::servers`].
    pub(crate) fn configuration(&self, more: usize) -> String {
        let (pool_size, pool_mode, fallback) = (self.servers() + more, self.pool_mode, self.fallback);
        let Extras { consistency, commit_fate, .. } = self.extras;
        let (bytes_max, time_max) = self.lag_max();
        let watched = match self.extras.authority {
            Asked::Store => "scope = \"sim\"\nstore = \"etcd3\"\nendpoints = [\"127.0.0.1:1\"]\nswitchover_hold_max = \"3s\"".to_owned(),
            Asked::Hosts => {
                let hosts: Vec<String> = (0..self.nodes).map(|node| format!("\"n{node}:5432\"")).collect();
                format!("store = \"none\"\nhosts = [{}]", hosts.join(", "))
            }
        };
        // One that was restarted is not spared.
        let slow_start = if self.extras.is_any() { "slow_start = 0" } else { "" };
        format!(
            r#"
[clusters.sim]
{watched}
probe_user = "monitoring"
[replicas]
lag_bytes_max = {bytes_max}
lag_time_max = "{time_max}ms"
{slow_start}
replica_wait_timeout = "3s"
fallback = "{fallback}"
fallback_connections_max = {FALLBACK_SERVERS}
[[listen]]
address = "127.0.0.1:6432"
route = "write"
[[listen]]
address = "127.0.0.1:6433"
route = "read"
[[listen]]
address = "127.0.0.1:6434"
route = "split"
[pool]
consistency = "{consistency}"
commit_fate = {commit_fate}
default_pool_size = {pool_size}
pool_mode = "{pool_mode}"
drain_timeout = "{DRAIN_MAX}ms"
[auth]
auth_type = "trust"
[server_tls]
sslmode = "disable"
"#
        )
    }
}
