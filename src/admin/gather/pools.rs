//! Figures of server connections: of all pools of a member together, and of each pool.

use std::{collections::BTreeMap, sync::Arc};

use super::tally;
use crate::{
    clock::Moment,
    metrics::{page::Page, table},
    pool::{
        key::PoolKey,
        pool::{Pool, PoolKind},
        pools::Pools,
        slots::Gauges,
    },
};

/// Pools listed one by one. Users and databases are the clients' to name, so their number needs a bound.
const LISTED_MAX: usize = 500;

pub(super) fn add(page: &mut Page, pools: &Pools, now: Moment) {
    let all = pools.all();
    page.add(&table::POOLS, [], all.len());
    page.add(&table::POOLS_UNLISTED, [], all.len().saturating_sub(LISTED_MAX));
    let mut sums: BTreeMap<[&str; 2], (Gauges, usize)> = BTreeMap::new();
    for (place, (key, pool)) in all.iter().enumerate() {
        let gauges = pool.gauges();
        let (sum, ahead) = sums.entry([&*key.cluster, key.member.as_str()]).or_default();
        *ahead += pool.ahead();
        sum.opening += gauges.opening;
        sum.idle += gauges.idle;
        sum.leased += gauges.leased;
        sum.recovering += gauges.recovering;
        sum.waiting += gauges.waiting;
        if place < LISTED_MAX {
            add_pool(page, key, pool, gauges, now);
        }
    }
    for ([cluster, member], (sum, ahead)) in sums {
        page.add(&table::SERVERS_AHEAD, [cluster, member], ahead);
        for (state, servers) in states(sum) {
            page.add(&table::SERVERS, [cluster, member, state], servers);
        }
        page.add(&table::SERVERS_WAITING, [cluster, member], sum.waiting);
    }
    let events = pools.events();
    tally(page, &table::SERVERS_OPENED, &events.opened);
    tally(page, &table::SERVERS_CLOSED, &events.closed);
    tally(page, &table::SERVERS_FAILED, &events.failed);
}

fn add_pool(page: &mut Page, key: &PoolKey, pool: &Arc<Pool>, gauges: Gauges, now: Moment) {
    let settings = pool.account().settings.load();
    let (used_for, size) = match key.kind {
        PoolKind::Normal => ("all", settings.limits.size),
        PoolKind::Fallback => ("read_fallback", settings.fallback_size),
    };
    let [cluster, member, user] = [&*key.cluster, key.member.as_str(), &*key.user];
    let [database, dbname] = [&*key.alias, &*key.database];
    let labels = [cluster, member, database, dbname, user, used_for];
    for (state, servers) in states(gauges) {
        let labels = [cluster, member, database, dbname, user, used_for, state];
        page.add(&table::POOL_SERVERS, labels, servers);
    }
    page.add(&table::POOL_SIZE, labels, size);
    page.add(&table::POOL_WAITING, labels, gauges.waiting);
    page.add(&table::POOL_PINNED, labels, pool.pinned());
    let oldest = pool.oldest_wait().map_or(0.0, |since| now.since(since).as_secs_f64());
    page.add(&table::POOL_OLDEST_WAIT, labels, oldest);
}

const fn states(gauges: Gauges) -> [(&'static str, usize); 4] {
    [
        ("opening", gauges.opening),
        ("idle", gauges.idle),
        ("leased", gauges.leased),
        ("recovering", gauges.recovering),
    ]
}
