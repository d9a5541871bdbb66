//! A real Consul, unpacked by `deploy/install.sh stores`.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgsteer::cluster::store::{StoreEvent, consul::ConsulStore, policy::Token};
use pgsteer_testkit::{Machine, call, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    MEMBER, Watched, leader_is, nobody_leads, nothing, reach, signal,
    tls::{Front, local},
};

const LEADER: &str = "service/demo/leader";
const ROOT: &str = "11111111-2222-3333-4444-555555555555";

/// One agent, server and client in one; killed when dropped.
struct Consul {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Consul {
    async fn start(acl: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|listener| listener.local_addr().unwrap().port());
        let [port, server, serf_lan, serf_wan, _] = ports;
        let config = json!({
            "server": true, "bootstrap": true, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "data_dir": folder.path().join("data"), "disable_update_check": true, "node_name": "agent",
            "ports": {"http": port, "dns": -1, "server": server, "serf_lan": serf_lan, "serf_wan": serf_wan},
            "performance": {"raft_multiplier": 1},
            "acl": {"enabled": acl, "default_policy": "deny", "tokens": {"master": ROOT}},
        });
        let file = folder.path().join("agent.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let program = Machine::look().unwrap().tool("consul/consul", "deploy/install.sh stores").unwrap();
        let child = Command::new(program)
            .arg("agent")
            .arg("-config-file")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let consul = Self { child, port, _folder: folder };
        eventually("Consul takes writes", super::PATIENCE, async || {
            let (status, _) = consul.ask("PUT", "/v1/kv/x", "x").await?;
            (status == 200).then_some(())
        })
        .await
        .unwrap();
        consul
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let address = ([127, 0, 0, 1], self.port).into();
        let token = format!("X-Consul-Token: {ROOT}\r\n");
        let answer = call(address, method, path, &token, body).await.ok()?;
        Some((answer.status, answer.json()))
    }

    async fn put(&self, path: &str, value: &str) {
        let (status, said) = self.ask("PUT", &format!("/v1/kv/{path}"), value).await.unwrap();
        assert_eq!((status, said), (200, Value::Bool(true)), "{path}");
    }

    /// A session as Patroni makes it.
    async fn session(&self) -> String {
        let body = r#"{"LockDelay":"0.001s","Behavior":"delete","TTL":"10s"}"#;
        let (_, session) = self.ask("PUT", "/v1/session/create", body).await.unwrap();
        session["ID"].as_str().unwrap().to_owned()
    }

    /// A cluster with `leader`; its session.
    async fn populate(&self, leader: &str) -> String {
        let session = self.session().await;
        self.put("service/demo/initialize", "7").await;
        self.put("service/demo/config", r#"{"ttl":20}"#).await;
        self.put(&format!("service/demo/members/{leader}"), MEMBER).await;
        self.put(&format!("{LEADER}?acquire={session}"), leader).await;
        session
    }

    fn watch(&self, reread: Duration) -> Watched {
        Watched::start(|clock| ConsulStore::new(&reach(&[self.endpoint()], reread), clock))
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn the_watch_is_fast_and_the_right_is_short() {
    let consul = Consul::start(false).await;
    let first_session = consul.populate("n1").await;
    let mut store = consul.watch(Duration::from_secs(20));
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 1));
    assert_eq!(first.settings.ttl, Duration::from_secs(20));
    let key = first.leader.unwrap();
    let right = key.right_until.expect("a session holds the key");
    assert_eq!(right, first.asked_at + Duration::from_secs(22));

    // A clean switchover: the holder gives the key up, another takes it.
    let path = format!("/v1/kv/{LEADER}?release={first_session}");
    consul.ask("PUT", &path, "").await.unwrap();
    store
        .follows(&key, ["n2", "n3", "n4"], async |leader| match leader {
            Some(name) => {
                let session = consul.session().await;
                consul.put(&format!("{LEADER}?acquire={session}"), name).await;
            }
            None => drop(consul.ask("DELETE", &format!("/v1/kv/{LEADER}"), "").await.unwrap()),
        })
        .await;
}

#[tokio::test]
async fn the_end_of_a_session_is_the_end_of_its_key() {
    let consul = Consul::start(false).await;
    let session = consul.populate("n1").await;
    let mut store = consul.watch(Duration::from_secs(20));
    store.read("first reading", leader_is("n1")).await;
    consul.ask("PUT", &format!("/v1/session/destroy/{session}"), "").await.unwrap();
    store.read("absence", nobody_leads).await;
    // A key that no session holds would never go away.
    consul.put(LEADER, "n1").await;
    let read = store.read("a key without a session", leader_is("n1")).await;
    assert_eq!(read.leader.unwrap().right_until, None);
}

#[tokio::test]
async fn a_frozen_consul_is_lost_and_another_endpoint_used() {
    let (frozen, live) = (Consul::start(false).await, Consul::start(false).await);
    frozen.populate("n1").await;
    live.populate("n1").await;
    let endpoints = [frozen.endpoint(), live.endpoint()];
    let reach = reach(&endpoints, Duration::from_millis(200));
    let mut store = Watched::start(|clock| ConsulStore::new(&reach, clock));
    store.read("first reading", leader_is("n1")).await;
    let reason = store.is_lost_while_frozen(&frozen.child, Duration::from_secs(4)).await;
    assert!(reason.contains(&frozen.endpoint()), "{reason}");
    store.read("reading elsewhere", leader_is("n1")).await;
    signal(&frozen.child, Signal::CONT);
}

#[tokio::test]
async fn nothing_under_the_scope_says_what_there_is() {
    let consul = Consul::start(false).await;
    let mut store = consul.watch(Duration::from_millis(200));
    let found = store.next("nothing", nothing).await;
    assert!(found.contains("nor any other scope"), "{found}");
    consul.put("service/other/leader", "x").await;
    let named = |event: &StoreEvent| nothing(event).filter(|found| found.contains("the scopes other"));
    store.next("the other scope", named).await;
    consul.populate("n1").await;
    store.read("the cluster, once it is there", leader_is("n1")).await;
}

#[tokio::test]
async fn a_token_is_read_anew_when_the_store_refuses_the_old_one() {
    let consul = Consul::start(true).await;
    consul.populate("n1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "wrong\n").unwrap();
    let mut reach = reach(&[consul.endpoint()], Duration::from_millis(200));
    reach.policy.token = Token::File(file.clone());
    let mut store = Watched::start(|clock| ConsulStore::new(&reach, clock));
    let reason = store.lost().await;
    assert!(reason.contains("403") && !reason.contains("wrong"), "{reason}");
    std::fs::write(&file, format!("{ROOT}\n")).unwrap();
    store.read("reading with the right token", leader_is("n1")).await;
}

#[tokio::test]
async fn tls_and_certificates_on_both_sides() {
    let consul = Consul::start(false).await;
    consul.populate("n1").await;
    Front::before(local(consul.port)).await.check(ConsulStore::new).await;
}
