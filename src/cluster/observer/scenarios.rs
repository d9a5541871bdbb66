//! What happens to clusters, as scripts (see [`super::script`]).

use super::script::{Script, hosts};
use crate::cluster::policy::Authority;

mod absent;
mod feeds;
mod leader;
mod no_store;
mod overrides;
mod patroni;
mod reads;
mod rights;
mod switchover;

/// A healthy cluster with n1 as leader, n2 and n3 reading, at 110 ms.
const HEALTHY: &str = "
    0   store n1@5 20000
    = vacant NotWritable
    10  probe n1 5 w 1 1000
    = open n1 1 1
    = right 20000 Lease
    100 probe n2 95 r 1 1000
    110 probe n3 95 r 1 1000
    = reads n2 n3
    = deposed -
";

fn check(script: &str) {
    let mut run = Script::new(Authority::Store);
    run.run(HEALTHY);
    run.run(script);
}

fn check_from_nothing(authority: Authority, script: &str) {
    Script::new(authority).run(script);
}
