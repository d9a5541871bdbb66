//! Watching the host names of members for leading elsewhere.
//!
//! Connections go on where a name led when they were opened; only new ones notice. So names are resolved again and again.
//! A name counts as moved when an address that it had is gone, and not because another has joined it. One that cannot
//! be resolved stays where it was: that is a fault of the resolver as often as not, and probes tell of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{fact::Fact, topology::Topology};
use crate::net::Dial;

/// How long one name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where names lead, as last seen.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<Arc<str>, Place>);

#[derive(Debug)]
struct Place {
    addresses: BTreeSet<IpAddr>,
    moves: u32,
}

impl Names {
    /// Takes in where a name leads. If it has moved: how often by now.
    pub(super) fn resolved(&mut self, name: &Arc<str>, addresses: BTreeSet<IpAddr>) -> Option<u32> {
        if addresses.is_empty() {
            return None;
        }
        match self.0.get_mut(name) {
            None => {
                self.0.insert(name.clone(), Place { addresses, moves: 0 });
                None
            }
            Some(place) => {
                let stays = place.addresses.is_subset(&addresses);
                place.addresses = addresses;
                place.moves += u32::from(!stays);
                (!stays).then_some(place.moves)
            }
        }
    }
}

/// Resolves the names of all members every `interval` and reports those that have moved, until nobody listens.
pub(super) async fn watch(
    dial: Arc<dyn Dial>,
    interval: Duration,
    topology: Arc<ArcSwap<Topology>>,
    facts: mpsc::Sender<Fact>,
) {
    let mut names = Names::default();
    loop {
        let members = topology.load_full();
        let hosts: BTreeSet<Arc<str>> =
            members.members.values().filter_map(|member| member.address.name().cloned()).collect();
        for host in hosts {
            let Ok(Ok(found)) = timeout(RESOLVE_TIMEOUT, dial.resolve(&host)).await else { continue };
            if let Some(moves) = names.resolved(&host, found.into_iter().collect()) {
                tracing::info!(host = &*host, "a host name leads elsewhere");
                if facts.send(Fact::Moved { host, moves }).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = sleep(interval) => {}
            () = facts.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_moved_when_an_address_is_gone() {
        let mut names = Names::default();
        for (name, addresses, moved) in [
            ("db1", &["10.0.0.1"][..], None),
            ("db1", &["10.0.0.1"], None),
            ("db2", &["10.0.0.9"], None),
            ("db1", &["10.0.0.2", "10.0.0.1"], None),
            ("db1", &[], None),
            ("db1", &["10.0.0.2"], Some(1)),
            ("db1", &["10.0.0.2"], None),
            ("db1", &["fd00::1"], Some(2)),
            ("db2", &["10.0.0.9", "10.0.0.8"], None),
        ] {
            let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(names.resolved(&name.into(), addresses), moved, "{name} {names:?}");
        }
    }
}
