//! Whether writes and reads can be served now, and why not.

use serde::Serialize;

use super::{
    view::{ClusterView, View},
    words,
};
use crate::{
    clock::Moment,
    cluster::topology::Reads,
    route::table::{ReadRoute, WriteRoute},
    session::routes::Purpose,
};

/// The answer to `/ready`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    /// Whether everything that was asked about can be served.
    pub(super) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    pub(super) routes: Vec<Route>,
}

/// One route of one cluster.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    cluster: String,
    route: &'static str,
    served: bool,
    /// By whom.
    members: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Looks at the routes that a listener leads to, those of one cluster or purpose only where it is given.
pub(super) fn readiness(view: &View, cluster: Option<&str>, purpose: Option<Purpose>) -> Readiness {
    let now = view.clock.now();
    let wanted = view.routes.iter().filter(|(name, route, _)| {
        cluster.is_none_or(|cluster| cluster == name) && purpose.is_none_or(|purpose| purpose == *route)
    });
    let routes: Vec<Route> = wanted
        .filter_map(|(name, purpose, selection)| {
            let cluster = view.clusters.get(name)?;
            let (members, why) = match served(cluster, *purpose, *selection, now) {
                Ok(members) => (members, None),
                Err(why) => (Vec::new(), Some(why)),
            };
            let route = words::purpose(*purpose);
            Some(Route { cluster: name.clone(), route, served: why.is_none(), members, why })
        })
        .collect();
    let stopping = *view.stopping.borrow();
    Readiness {
        ready: !stopping && routes.iter().all(|route| route.served),
        why: stopping.then_some("pgsteer is shutting down"),
        routes,
    }
}

/// Who serves a route now, or why nobody does.
pub(super) fn served(
    cluster: &ClusterView,
    purpose: Purpose,
    selection: usize,
    now: Moment,
) -> Result<Vec<String>, String> {
    let table = cluster.router.load();
    let replicas = table.choice(selection).iter().filter_map(|serving| table.read.get(serving.place));
    let replicas: Vec<String> = replicas.map(|target| target.member.to_string()).collect();
    match purpose {
        // The leader can do all of it.
        Purpose::Write | Purpose::Split => match &table.write {
            WriteRoute::Open(target) if cluster.router.may_send(target.term, now) => {
                Ok(vec![target.member.to_string()])
            }
            WriteRoute::Open(target) => {
                Err(format!("the right to write to {} has run out and is being renewed", target.member))
            }
            WriteRoute::Wait(why) => Err(why.sentence.clone()),
        },
        Purpose::Read if !replicas.is_empty() => Ok(replicas),
        Purpose::Read => match &table.fallback {
            ReadRoute::Leader(target) if cluster.router.may_send(target.term, now) => {
                Ok(vec![target.member.to_string()])
            }
            ReadRoute::Leader(target) => {
                Err(format!("no replica qualifies, and the right to use {} is being renewed", target.member))
            }
            ReadRoute::Wait(why) | ReadRoute::Error(why) => Err(no_replica(cluster, &why.sentence)),
        },
    }
}

fn no_replica(cluster: &ClusterView, sentence: &str) -> String {
    let topology = cluster.watcher.topology();
    let excluded = topology.members.iter().filter_map(|(name, member)| match &member.reads {
        Reads::Excluded(why) => Some(format!("{name}: {}", why.sentence)),
        Reads::Qualifies | Reads::Grace(_) => None,
    });
    std::iter::once(sentence.to_owned()).chain(excluded).collect::<Vec<_>>().join("; ")
}
