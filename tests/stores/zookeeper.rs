//! A real ZooKeeper, of Debian's package. It is written to by kazoo, Patroni's own client.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use pgsteer::cluster::store::{StoreEvent, zookeeper::ZooKeeperStore};
use pgsteer_testkit::{Machine, eventually};
use tempfile::TempDir;

use super::{
    MEMBER, Watched, leader_is, nobody_leads, nothing, reach,
    tls::{Front, local},
};

/// Where Debian puts it, and what it needs.
const CLASSES: &str = "/etc/zookeeper/conf:/usr/share/java/*";

/// One server, killed when dropped.
struct ZooKeeper {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl ZooKeeper {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().display();
        let config = format!(
            "dataDir={data}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=500\n\
             admin.enableServer=false\n"
        );
        let file = folder.path().join("zoo.cfg");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("java")
            .args(["-Xmx64m", "-cp", CLASSES, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(&file)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary `java` (deploy/install.sh stores)");
        let zookeeper = Self { child, port, _folder: folder };
        eventually("ZooKeeper listens", super::PATIENCE, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await
        .unwrap();
        zookeeper
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn watch(&self, reread: Duration) -> Watched {
        Watched::start(|clock| ZooKeeperStore::new(&reach(&[self.endpoint()], reread), clock))
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A session of kazoo's, to which lines of Python are given. Its ephemeral nodes go when it is dropped.
struct Kazoo {
    child: Child,
    lines: ChildStdin,
    said: BufReader<ChildStdout>,
}

const LOOP: &str = "
import sys
from kazoo.client import KazooClient
c = KazooClient(sys.argv[1], timeout=4)
c.start()
for line in sys.stdin:
    exec(line)
    print('done', flush=True)
";

impl Kazoo {
    fn start(to: &ZooKeeper) -> Self {
        let mut child = Command::new(Machine::look().unwrap().python)
            .args(["-c", LOOP, &format!("127.0.0.1:{}", to.port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, said }
    }

    fn run(&mut self, line: &str) {
        writeln!(self.lines, "{line}").unwrap();
        let mut done = String::new();
        self.said.read_line(&mut done).unwrap();
        assert_eq!(done, "done\n", "{line} (deploy/install.sh stores installs kazoo)");
    }

    fn create(&mut self, key: &str, value: &str, more: &str) {
        self.run(&format!("c.create('/service/demo/{key}', b'''{value}''', makepath=True{more})"));
    }

    fn populate(&mut self, leader: &str) {
        self.create("initialize", "7", "");
        self.create("config", r#"{"ttl":20}"#, "");
        self.create(&format!("members/{leader}"), MEMBER, ", ephemeral=True");
        self.create("leader", leader, ", ephemeral=True");
    }
}

impl Drop for Kazoo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn the_watch_is_fast_and_the_right_is_short() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    kazoo.populate("n1");
    let mut store = zookeeper.watch(Duration::from_secs(20));
    let first = store.read("first reading", leader_is("n1")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 1));
    assert_eq!(first.settings.ttl, Duration::from_secs(20));
    let key = first.leader.unwrap();
    assert_eq!(key.right_until, Some(first.asked_at + Duration::from_secs(22)));
    store
        .follows(&key, ["n2", "n3", "n4"], async |leader| match leader {
            Some(name) => kazoo.create("leader", name, ", ephemeral=True"),
            None => kazoo.run("c.delete('/service/demo/leader')"),
        })
        .await;
    // A new member is told of by the watch, too.
    kazoo.create("members/n9", MEMBER, ", ephemeral=True");
    store.read("the new member", |snapshot| snapshot.members.len() == 2).await;
}

#[tokio::test]
async fn the_end_of_a_session_is_the_end_of_its_key() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    kazoo.populate("n1");
    let mut store = zookeeper.watch(Duration::from_secs(20));
    store.read("first reading", leader_is("n1")).await;
    // Killed: nobody says good-bye, the session expires.
    drop(kazoo);
    store.read("absence", nobody_leads).await;
    // A node that no session holds would never go away.
    Kazoo::start(&zookeeper).create("leader", "n1", "");
    let read = store.read("a node without a session", leader_is("n1")).await;
    assert_eq!(read.leader.unwrap().right_until, None);
}

#[tokio::test]
async fn sessions_are_kept_alive_while_nothing_happens() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    kazoo.populate("n1");
    // A server's ticks of 500 ms allow sessions of 6 s as asked for: eight seconds of silence end one.
    let mut store = zookeeper.watch(Duration::from_secs(3));
    store.read("first reading", leader_is("n1")).await;
    let began = store.clock.now();
    let mut lost = 0;
    while store.clock.now().since(began) < Duration::from_secs(8) {
        let event = tokio::time::timeout(Duration::from_secs(5), store.events.recv()).await;
        lost += usize::from(matches!(event, Ok(Some(StoreEvent::Lost { .. }))));
    }
    assert_eq!(lost, 0);
    kazoo.run("c.set('/service/demo/failover', b'{}') if c.exists('/service/demo/failover') else None");
    kazoo.run("c.delete('/service/demo/leader')");
    store.read("absence", nobody_leads).await;
}

#[tokio::test]
async fn a_frozen_zookeeper_is_lost_and_found_again() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    kazoo.run("c.ensure_path('/service/demo')");
    kazoo.create("leader", "n1", "");
    let mut store = zookeeper.watch(Duration::from_millis(200));
    store.read("first reading", leader_is("n1")).await;
    store.outlives_a_freeze(&zookeeper.child, Duration::from_secs(4)).await;
}

#[tokio::test]
async fn nothing_under_the_scope_and_what_may_not_be_read() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    let mut store = zookeeper.watch(Duration::from_millis(200));
    let found = store.next("nothing", nothing).await;
    assert!(found.contains("nor any other scope"), "{found}");
    kazoo.run("c.ensure_path('/service/other')");
    store.next("other", |event| nothing(event).filter(|found| found.contains("the scopes other"))).await;
    kazoo.populate("n1");
    store.read("the cluster, once it is there", leader_is("n1")).await;
    // Its owner alone may read it from now on.
    kazoo.run("from kazoo.security import make_digest_acl as acl");
    kazoo.run("c.set_acls('/service/demo/leader', [acl('steer', 'hunter2', all=True)])");
    let reason = store.lost().await;
    assert!(reason.contains("store_user"), "{reason}");
    let mut reach = reach(&[zookeeper.endpoint()], Duration::from_secs(1));
    reach.policy.login = Some(("steer".to_owned(), "hunter2".to_owned()));
    let mut store = Watched::start(|clock| ZooKeeperStore::new(&reach, clock));
    store.read("reading as its owner", leader_is("n1")).await;
}

#[tokio::test]
async fn tls_and_certificates_on_both_sides() {
    let zookeeper = ZooKeeper::start().await;
    let mut kazoo = Kazoo::start(&zookeeper);
    kazoo.populate("n1");
    Front::before(local(zookeeper.port)).await.check(ZooKeeperStore::new).await;
}
