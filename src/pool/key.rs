//! What tells pools apart: cluster, member, database, user, kind.

use std::sync::Arc;

use super::{account::Account, pool::PoolKind};
use crate::cluster::ids::MemberName;

/// Which pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The member.
    pub member: MemberName,
    /// The database as clients name it.
    pub alias: Arc<str>,
    /// The same as the member knows it.
    pub database: Arc<str>,
    /// Its user.
    pub user: Arc<str>,
    /// Ordinary, or fallen back.
    pub kind: PoolKind,
}

impl PoolKey {
    pub(super) fn of(account: &Account, member: &MemberName, kind: PoolKind) -> Self {
        Self {
            cluster: account.cluster.clone(),
            member: member.clone(),
            alias: account.alias.clone(),
            database: account.database.clone(),
            user: account.user.clone(),
            kind,
        }
    }
}
