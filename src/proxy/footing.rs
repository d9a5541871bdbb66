//! On which kind of server a client's first statement will run, and what it is told at its login because of that
//! (`in_hot_standby`, `default_transaction_read_only`).

use crate::{
    pool::pool::PoolKind,
    route::table::ReadRoute,
    server::conn::READ_ONLY,
    session::{context::Context, routes::Purpose},
};

/// On what servers a client's first statement runs, as things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// The leader, for reading and writing.
    Leader,
    /// Replicas.
    Replicas,
    /// The leader, in sessions that may only read.
    ReadOnLeader,
}

impl Footing {
    /// What kind of servers those are.
    pub(super) const fn kind(self) -> PoolKind {
        match self {
            Self::Leader | Self::Replicas => PoolKind::Normal,
            Self::ReadOnLeader => PoolKind::Fallback,
        }
    }

    /// What a client finds that comes now.
    pub(super) fn of(context: &Context, selection: usize) -> Self {
        let table = context.router.load();
        let falls_back = table.choice(selection).is_empty() && matches!(table.fallback, ReadRoute::Leader(_));
        match (context.purpose, falls_back) {
            (Purpose::Read, true) => Self::ReadOnLeader,
            (Purpose::Read, false) => Self::Replicas,
            (Purpose::Write | Purpose::Split, _) => Self::Leader,
        }
    }

    /// What it is told of a setting that depends on that. libpq's `target_session_attrs` asks for both; which server has spoken
    /// last does not matter.
    pub(super) fn value(self, name: &str) -> Option<&'static str> {
        match (name, self) {
            ("in_hot_standby", Self::Replicas) => Some("on"),
            ("in_hot_standby", Self::Leader | Self::ReadOnLeader) => Some("off"),
            (READ_ONLY, Self::ReadOnLeader) => Some("on"),
            _ => None,
        }
    }
}
