//! What table follows from which topology.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    clock::Moment,
    cluster::{
        fence::Fence,
        store::{ClusterKind, Feed, MemberRecord, Tags},
        topology::{Hold, Named, Obstacle, Reads, Rise, Vacancy, Within},
    },
    route::{
        router::Router,
        selection::{SyncStandbys, Tag},
    },
    wire::error::SqlState,
};

fn member(standing: Standing, reads: bool) -> Member {
    Member {
        mark: None,
        api_url: None,
        address: Address::tcp("db", 5432),
        record: None,
        probe: None,
        suspected: None,
        standing,
        reads: if reads { Reads::Qualifies } else { Reads::Excluded(Obstacle::Lagging.because("it lags")) },
        within: Within::of([reads]),
        rise: Rise::FULL,
        latency: None,
        lag: None,
        parameters: None,
    }
}

/// n1 leads in term 4, n2 and n3 follow, n3 lags; writes are as given.
fn topology(write: WriteState) -> Topology {
    let members = [
        ("n1", member(Standing::Leading, false)),
        ("n2", member(Standing::Following, true)),
        ("n3", member(Standing::Following, false)),
    ];
    Topology {
        seq: 9,
        write,
        members: members.into_iter().map(|(name, member)| (name.into(), member)).collect(),
        ..Topology::unknown(StoreStatus::Answering { asked_at: Moment::ZERO }, Moment::ZERO)
    }
}

fn policy() -> RoutePolicy {
    RoutePolicy { selections: vec![Selection::default()], ..RoutePolicy::default() }
}

fn term() -> Term {
    Term { member: "n1".into(), timeline: 2, epoch: 4 }
}

fn open() -> WriteState {
    WriteState::Open(term())
}

fn held() -> WriteState {
    WriteState::Held { term: term(), since: Moment::ZERO, why: Hold::KeyAbsent }
}

fn vacant() -> WriteState {
    WriteState::Vacant {
        since: Moment::ZERO,
        why: Vacancy::NobodyNamed("nobody holds the leader key".into()),
    }
}

fn leader() -> Target {
    Target { member: "n1".into(), address: Address::tcp("db", 5432), term: 4 }
}

#[test]
fn writes_go_to_the_leader_of_the_term_or_wait_for_a_reason() {
    let derive = |write| RoutingTable::derive(&topology(write), &policy());
    let table = derive(open());
    assert_eq!((&table.write, &table.term), (&WriteRoute::Open(leader()), &Some(term())));

    for (write, kind, in_force) in
        [(held(), NoRouteKind::LeaderInDoubt, Some(term())), (vacant(), NoRouteKind::NoLeader, None)]
    {
        let table = derive(write);
        assert_eq!(table.term, in_force);
        match table.write {
            WriteRoute::Wait(NoRoute { kind: found, sentence }) => {
                assert_eq!(found, kind);
                assert!(sentence.contains("leader key"), "{sentence}");
            }
            WriteRoute::Open(target) => panic!("open to {target:?}"),
        }
    }
    let unknown = Topology::unknown(StoreStatus::NeverAnswered(None), Moment::ZERO);
    let table = RoutingTable::derive(&unknown, &policy());
    assert!(matches!(&table.write, WriteRoute::Wait(no) if no.kind == NoRouteKind::ClusterUnknown
            && no.kind.sqlstate() == SqlState::CANNOT_CONNECT_NOW && no.kind.may_pass()));
}

#[test]
fn reads_go_to_replicas_that_serve_and_fall_back_as_told() {
    let table = RoutingTable::derive(&topology(open()), &policy());
    let names: Vec<&str> = table.read.iter().map(|target| target.member.as_str()).collect();
    assert_eq!(names, ["n2"]);
    assert_eq!(table.choices, [[Serving { place: 0, share: 8 }]]);
    assert!(table.read.iter().all(|target| target.term == 0), "a read lease belongs to no term");
    for (fallback, write, expected) in [
        (ReadFallback::Wait, open(), "wait"),
        (ReadFallback::Error, open(), "error"),
        (ReadFallback::Leader, open(), "leader"),
        // A leader in doubt serves no reads either.
        (ReadFallback::Leader, held(), "wait"),
        (ReadFallback::Leader, vacant(), "wait"),
    ] {
        let found =
            match RoutingTable::derive(&topology(write), &RoutePolicy { fallback, ..policy() }).fallback {
                ReadRoute::Leader(target) if target == leader() => "leader",
                ReadRoute::Leader(_) => "somebody else",
                ReadRoute::Wait(_) => "wait",
                ReadRoute::Error(_) => "error",
            };
        assert_eq!(found, expected, "{fallback:?}");
    }
}

#[test]
fn reads_that_find_nobody_are_told_whether_the_leader_changes() {
    let only = |obstacle: Obstacle, write| {
        let mut topology = topology(write);
        topology.members.retain(|name, _| name.as_str() != "n2");
        let excluded = member(Standing::Following, false);
        let reads = Reads::Excluded(obstacle.because("it is so"));
        topology.members.insert("n3".into(), Member { reads, ..excluded });
        topology
    };
    let mut standby = only(Obstacle::Lagging, vacant());
    standby.settings.kind = ClusterKind::Standby(Feed::Streaming);
    for (topology, expected) in [
        (only(Obstacle::Lagging, open()), NoRouteKind::NoReplica),
        (only(Obstacle::NoAnswer, open()), NoRouteKind::NoReplica),
        (only(Obstacle::WrongTimeline, open()), NoRouteKind::ReplicasRegroup),
        (only(Obstacle::Deposed, open()), NoRouteKind::ReplicasRegroup),
        (only(Obstacle::Reconnecting, open()), NoRouteKind::ReplicasRegroup),
        (only(Obstacle::NotStreaming, open()), NoRouteKind::NoReplica),
        (only(Obstacle::Lagging, held()), NoRouteKind::ReplicasRegroup),
        (only(Obstacle::Leader, vacant()), NoRouteKind::ReplicasRegroup),
        (standby, NoRouteKind::NoReplica),
    ] {
        let table = RoutingTable::derive(&topology, &policy());
        assert!(
            matches!(&table.fallback, ReadRoute::Wait(no) if no.kind == expected),
            "{:?}",
            table.fallback
        );
    }
}

#[test]
fn a_table_that_routes_no_differently_wakes_nobody() {
    let mut cx = Context::from_waker(Waker::noop());
    let router = Router::new(Arc::new(Fence::closed()));
    let mut changed = pin!(router.changed());
    assert!(router.publish(RoutingTable::derive(&topology(open()), &policy())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (1, Poll::Ready(())));

    let mut changed = pin!(router.changed());
    let same = Topology { seq: 10, at: Moment::from_nanos(5), ..topology(open()) };
    assert!(!router.publish(RoutingTable::derive(&same, &policy())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (1, Poll::Pending));

    let mut other = Topology { seq: 11, ..topology(vacant()) };
    other.members.insert("n1".into(), member(Standing::Deposed, false));
    assert!(router.publish(RoutingTable::derive(&other, &policy())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (2, Poll::Ready(())));
    assert_eq!(router.load().members[&"n1".into()].standing, MemberStanding::Deposed);
}

/// n1 leads; n2 to n5 serve reads but are `within` the bounds given as digits, with these tags.
fn replicas(of: &[(&str, &str, &[[&str; 2]])]) -> Topology {
    let mut topology = topology(open());
    topology.members.retain(|name, _| name.as_str() == "n1");
    topology.named = Some(Named { member: "n1".into(), elected_at: 5, seen_at: Moment::ZERO });
    for (name, bounds, tags) in of {
        let within = |bound: usize| bounds.contains(&bound.to_string());
        let mut replica = member(Standing::Following, within(0));
        replica.within = Within::of((0..3).map(within));
        let tags = tags.iter().map(|[name, value]| ((*name).to_owned(), (*value).to_owned()));
        let record = MemberRecord::replica((*name).into(), Address::tcp("db", 5432));
        replica.record = Some(MemberRecord { tags: Tags(tags.collect()), ..record });
        topology.members.insert((*name).into(), replica);
    }
    topology
}

/// Who serves a selection, each with its share.
fn check(topology: &Topology, zone: Option<&str>, selection: Selection, expected: &str) {
    let selections = vec![Selection::default(), selection.clone()];
    let policy = RoutePolicy { zone: zone.map(str::to_owned), selections, ..RoutePolicy::default() };
    let table = RoutingTable::derive(topology, &policy);
    let serving = table.choice(1).iter();
    let shown = serving.map(|one| format!("{}:{}", table.read[one.place].member, one.share / 8));
    assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{zone:?} {selection:?}");
}

#[test]
fn who_serves_whom() {
    let tag = |text: &str| {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        Tag { name: name.to_owned(), value: value.map(str::to_owned) }
    };
    let wants = |bound, sync, tags: &[&str]| Selection {
        bound,
        sync,
        tags: tags.iter().map(|text| tag(text)).collect(),
    };
    let mut all = replicas(&[
        ("n2", "01", &[["zone", "a"], ["weight", "3"]]),
        ("n3", "01", &[["zone", "b"], ["reports", "true"]]),
        ("n4", "1", &[["zone", "b"], ["reports", "false"], ["disk", "ssd"]]),
        ("n5", "", &[["zone", "a"], ["reports", "true"], ["weight", "much"]]),
    ]);
    all.sync_standbys = vec!["n3".into()];
    let any = SyncStandbys::Any;
    check(&all, None, wants(0, any, &[]), "n2:3 n3:1");
    // Its own bounds, wider or narrower than those of the rest.
    check(&all, None, wants(1, any, &[]), "n2:3 n3:1 n4:1");
    check(&all, None, wants(2, any, &[]), "");
    // Tags.
    check(&all, None, wants(1, any, &["reports"]), "n3:1");
    check(&all, None, wants(1, any, &["reports=false"]), "n4:1");
    check(&all, None, wants(1, any, &["disk=ssd", "zone=b"]), "n4:1");
    check(&all, None, wants(1, any, &["disk=ssd", "zone=a"]), "");
    // Near first, far when none qualifies.
    check(&all, Some("b"), wants(0, any, &[]), "n3:1");
    check(&all, Some("c"), wants(0, any, &[]), "n2:3 n3:1");
    check(&all, Some("a"), wants(0, any, &["reports"]), "n3:1");
    // Synchronous standbys.
    check(&all, None, wants(1, SyncStandbys::Only, &[]), "n3:1");
    check(&all, None, wants(1, SyncStandbys::Never, &[]), "n2:3 n4:1");
    check(&all, None, wants(1, SyncStandbys::Prefer, &[]), "n3:1");
    check(&all, None, wants(1, SyncStandbys::Avoid, &[]), "n2:3 n4:1");
    check(&all, None, wants(1, SyncStandbys::Avoid, &["reports"]), "n3:1");
    // The zone goes before that.
    check(&all, Some("a"), wants(1, SyncStandbys::Prefer, &[]), "n2:3");
    check(&all, Some("b"), wants(1, SyncStandbys::Prefer, &[]), "n3:1");
    // A selection that is not there is served by nobody.
    assert!(RoutingTable::derive(&all, &policy()).choice(7).is_empty());
}

#[test]
fn whoever_leads_a_standby_cluster_serves_when_nobody_else_does() {
    let mut both = replicas(&[("n2", "0", &[]), ("n3", "0", &[])]);
    both.named = Some(Named { member: "n2".into(), elected_at: 5, seen_at: Moment::ZERO });
    check(&both, None, Selection::default(), "n3:1");
    both.members.remove(&"n3".into());
    check(&both, None, Selection::default(), "n2:1");
}

#[test]
fn a_standby_cluster_takes_no_writes_and_nobody_waits_for_it() {
    let mut standby = Topology { named: None, ..topology(vacant()) };
    standby.settings.kind = ClusterKind::Standby(Feed::Streaming);
    let write = |topology: &Topology| RoutingTable::derive(topology, &policy()).write;
    let WriteRoute::Wait(why) = write(&standby) else { panic!("it takes writes") };
    assert_eq!((why.kind.sqlstate(), why.kind.may_pass()), (SqlState::READ_ONLY_SQL_TRANSACTION, false));
    // Promoted, before anybody has said so in its configuration.
    standby.write = open();
    assert_eq!(write(&standby), WriteRoute::Open(leader()));
    // Said so before it is promoted: it is worth waiting.
    standby.write = vacant();
    standby.settings.kind = ClusterKind::Primary;
    assert!(matches!(write(&standby), WriteRoute::Wait(why) if why.kind == NoRouteKind::NoLeader));
}

#[test]
fn who_may_lead_next_synchronous_standbys_first() {
    let mut all = replicas(&[
        ("n2", "0", &[]),
        ("n3", "0", &[["nofailover", "true"]]),
        ("n4", "0", &[["failover_priority", "0"]]),
        ("n5", "0", &[["failover_priority", "2"], ["nofailover", "false"]]),
        ("n6", "", &[]),
    ]);
    let shown = |topology: &Topology| {
        RoutingTable::derive(topology, &policy())
            .candidates
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(shown(&all), "n2 n5 n6");
    all.sync_standbys = vec!["n6".into(), "n3".into(), "gone".into()];
    assert_eq!(shown(&all), "n6 n2 n5");
    all.members.get_mut(&"n6".into()).unwrap().standing = Standing::Unusable("no answer".into());
    assert_eq!(shown(&all), "n2 n5");
}
