//! A real etcd, by its v2 API.

use std::time::Duration;

use pgsteer::cluster::store::{StoreSnapshot, etcd2::Etcd2Store};
use pgsteer_testkit::call;
use serde_json::Value;

use super::{MEMBER, Watched, etcd_node::Etcd, leader_is, nothing, reach};

impl Etcd {
    async fn ask(&self, method: &str, key: &str, form: &str) -> Option<(u16, Value)> {
        let address = ([127, 0, 0, 1], self.port).into();
        let head = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = call(address, method, &format!("/v2/keys{key}"), head, form).await.ok()?;
        Some((answer.status, answer.json()))
    }

    /// Tells it something about who may do what, as the user `root`.
    async fn allow(&self, path: &str, what: &str) {
        let address = ([127, 0, 0, 1], self.port).into();
        let head = "Content-Type: application/json\r\nAuthorization: Basic cm9vdDpzZWNyZXQ=\r\n"; // root:secret
        let answer = call(address, "PUT", &format!("/v2/auth/{path}"), head, what).await.unwrap();
        assert!(matches!(answer.status, 200 | 201), "{path}: {} {}", answer.status, answer.body);
    }

    async fn put(&self, key: &str, form: &str) {
        let (status, said) = self.ask("PUT", &format!("/service/demo/{key}"), form).await.unwrap();
        assert!(matches!(status, 200 | 201), "{key}: {status} {said}");
    }

    pub(super) async fn populate(&self, leader: &str, ttl: u32) {
        self.put("initialize", "value=7").await;
        self.put(&format!("members/{leader}"), &format!("value={MEMBER}&ttl={ttl}")).await;
        self.put("leader", &format!("value={leader}&ttl={ttl}")).await;
    }

    fn watch(&self, reread: Duration) -> Watched {
        Watched::start(|clock| Etcd2Store::new(&reach(&[self.endpoint()], reread), clock))
    }
}

#[tokio::test]
async fn the_watch_is_fast_and_the_time_to_live_gives_the_right() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 20).await;
    let mut store = etcd.watch(Duration::from_secs(30));
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 1));
    let key = first.leader.unwrap();
    let left = key.right_until.unwrap().since(first.asked_at);
    assert!((18..=19).contains(&left.as_secs()), "{left:?}");

    // A renewal, as Patroni does it: the watch tells of it, and it is no election.
    etcd.put("leader", "value=n1&ttl=40&prevValue=n1").await;
    let longer =
        |s: &StoreSnapshot| leader_is("n1")(s) && s.leader.as_ref().unwrap().right_until > key.right_until;
    let renewed = store.read("renewal", longer).await;
    assert_eq!(renewed.leader.unwrap().elected_at, key.elected_at);

    store
        .follows(&key, ["n2", "n3", "n4"], async |leader| match leader {
            Some(name) => etcd.put("leader", &format!("value={name}&ttl=20&prevExist=false")).await,
            None => drop(etcd.ask("DELETE", "/service/demo/leader", "").await.unwrap()),
        })
        .await;
}

#[tokio::test]
async fn a_key_outlives_every_right_that_was_given() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 2).await;
    let mut store = etcd.watch(Duration::from_millis(50));
    let mut right = None;
    let gone = loop {
        let read = store.read("any reading", |_| true).await;
        match read.leader {
            Some(key) => right = right.max(key.right_until),
            None => break read.asked_at,
        }
    };
    assert!(right.is_some() && Some(gone) > right, "{right:?} {gone:?}");
    // A key without an end gives no right.
    etcd.put("leader", "value=n1").await;
    assert_eq!(store.read("n1", leader_is("n1")).await.leader.unwrap().right_until, None);
}

#[tokio::test]
async fn a_poll_that_begins_too_far_back_is_begun_anew() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 60).await;
    let mut store = etcd.watch(Duration::from_secs(30));
    store.read("first reading", leader_is("n1")).await;
    // etcd remembers 1000 events, of whatever keys.
    for _ in 0..1100 {
        etcd.ask("PUT", "/other", "value=x").await.unwrap();
    }
    for name in ["n2", "n3"] {
        etcd.put("leader", &format!("value={name}&ttl=60")).await;
        store.read(name, leader_is(name)).await;
    }
}

#[tokio::test]
async fn a_frozen_etcd_is_lost_and_found_again() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 60).await;
    let mut store = etcd.watch(Duration::from_millis(200));
    store.read("first reading", leader_is("n1")).await;
    store.outlives_a_freeze(&etcd.child, Duration::from_secs(4)).await;
}

#[tokio::test]
async fn nothing_under_the_scope_says_what_there_is() {
    let etcd = Etcd::start().await;
    let mut store = etcd.watch(Duration::from_millis(200));
    let found = store.next("nothing", nothing).await;
    assert!(found.contains("nor any other scope"), "{found}");
    etcd.ask("PUT", "/service/other/leader", "value=x").await.unwrap();
    store.next("other", |event| nothing(event).filter(|found| found.contains("the scopes other"))).await;
    etcd.populate("n1", 60).await;
    store.read("the cluster, once it is there", leader_is("n1")).await;
}

#[tokio::test]
async fn a_user_and_a_password() {
    let etcd = Etcd::start().await;
    etcd.populate("n1", 600).await;
    etcd.allow("users/root", r#"{"user":"root","password":"secret"}"#).await;
    etcd.allow("enable", "").await;
    etcd.allow("roles/guest", r#"{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}"#).await;
    let watch = |login: Option<&str>| {
        let mut reach = reach(&[etcd.endpoint()], Duration::from_millis(100));
        reach.policy.login = login.map(|password| ("root".to_owned(), password.to_owned()));
        Watched::start(|clock| Etcd2Store::new(&reach, clock))
    };
    for login in [None, Some("hunter2")] {
        let reason = watch(login).lost().await;
        assert!(reason.contains("401") && !reason.contains("hunter2"), "{reason}");
    }
    watch(Some("secret")).read("reading as root", leader_is("n1")).await;
}
