//! Servers leave a database that a statement needs to itself.

use std::time::Duration;

use super::{pools::Pools, slots::Event};
use crate::cluster::ids::MemberName;

impl Pools {
    /// Closes what idles in a database on a member, and for so long keeps nothing there that nobody uses.
    pub fn vacate(&self, cluster: &str, member: &MemberName, database: &[u8], vacant_for: Duration) {
        let now = self.clock().now();
        for (key, pool) in self.all() {
            if &*key.cluster == cluster && key.member == *member && key.database.as_bytes() == database {
                pool.handle(now, Event::Vacate(now + vacant_for));
            }
        }
    }
}
