//! The etcd store against a real etcd.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use etcd_client::{Client, CompactionOptions, ConnectOptions, PutOptions};
use pgsteer::{
    clock::Clock,
    cluster::store::{
        Store, StoreEvent, StoreSnapshot,
        etcd::EtcdStore,
        policy::{StorePolicy, StoreTls, Token},
    },
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An etcd of one node, killed when dropped.
struct Etcd {
    child: Child,
    folder: TempDir,
    client_port: u16,
    peer_port: u16,
}

impl Etcd {
    async fn start() -> Self {
        let [client_port, peer_port] = free_ports();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&folder, client_port, peer_port);
        let etcd = Self { child, folder, client_port, peer_port };
        etcd.client().await;
        etcd
    }

    fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// A client, once etcd answers.
    async fn client(&self) -> Client {
        let connect = async {
            loop {
                let options = ConnectOptions::new().with_timeout(Duration::from_secs(2));
                if let Ok(mut client) = Client::connect([self.endpoint()], Some(options)).await
                    && client.get("x", None).await.is_ok()
                {
                    return client;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, connect).await.expect("etcd has not started")
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.folder, self.client_port, self.peer_port);
        self.client().await;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn spawn(folder: &TempDir, client_port: u16, peer_port: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary `etcd` (Debian: etcd-server)")
}

fn policy(endpoints: &[String], reread_interval: Duration) -> StorePolicy {
    StorePolicy {
        endpoints: endpoints.to_vec(),
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        group: None,
        tls: None,
        login: None,
        token: Token::None,
        reread_interval,
    }
}

/// A watched store.
struct Watched {
    events: mpsc::Receiver<StoreEvent>,
    hurry: watch::Sender<u64>,
    clock: Clock,
}

impl Watched {
    fn start(endpoints: &[String], reread_interval: Duration) -> Self {
        Self::with(policy(endpoints, reread_interval))
    }

    fn with(policy: StorePolicy) -> Self {
        let clock = Clock::boot();
        let (sender, events) = mpsc::channel(64);
        let (hurry, hurried) = watch::channel(0);
        tokio::spawn(Box::new(EtcdStore::new(policy, clock)).watch(sender, hurried));
        Self { events, hurry, clock }
    }

    /// The next event that `wanted` picks.
    async fn next<T>(&mut self, what: &str, wanted: impl Fn(&StoreEvent) -> Option<T>) -> T {
        let next = async {
            loop {
                let event = self.events.recv().await.expect("the store goes on");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    async fn read(&mut self, what: &str, wanted: impl Fn(&StoreSnapshot) -> bool) -> StoreSnapshot {
        self.next(what, |event| match event {
            StoreEvent::Read(snapshot) if wanted(snapshot) => Some(snapshot.clone()),
            _ => None,
        })
        .await
    }

    async fn lost(&mut self) -> String {
        self.next("loss", |event| match event {
            StoreEvent::Lost { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }
}

fn leader_is(name: &str) -> impl Fn(&StoreSnapshot) -> bool {
    move |snapshot| snapshot.leader.as_ref().is_some_and(|key| key.member.as_str() == name)
}

fn with_right(name: &str) -> impl Fn(&StoreSnapshot) -> bool {
    move |snapshot| leader_is(name)(snapshot) && snapshot.leader.as_ref().unwrap().right_until.is_some()
}

const MEMBER: &str =
    r#"{"conn_url":"postgres://127.0.0.1:5432/postgres","state":"running","role":"replica"}"#;

/// A cluster with `leader` on a lease of `ttl` seconds, which is returned.
async fn populate(client: &mut Client, leader: &str, ttl: i64) -> i64 {
    let lease = client.lease_grant(ttl, None).await.unwrap().id();
    client.put("/service/demo/initialize", "7", None).await.unwrap();
    let on_lease = || Some(PutOptions::new().with_lease(lease));
    client.put(format!("/service/demo/members/{leader}"), MEMBER, on_lease()).await.unwrap();
    client.put("/service/demo/leader", leader, on_lease()).await.unwrap();
    lease
}

#[tokio::test]
async fn the_watch_is_fast_and_the_lease_gives_the_right() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    populate(&mut client, "n1", 20).await;

    let mut store = Watched::start(&[etcd.endpoint()], Duration::from_secs(30));
    let before = store.clock.now();
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 1));
    let right = first.leader.unwrap().right_until.expect("the first reading asks for the lease");
    let left = right.since(before);
    assert!((18..=20).contains(&left.as_secs()), "{left:?}");

    // Another takes over: the watch says so, and at once the right to write to it is asked for, although the next
    // regular reading is far away.
    let lease = client.lease_grant(30, None).await.unwrap().id();
    let written = store.clock.now();
    let options = PutOptions::new().with_lease(lease);
    client.put("/service/demo/leader", "n2", Some(options)).await.unwrap();
    let seen = store.read("news of n2", leader_is("n2")).await;
    let took = seen.asked_at.since(written);
    println!("put to watch event: {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(seen.revision > first.revision);
    let right = store.read("right of n2", with_right("n2")).await.leader.unwrap().right_until.unwrap();
    assert!((28..=30).contains(&right.since(written).as_secs()));

    // Somebody is in doubt: a reading at once.
    let asked = store.clock.now();
    store.hurry.send_replace(1);
    let again = store.read("hurried reading", |_| true).await;
    assert!(again.asked_at >= asked && again.leader.unwrap().right_until.is_some());

    client.delete("/service/demo/leader", None).await.unwrap();
    let gone = store.read("absence", |snapshot| snapshot.leader.is_none()).await;
    assert_eq!(gone.members.len(), 1);
}

#[tokio::test]
async fn readings_renew_the_right_and_a_lease_runs_out() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    let lease = populate(&mut client, "n1", 3).await;
    let mut store = Watched::start(&[etcd.endpoint()], Duration::from_millis(100));
    let first = store.read("right", with_right("n1")).await.leader.unwrap();
    // A renewal is no event: only the readings show it.
    let (mut keeper, _answers) = client.lease_keep_alive(lease).await.unwrap();
    let renewing = async {
        loop {
            keeper.keep_alive().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let longer = |s: &StoreSnapshot| {
        let key = s.leader.as_ref().expect("it is renewed");
        assert_eq!(key.elected_at, first.elected_at, "renewing a lease is no election");
        key.right_until > first.right_until.map(|right| right + Duration::from_secs(1))
    };
    let renewed = tokio::select! {
        renewed = store.read("renewal", longer) => renewed.leader.unwrap(),
        () = renewing => unreachable!("it never ends"),
    };
    // No renewal any more: no right beyond the lease's end, then no key.
    let gone = store.read("end", |s| s.leader.is_none()).await;
    assert!(Some(gone.asked_at) > renewed.right_until, "the key outlives every right that was given");
}

#[tokio::test]
async fn a_frozen_etcd_is_lost_and_found_again() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    populate(&mut client, "n1", 60).await;
    let mut store = Watched::start(&[etcd.endpoint()], Duration::from_secs(1));
    store.read("first reading", leader_is("n1")).await;

    let frozen_at = store.clock.now();
    etcd.signal(rustix::process::Signal::STOP);
    let reason = store.lost().await;
    let took = store.clock.now().since(frozen_at);
    println!("frozen to lost: {took:?}: {reason}");
    assert!(took < Duration::from_secs(6), "{took:?}: {reason}");
    assert!(reason.contains(&etcd.endpoint()), "{reason}");

    etcd.signal(rustix::process::Signal::CONT);
    store.read("reading after the thaw", with_right("n1")).await;
}

#[tokio::test]
async fn a_frozen_etcd_is_left_for_another_endpoint() {
    let (frozen, live) = (Etcd::start().await, Etcd::start().await);
    for etcd in [&frozen, &live] {
        populate(&mut etcd.client().await, "n1", 60).await;
    }
    let mut store = Watched::start(&[frozen.endpoint(), live.endpoint()], Duration::from_millis(200));
    store.read("first reading", leader_is("n1")).await;
    frozen.signal(rustix::process::Signal::STOP);
    let reason = store.lost().await;
    assert!(reason.contains(&frozen.endpoint()), "{reason}");
    let lost_at = store.clock.now();
    let found = store.read("reading elsewhere", with_right("n1")).await;
    assert!(found.asked_at.since(lost_at) < Duration::from_secs(2));
}

#[tokio::test]
async fn a_restart_and_a_compaction_are_survived() {
    let mut etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    populate(&mut client, "n1", 60).await;
    let mut store = Watched::start(&[etcd.endpoint()], Duration::from_secs(30));
    store.read("first reading", with_right("n1")).await;

    etcd.restart().await;
    println!("restart: {}", store.lost().await);
    let found = store.read("reading after the restart", with_right("n1")).await;

    let mut client = etcd.client().await;
    client.put("/service/demo/leader", "n2", None).await.unwrap();
    let revision = client.get("x", None).await.unwrap().header().unwrap().revision();
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    let after = store.read("n2 after the compaction", leader_is("n2")).await;
    assert!(after.revision > found.revision);
    // A key without a lease gives no right: it would never expire.
    assert_eq!(after.leader.unwrap().right_until, None);
}

#[tokio::test]
async fn nothing_under_the_scope_says_what_there_is() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    client.put("/service/other/leader", "x", None).await.unwrap();
    let mut store = Watched::start(&[etcd.endpoint()], Duration::from_millis(100));
    let found = store
        .next("nothing", |event| match event {
            StoreEvent::Nothing { found } => Some(found.clone()),
            _ => None,
        })
        .await;
    assert!(found.contains("/service/demo/") && found.contains("other") && found.contains("v2"), "{found}");
    populate(&mut client, "n1", 20).await;
    store.read("the cluster, once it is there", with_right("n1")).await;
}

#[tokio::test]
async fn nobody_listens_where_etcd_should_be() {
    let [port, _] = free_ports();
    let mut store = Watched::start(&[format!("127.0.0.1:{port}")], Duration::from_secs(1));
    let asked = store.clock.now();
    let reason = store.lost().await;
    println!("refused: {reason}");
    assert!(store.clock.now().since(asked) < Duration::from_secs(1), "{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

/// An authority and a certificate for 127.0.0.1 signed by it, as PEM files in `folder`.
fn certificates(folder: &std::path::Path) {
    let run = |arguments: &str| {
        let status = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("the binary `openssl`").success(), "openssl {arguments}");
    };
    run("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    run("req -newkey rsa:2048 -nodes -keyout node.key -out node.csr -subj /CN=etcd");
    let extensions = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    run(
        "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out node.pem -days 2 -extfile extensions",
    );
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let [port, peer_port] = free_ports();
    let (client, peer) = (format!("https://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let file = |name: &str| folder.path().join(name);
    let child = Command::new("etcd")
        .arg("--data-dir")
        .arg(file("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--client-cert-auth"])
        .arg("--trusted-ca-file")
        .arg(file("ca.pem"))
        .arg("--cert-file")
        .arg(file("node.pem"))
        .arg("--key-file")
        .arg(file("node.key"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pem = |name: &str| std::fs::read(file(name)).unwrap();
    let identity = Some((pem("node.pem"), pem("node.key")));
    let tls = StoreTls { ca: Some(pem("ca.pem")), identity, connector: None };
    let endpoint = format!("127.0.0.1:{port}");
    let etcd = Etcd { child, folder, client_port: port, peer_port };

    let mut policy = policy(std::slice::from_ref(&endpoint), Duration::from_millis(100));
    policy.tls = Some(tls.clone());
    let mut store = Watched::with(policy.clone());
    let nothing = |event: &StoreEvent| matches!(event, StoreEvent::Nothing { .. }).then_some(());
    store.next("answer over TLS", nothing).await;

    // Without our certificate etcd does not talk to us.
    policy.tls = Some(StoreTls { identity: None, ..tls });
    let mut store = Watched::with(policy);
    let reason = store.lost().await;
    println!("no certificate: {reason}");
    drop(etcd);
}

#[tokio::test]
async fn a_user_and_a_password() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    populate(&mut client, "n1", 60).await;
    client.user_add("root", "secret", None).await.unwrap();
    client.role_add("root").await.ok();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();

    let mut policy = policy(&[etcd.endpoint()], Duration::from_millis(100));
    policy.login = Some(("root".into(), "wrong".into()));
    let reason = Watched::with(policy.clone()).lost().await;
    assert!(reason.contains("authentication failed"), "{reason}");

    policy.login = None;
    let reason = Watched::with(policy.clone()).lost().await;
    assert!(reason.contains("user name is empty"), "{reason}");

    policy.login = Some(("root".into(), "secret".into()));
    let mut store = Watched::with(policy);
    store.read("reading as root", with_right("n1")).await;

    // etcd asks nobody any more, and then everybody again.
    let root = || ConnectOptions::new().with_user("root", "secret");
    let mut before = Client::connect([etcd.endpoint()], Some(root())).await.unwrap();
    before.auth_disable().await.unwrap();
    populate(&mut client, "n2", 60).await;
    store.read("reading as anybody", with_right("n2")).await;
    client.auth_enable().await.unwrap();
    let mut again = Client::connect([etcd.endpoint()], Some(root())).await.unwrap();
    populate(&mut again, "n3", 60).await;
    store.read("reading as root again", with_right("n3")).await;
}
