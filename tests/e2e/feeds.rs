//! Where replicas get what they replay: from another replica, from an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Archive, Client, Cluster, Door, Login, Node, Options, Proxy, Release, Result, Sandbox, Server,
    connection_string, eventually,
};
use serde_json::json;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);
/// More than enough to see who serves.
const READS: usize = 10;

const KEYS: &str = r#"
    [replicas]
    slow_start = 0
    replica_wait_timeout = "200ms"
    lag_time_max = "500ms"
"#;

/// Listeners for reads, by how far a replica may be behind there.
const LISTENERS: [(&str, &str); 4] = [
    ("as usual", ""),
    ("any", "lag_time_max = 0, lag_bytes_max = 0"),
    ("in time", r#"lag_time_max = "3s", lag_bytes_max = 0"#),
    ("in bytes", r#"lag_time_max = 0, lag_bytes_max = "16MB""#),
];

/// Whether a replica streams.
const STREAMS: &str = "SELECT count(*) FROM pg_stat_wal_receiver";
/// Has what was written archived.
const SWITCH: &str = "SELECT pg_switch_wal()";

struct Scene {
    proxy: Proxy,
    listeners: BTreeMap<&'static str, SocketAddr>,
    cluster: Cluster,
}

impl Scene {
    async fn set(cluster: Cluster, ready: &str) -> Result<Self> {
        let mut listeners = BTreeMap::new();
        let mut keys = Vec::new();
        for (port, (name, wants)) in (6440..).zip(LISTENERS) {
            let address = cluster.sandbox.address(3, port)?;
            let comma = if wants.is_empty() { "" } else { ", " };
            keys.push(format!("{{ address = \"{address}\", route = \"read\"{comma}{wants} }}"));
            listeners.insert(name, address);
        }
        let keys = format!("listen = [{}]\n{KEYS}", keys.join(", "));
        let mut proxy = Proxy::launch(&cluster, "pgsteer", &keys)?;
        proxy.ready_for(ready, SOON).await?;
        Ok(Self { proxy, listeners, cluster })
    }

    /// Who serves the reads of a listener, by name, or the words of who says that nobody does.
    async fn serving(&self, listener: &str) -> Result<BTreeSet<&str>> {
        let address = *self.listeners.get(listener).context("no such listener")?;
        let client = Client::connect(&connection_string(address, Login::TRADER, Cluster::DATABASE)).await?;
        let mut serving = BTreeSet::new();
        for _ in 0..READS {
            let address = client.text("SELECT host(inet_server_addr())").await?;
            let is = |node: &&Node| node.address.ip().to_string() == address;
            let node = self.cluster.nodes.iter().find(is);
            serving.insert(node.with_context(|| format!("{address} has answered"))?.name.as_str());
        }
        Ok(serving)
    }

    /// Waits until these serve the reads of a listener, each of them, and no other.
    async fn serve(&self, listener: &str, expected: &[&Node]) -> Result {
        let expected: BTreeSet<_> = expected.iter().map(|node| node.name.as_str()).collect();
        let mut last = None;
        let waited = eventually("reads come from the right replicas", SOON, async || {
            let serving = self.serving(listener).await;
            let fits = match &serving {
                Ok(serving) => *serving == expected,
                Err(why) => expected.is_empty() && why.to_string().contains("57P03"),
            };
            last = Some(serving);
            fits.then_some(())
        });
        waited.await.with_context(|| format!("{listener}: expected {expected:?}, it is {last:?}"))
    }

    /// Waits until a replica is said to lag too much for who has no bounds of their own.
    async fn lags(&self, node: &Node) -> Result {
        let label = format!("member=\"{}\",reason=\"lagging\"", node.name);
        eventually(&format!("{} is said to lag", node.name), SOON, async || {
            let said = self.proxy.metric("pgsteer_member_excluded", &label).await.ok()?;
            (said == 1.0).then_some(())
        })
        .await
    }
}

/// Writes a little all the time; `and` is done behind each write.
async fn beat(leader: Client, and: &'static str, pause: Duration) -> Result<JoinHandle<()>> {
    let table = "CREATE TABLE IF NOT EXISTS beats (at timestamptz)";
    eventually("it takes writes", SOON, async || leader.batch_execute(table).await.ok()).await?;
    Ok(tokio::spawn(async move {
        while leader.batch_execute(&format!("INSERT INTO beats VALUES (now()); {and}")).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    }))
}

/// A number that a node tells its superuser.
async fn number(node: &Node, sql: &str) -> Option<f64> {
    node.superuser().await.ok()?.text(sql).await.ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_another_replica_and_by_an_archive() -> Result {
    let options = Options { archived: true, ..Options::default().asynchronous() };
    let scene = Scene::set(Cluster::start(options).await?, "/ready").await?;
    let played = async {
        let leader = scene.cluster.leader().await?;
        let replicas = scene.cluster.replicas().await?;
        let (first, second) = (replicas[0], replicas[1]);
        cascading(&scene, leader, first, second).await.context("cascading")?;
        archived(&scene, leader, first, second).await.context("from an archive")?;
        a_new_leader(&scene, leader, first, second).await.context("under a new leader")
    };
    played.await.inspect_err(|_| eprintln!("{}", scene.cluster.sandbox.logs(40)))
}

/// It has all that its upstream has, which gets nothing any more: both are behind the leader.
async fn cascading(scene: &Scene, leader: &Node, upstream: &Node, replica: &Node) -> Result {
    replica.tag(&json!({ "replicatefrom": upstream.name })).await?;
    let sends =
        format!("SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}'", replica.name);
    eventually("it streams from the other replica", SOON, async || {
        (number(upstream, &sends).await? == 1.0).then_some(())
    })
    .await?;
    scene.serve("as usual", &[upstream, replica]).await?;
    let beating = beat(leader.superuser().await?, "", Duration::from_millis(20)).await?;
    upstream.freeze_process("walreceiver").await?;
    scene.serve("as usual", &[]).await?;
    scene.serve("any", &[upstream, replica]).await?;
    beating.abort();
    for node in [upstream, replica] {
        scene.lags(node).await?;
    }
    let replayed = "SELECT pg_last_wal_replay_lsn() - '0/0'";
    eventually("its lag is what it is behind the leader, not behind its upstream", SOON, async || {
        let [has, sent] = [number(replica, replayed).await?, number(upstream, replayed).await?];
        let written = number(leader, "SELECT pg_current_wal_lsn() - '0/0'").await?;
        let label = format!("member=\"{}\"", replica.name);
        let lag = scene.proxy.metric("pgsteer_member_lag_bytes", &label).await.ok()?;
        (has == sent && lag > 0.0 && lag == written - has).then_some(())
    })
    .await?;
    upstream.thaw_process("walreceiver").await?;
    scene.serve("as usual", &[upstream, replica]).await
}

/// It gets whole segments, and those only once the leader has archived them.
async fn archived(scene: &Scene, leader: &Node, other: &Node, replica: &Node) -> Result {
    replica.tag(&json!({ "nostream": true })).await?;
    eventually("it does not stream", SOON, async || (number(replica, STREAMS).await? == 0.0).then_some(()))
        .await?;
    let beating = beat(leader.superuser().await?, SWITCH, Duration::from_millis(100)).await?;
    scene.serve("in time", &[other, replica]).await?;
    scene.serve("in bytes", &[other, replica]).await?;
    leader.freeze_process("archiver").await?;
    scene.serve("in time", &[other]).await?;
    scene.serve("in bytes", &[other]).await?;
    scene.serve("any", &[other, replica]).await?;
    scene.lags(replica).await?;
    leader.thaw_process("archiver").await?;
    scene.serve("in time", &[other, replica]).await?;
    scene.serve("in bytes", &[other, replica]).await?;
    beating.abort();
    Ok(())
}

/// It finds the new timeline in the archive.
async fn a_new_leader(scene: &Scene, old: &Node, new: &Node, replica: &Node) -> Result {
    let request = json!({ "leader": old.name, "candidate": new.name });
    let answer = old.rest("POST", "/switchover", &request).await?;
    ensure!(answer.status == 200, "switchover: {} {}", answer.status, answer.body);
    // So little is written that no restartpoint tells of the timeline for long.
    let beating = beat(new.superuser().await?, SWITCH, Duration::from_millis(500)).await?;
    scene.serve("in time", &[old, replica]).await?;
    beating.abort();
    Ok(())
}

/// Nothing streams from the other cluster. How far its WAL has come nobody here can tell, but who is behind whom here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_cluster_by_an_archive() -> Result {
    let sandbox = Sandbox::new()?;
    let archive = Archive::of(&sandbox)?;
    let settings = format!("archive_mode = on\narchive_command = '{}'\n", archive.archive_command());
    let upstream = Server::start(&sandbox, Release::System, Door::Scram, &settings).await?;
    let options = Options { archived: true, ..Options::default() };
    let scene = Scene::set(Cluster::following(&upstream, options).await?, "/ready?route=read").await?;
    let played = async {
        scene.cluster.restore_from(&archive).await?;
        let leader = scene.cluster.standby_leader().await?;
        let others: Vec<_> = scene.cluster.nodes.iter().filter(|node| node.name != leader.name).collect();
        eventually("its leader does not stream", SOON, async || {
            (number(leader, STREAMS).await? == 0.0).then_some(())
        })
        .await?;
        let beating = beat(upstream.superuser().await?, SWITCH, Duration::from_millis(200)).await?;
        scene.serve("as usual", &others).await?;
        for node in &others {
            eventually("what the other cluster writes is seen", SOON, async || {
                (number(node, "SELECT count(*) FROM beats").await? > 1.0).then_some(())
            })
            .await?;
        }
        others[0].freeze_replay().await?;
        scene.serve("as usual", &others[1..]).await?;
        scene.lags(others[0]).await?;
        others[1].freeze_replay().await?;
        scene.serve("as usual", &[leader]).await?;
        others[0].thaw_replay().await?;
        others[1].thaw_replay().await?;
        scene.serve("as usual", &others).await?;
        beating.abort();
        Ok(())
    };
    played.await.inspect_err(|_: &anyhow::Error| eprintln!("{}", scene.cluster.sandbox.logs(40)))
}
