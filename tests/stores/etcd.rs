//! A real etcd, by its v3 API.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use etcd_client::{Client, CompactionOptions, PutOptions};
use pgsteer::cluster::store::{
    StoreSnapshot,
    etcd::EtcdStore,
    policy::{StorePolicy, StoreTls},
};

use super::{
    MEMBER, Watched,
    etcd_node::{Etcd, command, free_ports},
    leader_is, nobody_leads, nothing, reach,
};

fn policy(endpoints: &[String], reread_interval: Duration) -> StorePolicy {
    reach(endpoints, reread_interval).policy
}

fn watch(policy: StorePolicy) -> Watched {
    Watched::start(|clock| Ok(EtcdStore::new(policy, clock)))
}

fn watched(endpoints: &[String], reread_interval: Duration) -> Watched {
    watch(policy(endpoints, reread_interval))
}

fn with_right(name: &str) -> impl Fn(&StoreSnapshot) -> bool {
    move |snapshot| leader_is(name)(snapshot) && snapshot.leader.as_ref().unwrap().right_until.is_some()
}

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

    let mut store = watched(&[etcd.endpoint()], Duration::from_secs(30));
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
    let gone = store.read("absence", nobody_leads).await;
    assert_eq!(gone.members.len(), 1);
}

#[tokio::test]
async fn readings_renew_the_right_and_a_lease_runs_out() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    let lease = populate(&mut client, "n1", 3).await;
    let mut store = watched(&[etcd.endpoint()], Duration::from_millis(100));
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
    let gone = store.read("end", nobody_leads).await;
    assert!(Some(gone.asked_at) > renewed.right_until, "the key outlives every right that was given");
}

#[tokio::test]
async fn a_frozen_etcd_is_lost_and_found_again() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    populate(&mut client, "n1", 60).await;
    let mut store = watched(&[etcd.endpoint()], Duration::from_secs(1));
    store.read("first reading", leader_is("n1")).await;
    let reason = store.outlives_a_freeze(&etcd.child, Duration::from_secs(6)).await;
    assert!(reason.contains(&etcd.endpoint()), "{reason}");
    store.read("the right to write again", with_right("n1")).await;
}

#[tokio::test]
async fn a_frozen_etcd_is_left_for_another_endpoint() {
    let (frozen, live) = (Etcd::start().await, Etcd::start().await);
    for etcd in [&frozen, &live] {
        populate(&mut etcd.client().await, "n1", 60).await;
    }
    let mut store = watched(&[frozen.endpoint(), live.endpoint()], Duration::from_millis(200));
    store.read("first reading", leader_is("n1")).await;
    let reason = store.is_lost_while_frozen(&frozen.child, Duration::from_secs(6)).await;
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
    let mut store = watched(&[etcd.endpoint()], Duration::from_secs(30));
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
    let mut store = watched(&[etcd.endpoint()], Duration::from_millis(100));
    let found = store.next("nothing", nothing).await;
    assert!(found.contains("/service/demo/") && found.contains("other") && found.contains("v2"), "{found}");
    populate(&mut client, "n1", 20).await;
    store.read("the cluster, once it is there", with_right("n1")).await;
}

#[tokio::test]
async fn nobody_listens_where_etcd_should_be() {
    let [port, _] = free_ports();
    let mut store = watched(&[format!("127.0.0.1:{port}")], Duration::from_secs(1));
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
    let file = |name: &str| folder.path().join(name);
    let child = command(&format!("https://127.0.0.1:{port}"), peer_port)
        .arg("--client-cert-auth")
        .arg("--data-dir")
        .arg(file("data"))
        .arg("--trusted-ca-file")
        .arg(file("ca.pem"))
        .arg("--cert-file")
        .arg(file("node.pem"))
        .arg("--key-file")
        .arg(file("node.key"))
        .spawn()
        .unwrap();
    let pem = |name: &str| std::fs::read(file(name)).unwrap();
    let identity = Some((pem("node.pem"), pem("node.key")));
    let tls = StoreTls { ca: Some(pem("ca.pem")), identity, connector: None };
    let endpoint = format!("127.0.0.1:{port}");
    let etcd = Etcd { child, port, peer_port, folder };

    let mut policy = policy(std::slice::from_ref(&endpoint), Duration::from_millis(100));
    policy.tls = Some(tls.clone());
    let mut store = watch(policy.clone());
    store.next("answer over TLS", nothing).await;

    // Without our certificate etcd does not talk to us.
    policy.tls = Some(StoreTls { identity: None, ..tls });
    let mut store = watch(policy);
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
    let reason = watch(policy.clone()).lost().await;
    assert!(reason.contains("authentication failed"), "{reason}");

    policy.login = None;
    let reason = watch(policy.clone()).lost().await;
    assert!(reason.contains("user name is empty"), "{reason}");

    policy.login = Some(("root".into(), "secret".into()));
    watch(policy).read("reading as root", with_right("n1")).await;
}
