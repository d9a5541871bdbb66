//! Patroni's REST API, by stand-ins that answer as Patroni 4 does. (The real one: tests/e2e.)

use std::time::Duration;

use pgsteer::cluster::store::patroni::PatroniStore;
use serde_json::{Value, json};

use super::{Watched, leader_is, nobody_leads, reach, stand_in::StandIn};

const INTERVAL: Duration = Duration::from_millis(200);

fn cluster(leader: &str, timeline: u32) -> Value {
    let members = ["n1", "n2", "n3"].map(|name| {
        let (role, state) = if name == leader { ("leader", "running") } else { ("replica", "streaming") };
        json!({"name": name, "role": role, "state": state, "api_url": format!("http://{name}:8008/patroni"),
               "host": name, "port": 5432, "timeline": timeline, "lag": 0})
    });
    json!({"members": members, "scope": "demo"})
}

async fn members(count: usize) -> Vec<StandIn> {
    let mut members = Vec::new();
    for _ in 0..count {
        let member = StandIn::start().await;
        member.answer("/patroni", 200, r#"{"state":"running","database_system_identifier":"7"}"#);
        member.answer("/config", 200, r#"{"ttl":20,"loop_wait":1}"#);
        members.push(member);
    }
    members
}

/// A cluster of one that answers.
pub(super) async fn one(leader: &str) -> StandIn {
    let member = members(1).await.remove(0);
    says(&member, leader, 1);
    member
}

fn says(member: &StandIn, leader: &str, timeline: u32) {
    member.answer("/cluster", 200, &cluster(leader, timeline).to_string());
}

fn watch(members: &[StandIn]) -> Watched {
    let endpoints: Vec<String> = members.iter().map(StandIn::url).collect();
    Watched::start(|clock| PatroniStore::new(&reach(&endpoints, INTERVAL), clock))
}

#[tokio::test]
async fn a_new_leader_is_noticed_and_named_once_all_agree() {
    let members = members(3).await;
    members.iter().for_each(|member| says(member, "n1", 1));
    let mut store = watch(&members);
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 3));
    assert_eq!(first.settings.ttl, Duration::from_secs(20));
    let key = first.leader.unwrap();
    assert_eq!(key.right_until, None, "there is no lease to be seen");
    // Two say that nobody leads, one still names the old leader.
    says(&members[1], "", 1);
    says(&members[2], "", 1);
    store.read("disagreement", nobody_leads).await;
    let told = store.clock.now();
    members.iter().for_each(|member| says(member, "n2", 2));
    let second = store.read("the new leader", leader_is("n2")).await;
    let took = second.asked_at.since(told);
    println!("told to asked: {took:?}");
    assert!(took < INTERVAL + Duration::from_millis(300), "{took:?}");
    assert!(second.leader.unwrap().elected_at > key.elected_at);
}

#[tokio::test]
async fn whoever_does_not_answer_is_not_waited_for() {
    let members = members(3).await;
    members.iter().for_each(|member| says(member, "n1", 1));
    let mut store = watch(&members);
    store.read("first reading", leader_is("n1")).await;
    // One hangs, one has lost its store, one knows of the new leader.
    members[0].fall_silent();
    members[1].answer("/cluster", 502, "");
    says(&members[2], "n3", 2);
    let told = store.clock.now();
    store.read("the new leader", leader_is("n3")).await;
    let took = store.clock.now().since(told);
    assert!(took < Duration::from_secs(2), "{took:?}");

    members[2].answer("/cluster", 503, "no\tstore");
    let reason = store.lost().await;
    for said in ["502", "503", "no store", "in time"] {
        assert!(reason.contains(said), "{reason}");
    }
    says(&members[2], "n3", 2);
    store.read("the cluster again", leader_is("n3")).await;
}

#[tokio::test]
async fn a_doubt_makes_it_ask_at_once_and_often() {
    let members = members(1).await;
    says(&members[0], "n1", 1);
    let endpoints = [members[0].url()];
    let mut store =
        Watched::start(|clock| PatroniStore::new(&reach(&endpoints, Duration::from_secs(30)), clock));
    store.read("first reading", leader_is("n1")).await;
    let asked = store.clock.now();
    store.hurry.send_replace(1);
    store.read("hurried reading", |snapshot| snapshot.asked_at >= asked).await;
    says(&members[0], "n2", 2);
    store.read("the next, soon after", leader_is("n2")).await;
}

#[tokio::test]
async fn a_password_is_sent_and_another_cluster_is_told_from_this() {
    let members = members(1).await;
    members[0].answer("/cluster", 200, r#"{"scope":"prod","members":[]}"#);
    let mut reach = reach(&[members[0].url()], INTERVAL);
    reach.policy.login = Some(("steer".to_owned(), "open sesame".to_owned()));
    let mut store = Watched::start(|clock| PatroniStore::new(&reach, clock));
    let reason = store.lost().await;
    assert!(reason.contains("\"prod\", not \"demo\""), "{reason}");
    let head = members[0].asked.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("authorization: basic c3rlzxi6b3blbibzzxnhbwu="), "{head}");
    assert!(!format!("{reach:?}").contains("sesame"));
}

#[tokio::test]
async fn a_standby_cluster_says_so() {
    let members = members(1).await;
    members[0].answer("/config", 200, r#"{"ttl":20,"standby_cluster":{"host":"primary"}}"#);
    let said = cluster("n1", 1).to_string().replace("\"leader\"", "\"standby_leader\"");
    members[0].answer("/cluster", 200, &said);
    let mut store = watch(&members);
    let read = store.read("standby cluster", leader_is("n1")).await;
    assert!(read.settings.kind.is_standby());
    assert_eq!(read.members[0].role, "standby_leader");
}
