//! The pools behind a user and database, as the routing table in force has them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use crate::{
    cluster::{headway::Reached, ids::MemberName},
    pool::{
        account::Account,
        pool::{Pool, PoolKind},
        pools::Pools,
    },
    route::{
        balance::{Balance, Candidate, Load, choose},
        router::Router,
        table::{NoRoute, NoRouteKind, ReadRoute, RoutingTable, Serving, WriteRoute},
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
    /// For a replica too, but as long as for a leader: the leader changes.
    ForRegrouping,
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
    /// For each choice of the table.
    read: Vec<Vec<Replica>>,
    balance: Balance,
    fallback: Result<Way, NoWay>,
}

/// A way to a replica, and its share of the reads.
struct Replica {
    way: Way,
    share: u32,
}

impl Candidate for Replica {
    #[inline]
    fn share(&self) -> u32 {
        self.share
    }
    #[inline]
    fn load(&self) -> &Load {
        self.way.pool.load()
    }
}

impl Tenant {
    /// A tenant that has not looked for a way.
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, ways: ArcSwap::default(), turn: AtomicUsize::new(0) }
    }

    /// Where a request of this purpose goes now; `selection`: what its client wants of replicas.
    pub fn way(
        &self,
        purpose: Purpose,
        selection: usize,
        router: &Router,
        pools: &Pools,
    ) -> Result<Way, NoWay> {
        let ways = self.ways.load();
        if let Some(ways) = &**ways
            && ways.seq == router.seq()
        {
            return self.choose(ways, purpose, selection);
        }
        let fresh = self.ways_of(&router.load(), pools);
        let chosen = self.choose(&fresh, purpose, selection);
        self.ways.store(Arc::new(Some(fresh)));
        chosen
    }

    /// The same, to another replica than this one, if there is one.
    pub(super) fn way_but(
        &self,
        avoid: &MemberName,
        (purpose, selection): (Purpose, usize),
        router: &Router,
        pools: &Pools,
    ) -> Result<Way, NoWay> {
        let first = self.way(purpose, selection, router, pools)?;
        if first.term != 0 || first.pool.member() != avoid {
            return Ok(first);
        }
        let ways = self.ways.load();
        let replicas = (**ways).as_ref().and_then(|ways| ways.read.get(selection)).into_iter().flatten();
        let mut others = replicas.filter(|replica| replica.way.pool.member() != avoid);
        Ok(others.next().map_or(first, |replica| replica.way.clone()))
    }

    /// The same among replicas that show what they must, to another than `avoid` if there is one. Which do, `reached` says.
    pub(super) fn way_that(
        &self,
        avoid: Option<&MemberName>,
        (purpose, selection): (Purpose, usize),
        router: &Router,
        pools: &Pools,
        reached: &dyn Fn(&Way) -> Reached,
    ) -> Result<Way, NoWay> {
        let first = self.way(purpose, selection, router, pools)?;
        let is_read = purpose != Purpose::Write && first.term == 0;
        let avoided = |way: &Way| Some(way.pool.member()) == avoid;
        if !is_read || (reached(&first) == Reached::Yes && !avoided(&first)) {
            return Ok(first);
        }
        let ways = self.ways.load();
        let replicas = (**ways).as_ref().and_then(|ways| ways.read.get(selection));
        let replicas = replicas.map_or(&[][..], |replicas| replicas);
        // Where several have, they take turns.
        let turn = self.turn.load(Ordering::Relaxed) % replicas.len().max(1);
        let (before, from) = replicas.split_at(turn);
        let nearest = from.iter().chain(before).map(|replica| (reached(&replica.way), replica));
        let patience = match nearest.min_by_key(|(reached, replica)| (*reached, avoided(&replica.way))) {
            Some((Reached::Yes, replica)) => return Ok(replica.way.clone()),
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

    fn choose(&self, ways: &Ways, purpose: Purpose, selection: usize) -> Result<Way, NoWay> {
        match purpose {
            Purpose::Write => ways.write.clone(),
            Purpose::Read => self.replica(ways, selection).map_or_else(|| ways.fallback.clone(), Ok),
            Purpose::Split => self.replica(ways, selection).map_or_else(|| ways.write.clone(), Ok),
        }
    }

    /// The replica that serves the next read.
    fn replica(&self, ways: &Ways, selection: usize) -> Option<Way> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as u64;
        let replicas = ways.read.get(selection)?;
        choose(ways.balance, replicas, turn).map(|replica| replica.way.clone())
    }

    fn ways_of(&self, table: &RoutingTable, pools: &Pools) -> Ways {
        let way = |target: &crate::route::table::Target, kind| Way {
            pool: pools.pool(&self.account, &target.member, &target.address, kind),
            term: target.term,
            read_only: kind == PoolKind::Fallback,
        };
        let replica = |serving: &Serving| {
            let way = way(table.read.get(serving.place)?, PoolKind::Normal);
            Some(Replica { way, share: serving.share })
        };
        Ways {
            seq: table.seq,
            write: match &table.write {
                WriteRoute::Open(target) => Ok(way(target, PoolKind::Normal)),
                WriteRoute::Wait(why) => {
                    let patience = if why.kind.may_pass() { Patience::ForLeader } else { Patience::None };
                    Err(NoWay { why: why.clone(), patience })
                }
            },
            read: table.choices.iter().map(|choice| choice.iter().filter_map(replica).collect()).collect(),
            balance: table.balance,
            fallback: match &table.fallback {
                ReadRoute::Leader(target) => Ok(way(target, PoolKind::Fallback)),
                ReadRoute::Wait(why) => {
                    let regroup = why.kind == NoRouteKind::ReplicasRegroup;
                    let patience = if regroup { Patience::ForRegrouping } else { Patience::ForReplica };
                    Err(NoWay { why: why.clone(), patience })
                }
                ReadRoute::Error(why) => Err(NoWay { why: why.clone(), patience: Patience::None }),
            },
        }
    }
}
