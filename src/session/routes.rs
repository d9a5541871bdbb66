//! The pools behind a user and database, as the routing table in force has them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use crate::{
    cluster::headway::Reached,
    pool::{
        account::Account,
        pool::{Pool, PoolKind},
        pools::Pools,
    },
    route::{
        balance::round_robin,
        router::Router,
        table::{NoRoute, NoRouteKind, ReadRoute, RoutingTable, WriteRoute},
    },
};

/// What a listener's clients come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The leader.
    Write,
    /// A replica that qualifies.
    Read,
    /// A replica that qualifies for what only reads, or else the leader; the leader for the rest.
    Split,
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

/// Why there is no way, and whether to wait for one.
#[derive(Clone, Debug)]
pub struct NoWay {
    /// What is missing.
    pub why: NoRoute,
    /// Whether it is worth waiting.
    pub patience: Patience,
}

/// Whether a request without a way waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For a leader.
    ForLeader,
    /// For a replica.
    ForReplica,
    /// For a replica to replay what it must show.
    ToCatchUp,
    /// Not at all.
    None,
}

/// One user and database on one cluster, and the ways that lead there now.
pub struct Tenant {
    /// User, database and settings.
    pub account: Arc<Account>,
    ways: ArcSwap<Option<Ways>>,
    turn: AtomicUsize,
}

struct Ways {
    seq: u64,
    write: Result<Way, NoWay>,
    read: Vec<Way>,
    fallback: Result<Way, NoWay>,
}

impl Tenant {
    /// A tenant that has not looked for a way.
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, ways: ArcSwap::default(), turn: AtomicUsize::new(0) }
    }

    /// Where a request of this purpose goes now.
    pub fn way(&self, purpose: Purpose, router: &Router, pools: &Pools) -> Result<Way, NoWay> {
        let ways = self.ways.load();
        if let Some(ways) = &**ways
            && ways.seq == router.seq()
        {
            return self.choose(ways, purpose);
        }
        let fresh = self.ways_of(&router.load(), pools);
        let chosen = self.choose(&fresh, purpose);
        self.ways.store(Arc::new(Some(fresh)));
        chosen
    }

    /// The same among replicas that show what they must. Which do, `reached` says.
    pub(super) fn way_that(
        &self,
        purpose: Purpose,
        router: &Router,
        pools: &Pools,
        reached: &dyn Fn(&Way) -> Reached,
    ) -> Result<Way, NoWay> {
        let first = self.way(purpose, router, pools)?;
        let is_read = purpose != Purpose::Write && first.term == 0;
        if !is_read || reached(&first) == Reached::Yes {
            return Ok(first);
        }
        let ways = self.ways.load();
        let replicas = (**ways).as_ref().map_or(&[][..], |ways| &ways.read);
        let nearest = replicas.iter().map(|way| (reached(way), way)).min_by_key(|(reached, _)| *reached);
        let patience = match nearest {
            Some((Reached::Yes, way)) => return Ok(way.clone()),
            Some((Reached::NotYet, _)) => Patience::ToCatchUp,
            Some((Reached::Never, _)) | None => Patience::None,
        };
        let sentence = "no replica has replayed what this session must see".to_owned();
        Err(NoWay { why: NoRoute { kind: NoRouteKind::Behind, sentence }, patience })
    }

    /// Where a read goes if no replica serves it.
    pub(super) fn fallback(&self, router: &Router, pools: &Pools) -> Result<Way, NoWay> {
        self.ways_of(&router.load(), pools).fallback
    }

    fn choose(&self, ways: &Ways, purpose: Purpose) -> Result<Way, NoWay> {
        match purpose {
            Purpose::Write => ways.write.clone(),
            Purpose::Read => self.replica(ways).map_or_else(|| ways.fallback.clone(), Ok),
            Purpose::Split => self.replica(ways).map_or_else(|| ways.write.clone(), Ok),
        }
    }

    /// The replica whose turn it is.
    fn replica(&self, ways: &Ways) -> Option<Way> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as u64;
        round_robin(&ways.read, turn).cloned()
    }

    fn ways_of(&self, table: &RoutingTable, pools: &Pools) -> Ways {
        let way = |target: &crate::route::table::Target, kind| Way {
            pool: pools.pool(&self.account, &target.member, &target.address, kind),
            term: target.term,
            read_only: kind == PoolKind::Fallback,
        };
        Ways {
            seq: table.seq,
            write: match &table.write {
                WriteRoute::Open(target) => Ok(way(target, PoolKind::Normal)),
                WriteRoute::Wait(why) => Err(NoWay { why: why.clone(), patience: Patience::ForLeader }),
            },
            read: table.read.iter().map(|target| way(target, PoolKind::Normal)).collect(),
            fallback: match &table.fallback {
                ReadRoute::Leader(target) => Ok(way(target, PoolKind::Fallback)),
                ReadRoute::Wait(why) => Err(NoWay { why: why.clone(), patience: Patience::ForReplica }),
                ReadRoute::Error(why) => Err(NoWay { why: why.clone(), patience: Patience::None }),
            },
        }
    }
}
