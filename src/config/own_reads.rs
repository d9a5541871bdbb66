//! What listeners and databases want of replicas beside `[replicas]`: bounds, tags, synchronous standbys of their own.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Config,
    cluster_keys::Replicas,
    declare::{Reading, key_part},
    keys::{DatabaseKeys, ListenKeys},
    settings::Listener,
    store_source::StoreSource,
    tag::Tag,
    value::{OrOff, Size},
    words::{RouteKind, SyncStandbys},
};

/// Different wants that can be told apart, for each cluster.
pub const WANTS_MAX: usize = 64;

/// What a listener or a database wants of replicas; what is `None` is as `[replicas]` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnReads {
    lag_bytes_max: Option<OrOff<Size>>,
    lag_time_max: Option<OrOff<Duration>>,
    sync_standbys: Option<SyncStandbys>,
    required_tags: Vec<Tag>,
}

/// What somebody wants of replicas, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes that one may lag; `None`: any.
    pub lag_bytes_max: Option<u64>,
    /// How long one may lag; `None`: however long.
    pub lag_time_max: Option<Duration>,
    /// What is thought of synchronous standbys.
    pub sync_standbys: SyncStandbys,
    /// Tags that it must have.
    pub required_tags: Vec<Tag>,
}

impl OwnReads {
    pub(super) fn of_listener(keys: &ListenKeys) -> Self {
        Self {
            lag_bytes_max: keys.lag_bytes_max,
            lag_time_max: keys.lag_time_max,
            sync_standbys: keys.sync_standbys,
            required_tags: keys.required_tags.clone().unwrap_or_default(),
        }
    }

    fn of_database(keys: &DatabaseKeys) -> Self {
        Self {
            lag_bytes_max: keys.lag_bytes_max,
            lag_time_max: keys.lag_time_max,
            sync_standbys: keys.sync_standbys,
            required_tags: keys.required_tags.clone().unwrap_or_default(),
        }
    }

    /// Whether nothing of one's own is wanted.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What a database wants, and what its listener wants beside it.
    fn beside(&self, listener: &Self) -> Self {
        let mut required_tags = listener.required_tags.clone();
        required_tags.extend(self.required_tags.iter().cloned());
        required_tags.sort();
        required_tags.dedup();
        Self {
            lag_bytes_max: self.lag_bytes_max.or(listener.lag_bytes_max),
            lag_time_max: self.lag_time_max.or(listener.lag_time_max),
            sync_standbys: self.sync_standbys.or(listener.sync_standbys),
            required_tags,
        }
    }

    fn resolve(&self, replicas: &Replicas) -> Wanted {
        let required_tags = replicas.required_tags.iter().chain(&self.required_tags).cloned();
        Wanted {
            lag_bytes_max: self.lag_bytes_max.unwrap_or(replicas.lag_bytes_max).0.map(|size| size.0),
            lag_time_max: self.lag_time_max.unwrap_or(replicas.lag_time_max).0,
            sync_standbys: self.sync_standbys.unwrap_or(replicas.sync_standbys),
            required_tags: required_tags.collect(),
        }
    }
}

/// What of a database stays as it is in a running process, also if a reload takes the database out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The cluster that has it; `None`: the listener's.
    pub(super) cluster: Option<String>,
    reads: OwnReads,
}

impl Kept {
    /// What every database starts with.
    pub(super) fn all(databases: &BTreeMap<String, DatabaseKeys>) -> BTreeMap<String, Self> {
        let kept =
            |keys: &DatabaseKeys| Self { cluster: keys.cluster.clone(), reads: OwnReads::of_database(keys) };
        databases.iter().map(|(name, keys)| (name.clone(), kept(keys))).collect()
    }

    /// One that is new in a running process wants nothing of replicas yet.
    pub(super) fn new_in(cluster: Option<String>) -> Self {
        Self { cluster, reads: OwnReads::default() }
    }

    /// The keys say what holds.
    pub(super) fn put_into(&self, keys: &mut DatabaseKeys) {
        let OwnReads { lag_bytes_max, lag_time_max, sync_standbys, required_tags } = self.reads.clone();
        keys.cluster.clone_from(&self.cluster);
        keys.lag_bytes_max = lag_bytes_max;
        keys.lag_time_max = lag_time_max;
        keys.sync_standbys = sync_standbys;
        keys.required_tags = (!required_tags.is_empty()).then_some(required_tags);
    }
}

/// The places of what the clients of one listener want in [`Config::wanted`] of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedPlaces {
    listener: usize,
    databases: BTreeMap<String, usize>,
}

impl WantedPlaces {
    /// The place of what they want with this database.
    pub fn of(&self, database: &str) -> usize {
        self.databases.get(database).copied().unwrap_or(self.listener)
    }
}

impl Config {
    /// What is wanted of the replicas of a cluster: the first is for those who want nothing of their own. A reload
    /// changes what it is, not where it stands.
    pub fn wanted(&self, cluster: &str) -> Vec<Wanted> {
        let replicas = self.clusters.get(cluster).map_or(&self.keys.replicas, |cluster| &cluster.replicas);
        self.own_reads(cluster).iter().map(|own| own.resolve(replicas)).collect()
    }

    /// Where it stands for the clients of a listener.
    pub fn wanted_places(&self, cluster: &str, listener: &Listener) -> WantedPlaces {
        let known = self.own_reads(cluster);
        let place = |own: &OwnReads| known.iter().position(|known| known == own).unwrap_or_default();
        let databases = self.own_databases(cluster, listener);
        WantedPlaces {
            listener: if listener.route == RouteKind::Write {
                0
            } else {
                place(&listener.reads.beside(&OwnReads::default()))
            },
            databases: databases.map(|(name, own)| (name.to_owned(), place(&own))).collect(),
        }
    }

    /// Notes what makes no sense.
    pub(super) fn check_reads(&self, reading: &mut Reading<'_>) {
        for (index, listener) in self.listeners.iter().enumerate() {
            if listener.route == RouteKind::Write && !listener.reads.is_nothing() {
                let what = "lag bounds, `sync_standbys` and `required_tags` have no meaning with `route = \"write\"`";
                reading.error(
                    &format!("listen.{index}"),
                    what,
                    "remove them, or use route = \"read\" or \"split\"",
                );
            }
        }
        for (name, cluster) in &self.clusters {
            let path = format!("clusters.{}", key_part(name));
            let own = self.own_reads(name);
            if own.len() > WANTS_MAX {
                let what = format!(
                    "listeners and databases want replicas in {} different ways; {} can be told apart",
                    own.len(),
                    WANTS_MAX
                );
                reading.error(&path, what, "let more of them want the same");
            }
            let wanted = self.wanted(name);
            let by_record = wanted
                .iter()
                .any(|wanted| !wanted.required_tags.is_empty() || wanted.sync_standbys != SyncStandbys::Any);
            if matches!(cluster.source, StoreSource::None { .. })
                && (by_record || cluster.replicas.zone.is_some())
            {
                let what = "`zone`, `sync_standbys` and `required_tags` need a store: without one nothing is known of them";
                reading.error(&path, what, "remove them, or set `store`");
            }
        }
    }

    fn own_reads(&self, cluster: &str) -> Vec<OwnReads> {
        let mut all = vec![OwnReads::default()];
        for listener in self.listeners.iter().filter(|listener| listener.route != RouteKind::Write) {
            let databases = self.own_databases(cluster, listener).map(|(_, own)| own);
            for own in [listener.reads.beside(&OwnReads::default())].into_iter().chain(databases) {
                if !all.contains(&own) {
                    all.push(own);
                }
            }
        }
        all
    }

    /// The databases that want something of their own and can be reached by a listener in a cluster.
    fn own_databases<'c>(
        &'c self,
        cluster: &str,
        listener: &'c Listener,
    ) -> impl Iterator<Item = (&'c str, OwnReads)> {
        let reads = listener.route != RouteKind::Write;
        let leads_there = move |name: &str| self.cluster_of(listener, name) == cluster;
        let own = self.kept.iter().map(|(name, kept)| (name.as_str(), &kept.reads));
        let own = own.filter(move |(name, own)| reads && !own.is_nothing() && leads_there(name));
        own.map(|(name, own)| (name, own.beside(&listener.reads)))
    }
}
