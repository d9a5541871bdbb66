//! What pools tell the rest of the program: suspicions go to the clusters, what servers say of themselves to the welcomes.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;

use super::{clusters::RunningCluster, settings::shared_limits, welcome::Welcomes};
use crate::{
    clock::Moment,
    cluster::ids::MemberName,
    config::Config,
    pool::{
        account::Account,
        lease::Reported,
        pool::PoolKind,
        pools::{Report, SharedLimits},
        slots::Flavour,
    },
};

/// Passes on what pools have to tell: suspicions to the watchers, what servers say of themselves to the welcomes.
pub(super) struct Liaison {
    clusters: OnceLock<Arc<BTreeMap<String, RunningCluster>>>,
    welcomes: Arc<Welcomes>,
    config: Arc<ArcSwap<Config>>,
}

impl Liaison {
    /// A liaison that will know the clusters when they are watched, which needs the pools first.
    pub(super) const fn new(welcomes: Arc<Welcomes>, config: Arc<ArcSwap<Config>>) -> Self {
        Self { clusters: OnceLock::new(), welcomes, config }
    }

    /// These are the clusters, once and for all.
    pub(super) fn introduce(&self, clusters: Arc<BTreeMap<String, RunningCluster>>) {
        // Called once, at the start.
        let _ = self.clusters.set(clusters);
    }
}

impl Report for Liaison {
    fn suspect(&self, cluster: &str, member: &MemberName, why: &str) {
        if let Some(cluster) = self.clusters.get().and_then(|clusters| clusters.get(cluster)) {
            cluster.watcher.suspect(member.clone(), why);
        }
    }

    fn learn(
        &self,
        account: &Account,
        opened: (Flavour, PoolKind),
        reported: Reported,
        begun: Moment,
    ) -> Reported {
        self.welcomes.learn(account, opened, reported, begun)
    }

    fn doubt(&self, cluster: &str, are_meant: &dyn Fn(&str, &str) -> bool, now: Moment) {
        self.welcomes.doubt(cluster, are_meant, now);
    }

    fn shared_limits(&self, account: &Account) -> SharedLimits {
        shared_limits(&self.config.load(), &account.alias, &account.user)
    }
}
