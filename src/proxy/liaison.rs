//! What pools tell the rest of the program.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::mpsc;

use super::{settings::shared_limits, welcome::Welcomes};
use crate::{
    cluster::{ids::MemberName, watcher::WatcherHandle},
    config::Config,
    pool::{
        account::Account,
        pools::{Report, SharedLimits},
    },
};

/// Passes on what pools have to tell: suspicions to the watchers, what servers say of themselves to the welcomes.
pub(super) struct Liaison {
    watchers: ArcSwapOption<BTreeMap<String, WatcherHandle>>,
    welcomes: Arc<Welcomes>,
    config: Arc<ArcSwap<Config>>,
}
