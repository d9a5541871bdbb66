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
        topology::{Hold, Obstacle, Reads, Vacancy},
    },
    route::router::Router,
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
    let derive = |write| RoutingTable::derive(&topology(write), RoutePolicy::default());
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
    let table = RoutingTable::derive(&unknown, RoutePolicy::default());
    assert!(matches!(&table.write, WriteRoute::Wait(no) if no.kind == NoRouteKind::ClusterUnknown
            && no.kind.sqlstate() == "57P03"));
}

#[test]
fn reads_go_to_replicas_that_serve_and_fall_back_as_told() {
    let table = RoutingTable::derive(&topology(open()), RoutePolicy::default());
    let names: Vec<&str> = table.read.iter().map(|target| target.member.as_str()).collect();
    assert_eq!(names, ["n2"]);
    assert!(table.read.iter().all(|target| target.term == 0), "a read lease belongs to no term");
    for (fallback, write, expected) in [
        (ReadFallback::Wait, open(), "wait"),
        (ReadFallback::Error, open(), "error"),
        (ReadFallback::Leader, open(), "leader"),
        // A leader in doubt serves no reads either.
        (ReadFallback::Leader, held(), "wait"),
        (ReadFallback::Leader, vacant(), "wait"),
    ] {
        let found = match RoutingTable::derive(&topology(write), RoutePolicy { fallback }).fallback {
            ReadRoute::Leader(target) if target == leader() => "leader",
            ReadRoute::Leader(_) => "somebody else",
            ReadRoute::Wait(_) => "wait",
            ReadRoute::Error(_) => "error",
        };
        assert_eq!(found, expected, "{fallback:?}");
    }
}

#[test]
fn a_table_that_routes_no_differently_wakes_nobody() {
    let mut cx = Context::from_waker(Waker::noop());
    let router = Router::new(Arc::new(Fence::closed()));
    let mut changed = pin!(router.changed());
    assert!(router.publish(RoutingTable::derive(&topology(open()), RoutePolicy::default())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (1, Poll::Ready(())));

    let mut changed = pin!(router.changed());
    let same = Topology { seq: 10, at: Moment::from_nanos(5), ..topology(open()) };
    assert!(!router.publish(RoutingTable::derive(&same, RoutePolicy::default())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (1, Poll::Pending));

    let mut other = Topology { seq: 11, ..topology(vacant()) };
    other.members.insert("n1".into(), member(Standing::Deposed, false));
    assert!(router.publish(RoutingTable::derive(&other, RoutePolicy::default())));
    assert_eq!((router.seq(), changed.as_mut().poll(&mut cx)), (2, Poll::Ready(())));
    assert_eq!(router.load().members[&"n1".into()].standing, MemberStanding::Deposed);
}
