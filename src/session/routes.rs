//! The pools behind a user and database, as the routing table in force has them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use crate::{
    pool::{
        account::Account,
        pool::{Pool, PoolKind},
        pools::Pools,
    },
    route::{
        router::Router,
        table::{NoRoute, ReadRoute, RoutingTable, WriteRoute},
    },
};

/// What a listener's clients come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The leader.
    Write,
    /// A replica that qualifies.
    Read,
}

/// Where a request goes.
#[derive(Clone)]
pub struct Way {
    /// The pool.
    pub pool: Arc<Pool>,
    /// The term as whose leader its member is used; 0 for a replica.
    pub term: u64,
    /// Whether writing must be kept impossible there.
    pub read_only: bool,
}

/// One user and database on one cluster, and the ways that lead there now.
pub struct Tenant {
    /// User, database and settings.
    pub account: Arc<Account>,
    ways: ArcSwap<Ways>,
    turn: AtomicUsize,
}

struct Ways {
    seq: u64,
    write: Result<Way, NoRoute>,
    read: Vec<Way>,
    fallback: Result<Way, NoRoute>,
}

impl Tenant {
    /// A tenant that has not looked for a way.
    pub fn new(account: Arc<Account>) -> Self {
        let unknown = RoutingTable::unknown();
        let WriteRoute::Wait(nothing) = unknown.write else { unreachable!("nothing is known at the start") };
        let ways = Ways { seq: u64::MAX, write: Err(nothing.clone()), read: Vec::new(), fallback: Err(nothing) };
        Self { account, ways: ArcSwap::from_pointee(ways), turn: AtomicUsize::new(0) }
    }

    /// Where a request of this purpose goes now.
    pub fn way(&self, purpose: Purpose, router: &Router, pools: &Pools) -> Result<Way, NoRoute> {
        let mut ways = self.ways.load();
        if ways.seq != router.seq() {
            let table = router.load();
            self.ways.store(Arc::new(self.ways_of(&table, pools)));
            ways = self.ways.load();
        }
        match purpose {
            Purpose::Write => ways.write.clone(),
            Purpose::Read if ways.read.is_empty() => ways.fallback.clone(),
            Purpose::Read => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                Ok(ways.read[turn % ways.read.len()].clone())
            }
        }
    }

    fn ways_of(&self, table: &RoutingTable, pools: &Pools) -> Ways {
        let way = |target: &crate::route::table::Target, kind| Way {
            pool: pools.pool(&self.account, &target.member, &target.address, kind),
            term: target.term,
            read_only: kind == PoolKind::Fallback,
        };
        Ways {
            seq: table.epoch_seq,
            write: match &table.write {
                WriteRoute::Open(target) => Ok(way(target, PoolKind::Normal)),
                WriteRoute::Wait(why) => Err(why.clone()),
            },
            read: table.read.iter().map(|target| way(target, PoolKind::Normal)).collect(),
            fallback: match &table.fallback {
                ReadRoute::Leader(target) => Ok(way(target, PoolKind::Fallback)),
                ReadRoute::Wait(why) | ReadRoute::Error(why) => Err(why.clone()),
            },
        }
    }
}
