//! A real etcd with its v2 API, which 3.4 and 3.5 have on demand.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgsteer::cluster::store::{StoreEvent, StoreSnapshot, etcd2::Etcd2Store};
use pgsteer_testkit::{call, eventually};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{Watched, leader_is, reach, signal};

const MEMBER: &str =
    r#"{"conn_url":"postgres://127.0.0.1:5432/postgres","state":"running","role":"replica"}"#;

/// An etcd of one node, killed when dropped.
pub(super) struct Etcd {
    pub(super) child: Child,
    pub(super) port: u16,
    _folder: TempDir,
}

impl Etcd {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, peer_port] = ports.map(|listener| listener.local_addr().unwrap().port());
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
        let child = Command::new("etcd")
            .arg("--enable-v2")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary `etcd` (Debian: etcd-server)");
        let etcd = Self { child, port, _folder: folder };
        eventually("etcd takes writes", super::PATIENCE, async || {
            let (status, _) = etcd.ask("PUT", "/x", "value=x").await?;
            (status == 200 || status == 201).then_some(())
        })
        .await
        .unwrap();
        etcd
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

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

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn nobody_leads(snapshot: &StoreSnapshot) -> bool {
    snapshot.leader.is_none()
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

    let mut worst = Duration::ZERO;
    for name in ["n2", "n3", "n4"] {
        etcd.ask("DELETE", "/service/demo/leader", "").await.unwrap();
        store.read("absence", nobody_leads).await;
        etcd.put("leader", &format!("value={name}&ttl=20&prevExist=false")).await;
        let written = store.clock.now();
        let seen = store.read("the new leader", leader_is(name)).await;
        worst = worst.max(store.clock.now().since(written));
        assert!(seen.leader.unwrap().elected_at > key.elected_at);
    }
    println!("put to known: at worst {worst:?}");
    assert!(worst < Duration::from_millis(500), "{worst:?}");
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
    signal(&etcd.child, Signal::STOP);
    let stopped = store.clock.now();
    let reason = store.lost().await;
    let took = store.clock.now().since(stopped);
    println!("frozen to lost: {took:?}: {reason}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    signal(&etcd.child, Signal::CONT);
    store.read("reading after the thaw", leader_is("n1")).await;
}

#[tokio::test]
async fn nothing_under_the_scope_says_what_there_is() {
    let etcd = Etcd::start().await;
    let mut store = etcd.watch(Duration::from_millis(200));
    let nothing = |event: &StoreEvent| match event {
        StoreEvent::Nothing { found } => Some(found.clone()),
        _ => None,
    };
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
