//! Connections opened ahead on the members that may lead next, so that a promotion is no storm of logins.
//!
//! They belong to the same pools that will be the leader's once the member is promoted: PostgreSQL keeps connections over a
//! promotion, and a session that began in recovery writes afterwards like any other. Until then they serve reads, if the
//! member does. They are opened one after the other within every limit, and nothing gives way to them.

use super::{
    pool::{Pool, PoolKind},
    pools::Pools,
    slots::Census,
};
use crate::route::table::{RoutingTable, WriteRoute};

/// How many are opened ahead, and where (`warm_candidates`, `warm_connections_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmth {
    /// On so many members, those that are promoted first in front.
    pub members: usize,
    /// At most so many in each pool.
    pub each: usize,
}

impl Pools {
    /// Has connections opened ahead in a cluster, as many as its leader's pools have.
    pub fn keep_warm(&self, cluster: &str, table: &RoutingTable, warmth: Warmth) {
        let own: Vec<_> = self.all().into_iter().filter(|(key, _)| &*key.cluster == cluster).collect();
        let leader = match &table.write {
            WriteRoute::Open(target) => Some(&target.member),
            // Nobody knows what the next leader will need but the one before; what is open stays.
            WriteRoute::Wait(_) => return,
        };
        let candidates = &table.candidates[..table.candidates.len().min(warmth.members)];
        for (key, pool) in own.iter().filter(|(key, _)| !candidates.contains(&key.member)) {
            pool.open_ahead_of(Census::new());
            if Some(&key.member) != leader || key.kind != PoolKind::Normal {
                continue;
            }
            let wanted = limited(pool.census(), warmth.each);
            for member in candidates {
                if let Some(route) = table.members.get(member) {
                    let warmed = self.pool(pool.account(), member, &route.address, PoolKind::Normal);
                    warmed.open_ahead_of(wanted.clone());
                }
            }
        }
    }
}

impl Pool {
    /// Its servers by their start-up settings.
    pub(super) fn census(&self) -> Census {
        self.state.lock().slots.census()
    }

    /// So many servers are opened and kept without anybody waiting for them.
    pub(super) fn open_ahead_of(&self, wanted: Census) {
        self.state.lock().slots.open_ahead_of(wanted);
    }

    /// How many servers are opened and kept without anybody waiting for them.
    pub fn ahead(&self) -> usize {
        self.state.lock().slots.ahead()
    }
}

/// At most so many in all.
fn limited(mut census: Census, max: usize) -> Census {
    let mut left = max;
    for (_, count) in &mut census {
        *count = (*count).min(left);
        left -= *count;
    }
    census.retain(|(_, count)| *count > 0);
    census
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_in_all() {
        let check = |census: &[(u32, usize)], max, expected: &[(u32, usize)]| {
            assert_eq!(limited(Census::from_slice(census), max).as_slice(), expected, "{census:?} {max}");
        };
        check(&[(0, 3), (7, 4)], 10, &[(0, 3), (7, 4)]);
        check(&[(0, 3), (7, 4)], 5, &[(0, 3), (7, 2)]);
        check(&[(0, 3), (7, 4)], 3, &[(0, 3)]);
        check(&[(0, 3)], 0, &[]);
    }
}
