//! Stolon, whose clusters' records stand in etcd (v3 API, Stolon's `--store-backend etcdv3`).
//!
//! One record holds everything that Stolon's sentinel has decided and has been told: `clusterdata`. It is read whole and
//! linearizably; etcd's watch wakes. Whom it names for Stolon's own proxies (`proxy.spec.masterDbUid`) leads. The sentinel
//! takes that name away in the very write by which another database is to be promoted, and names that one once it is.
//!
//! **The right to write.** No lease and no time stand there: Stolon fences by its proxies, each of which closes its
//! connections when it has not reached the store for a while. The same holds here, with a shorter time
//! (`follow::hearsay`).

use std::convert::Infallible;

use etcd_client::{Client, GetOptions, WatchOptions};

use self::clusterdata::{ClusterData, Election};
use super::{
    etcd::{connect, in_time, in_words, unsigned},
    follow::{Found, Link, Pace, Reading, Source, Waker, Wakes, hearsay},
    policy::StorePolicy,
};
use crate::clock::Clock;

mod clusterdata;

/// Most keys looked at to say which clusters there are.
const CLUSTERS_LIMIT: i64 = 1000;

/// A cluster's record in etcd.
#[derive(Debug)]
pub struct StolonStore {
    policy: StorePolicy,
    clock: Clock,
}

impl StolonStore {
    /// A store that is read as `policy` says: its namespace is Stolon's `--store-prefix`, its scope the `--cluster-name`.
    pub const fn new(policy: StorePolicy, clock: Clock) -> Self {
        Self { policy, clock }
    }
}

impl Source for StolonStore {
    type Link = Records;

    fn clock(&self) -> Clock {
        self.clock
    }

    fn endpoints(&self) -> Vec<String> {
        self.policy.endpoints.clone()
    }

    async fn open(&self, endpoint: usize) -> Result<Records, String> {
        let client = connect(&self.policy.endpoints[endpoint], &self.policy).await?;
        // Keys in etcd have no root. Stolon joins these words with slashes, and one in front stays where it was written.
        let prefix = self.policy.namespace.trim_end_matches('/');
        Ok(Records {
            client,
            prefix: format!("{prefix}/"),
            policy: self.policy.clone(),
            clock: self.clock,
            election: Election::default(),
        })
    }

    fn pace(&self) -> Pace {
        Pace::watched(self.policy.reread_interval)
    }
}

/// What one endpoint shows of Stolon's records.
pub(super) struct Records {
    client: Client,
    /// What the keys of all clusters begin with.
    prefix: String,
    policy: StorePolicy,
    clock: Clock,
    election: Election,
}

impl Records {
    fn key(&self) -> String {
        format!("{}{}/clusterdata", self.prefix, self.policy.scope)
    }

    /// What to say where there is no record.
    async fn nothing(&mut self) -> Result<String, String> {
        let options = GetOptions::new().with_prefix().with_keys_only().with_limit(CLUSTERS_LIMIT);
        let answer = in_time(self.client.get(self.prefix.as_str(), Some(options))).await?;
        let keys = answer.kvs().iter().map(|pair| String::from_utf8_lossy(pair.key()));
        let record =
            |key: &str| Some(key.strip_prefix(&self.prefix)?.strip_suffix("/clusterdata")?.to_owned());
        let clusters: Vec<String> = keys.filter_map(|key| record(&key)).collect();
        let instead = if clusters.is_empty() {
            format!("nor any other cluster under {}", self.prefix)
        } else {
            format!("but under {} the clusters {}", self.prefix, clusters.join(", "))
        };
        Ok(format!(
            "etcd answers and holds no {}, {instead}. Does `scope` say what Stolon's --cluster-name says, and `namespace` \
             what its --store-prefix says? Its records are seen here with --store-backend etcdv3 only",
            self.key()
        ))
    }
}

impl Link for Records {
    async fn read(&mut self) -> Result<Found, String> {
        let asked_at = self.clock.now();
        let answer = in_time(self.client.get(self.key(), None)).await?;
        let revision = answer.header().map_or(0, |header| unsigned(header.revision()));
        let Some(record) = answer.kvs().first() else { return Ok(Found::Nothing(self.nothing().await?)) };
        let data = ClusterData::read(record.value()).map_err(|why| format!("{}: {why}", self.key()))?;
        let keys = data.keys(&mut self.election);
        let right_until = Some(hearsay(asked_at, self.policy.reread_interval));
        Ok(Found::Cluster(Reading { asked_at, revision, keys, right_until }))
    }

    async fn watch(&mut self) -> Result<Option<Wakes>, String> {
        let (client, key) = (self.client.clone(), self.key());
        Ok(Some(Wakes::spawn(|wake| watching(client, key, wake))))
    }
}

/// Wakes at every change of the record.
async fn watching(mut client: Client, key: String, wake: Waker) -> Result<Infallible, String> {
    let mut stream = in_time(client.watch(key, Some(WatchOptions::new()))).await?;
    // What changed between the reading before and the watch's beginning.
    wake.wake();
    while let Some(message) = stream.message().await.map_err(|error| in_words(&error))? {
        if message.canceled() {
            return Err(format!("the watch was cancelled: {}", message.cancel_reason()));
        }
        wake.wake();
    }
    Err("the watch ended".to_owned())
}
