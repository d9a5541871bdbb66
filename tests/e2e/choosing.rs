//! Who serves whose reads: standbys by role, tags, zone, weight, lag and what they have to do; and an operator's word.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Login, Node, Options, Proxy, Result, Stage, connection_string, eventually, now,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const READS: usize = 20;

/// Reads wait shortly, so that it can be seen that nobody serves them.
const KEYS: &str = r#"
    [http]
    token = "an operator and nobody else"
    [replicas]
    slow_start = 0
    replica_wait_timeout = "200ms"
    lag_time_max = "500ms"
    [databases.reporting]
    dbname = "trading"
    required_tags = ["purpose=reports"]
    [databases.relaxed]
    dbname = "trading"
    lag_time_max = 0
    sync_standbys = "only"
"#;

/// Another proxy, in a zone of its own.
const IN_ZONE: &str = r#"
    [replicas]
    slow_start = 0
    zone = "here"
    balance = "least_connections"
    lag_time_max = "500ms"
"#;

/// And one that is gentle to replicas that come back. No lag takes one out here, so that others have served for long.
const GENTLE: &str = r#"
    [http]
    token = "an operator and nobody else"
    [replicas]
    slow_start = "5s"
    lag_time_max = 0
"#;

/// Listeners, by what they want of replicas.
const LISTENERS: [(&str, &str); 6] = [
    ("writes", r#"route = "write""#),
    ("all", r#"route = "read""#),
    ("sync", r#"route = "read", sync_standbys = "only""#),
    ("async", r#"route = "read", sync_standbys = "never""#),
    ("reports", r#"route = "read", required_tags = ["purpose=reports"]"#),
    ("patient", r#"route = "read", lag_time_max = 0, lag_bytes_max = 0"#),
];

struct Scene {
    _near: Proxy,
    gentle: Proxy,
    stage: Stage,
    listeners: BTreeMap<&'static str, SocketAddr>,
    /// The names of the standbys, as they are at first: the synchronous one and the other one.
    standbys: [String; 2],
}

impl Scene {
    async fn set() -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        let mut listeners = BTreeMap::new();
        let mut keys = Vec::new();
        for (port, (name, wants)) in (6440..).zip(LISTENERS) {
            let address = cluster.sandbox.address(3, port)?;
            keys.push(format!("{{ address = \"{address}\", {wants} }}"));
            listeners.insert(name, address);
        }
        let keys = format!("listen = [{}]\n{KEYS}", keys.join(", "));
        let mut proxy = Proxy::launch(&cluster, "pgsteer", &keys)?;
        proxy.ready_for("/ready?route=write", SOON).await?; // there is nobody for reports yet
        let mut near = Proxy::launch(&cluster, "pgsteer-in-zone", IN_ZONE)?;
        near.ready(SOON).await?;
        let mut gentle = Proxy::launch(&cluster, "pgsteer-gentle", GENTLE)?;
        gentle.ready(SOON).await?;
        listeners.extend([("near", near.read), ("gentle", gentle.read)]);
        let standbys =
            [cluster.sync_standby().await?.name.clone(), cluster.async_standby().await?.name.clone()];
        Ok(Self { _near: near, gentle, stage: Stage { proxy, cluster }, listeners, standbys })
    }

    /// A client of a listener, or of a database on the one that wants nothing.
    async fn client(&self, wants: &str) -> Result<Client> {
        let (listener, database) = match wants {
            "reporting" | "relaxed" => ("all", wants),
            listener => (listener, Cluster::DATABASE),
        };
        let address = *self.listeners.get(listener).context("no such listener")?;
        Client::connect(&connection_string(address, Login::TRADER, database)).await
    }

    fn node(&self, name: &str) -> Result<&Node> {
        self.stage.cluster.nodes.iter().find(|node| node.name == name).context("no such node")
    }

    /// How many of so many reads each of the standbys serves, or the words of who says that nobody does.
    async fn counts(&self, listener: &str) -> Result<[usize; 2]> {
        let client = self.client(listener).await?;
        let mut counts = [0; 2];
        for _ in 0..READS {
            let address = client.text("SELECT host(inet_server_addr())").await?;
            let is =
                |name: &String| self.node(name).is_ok_and(|node| node.address.ip().to_string() == address);
            let place = self.standbys.iter().position(is);
            counts[place.with_context(|| format!("{address} has answered"))?] += 1;
        }
        Ok(counts)
    }

    /// Waits until the reads of these listeners are served so, one more or less.
    async fn serve(&self, expected: &[(&str, [usize; 2])]) -> Result {
        for (listener, expected) in expected {
            let mut last = None;
            let waited = eventually("reads come from the right standbys", SOON, async || {
                let counts = self.counts(listener).await;
                let fit = |counts: &[usize; 2]| {
                    counts.iter().zip(expected).all(|(count, expected)| match *expected {
                        0 | READS => count == expected,
                        expected => count.abs_diff(expected) <= 1,
                    })
                };
                let fits = counts.as_ref().is_ok_and(fit);
                last = Some(counts);
                fits.then_some(())
            });
            waited.await.with_context(|| format!("{listener}: expected {expected:?}, it is {last:?}"))?;
        }
        Ok(())
    }

    /// Waits until nobody serves the reads of this listener.
    async fn nobody_serves(&self, listener: &str) -> Result {
        eventually(&format!("nobody serves {listener}"), SOON, async || {
            self.counts(listener).await.err()?.to_string().contains("57P03").then_some(())
        })
        .await
    }

    async fn order(&self, path: &str) -> Result {
        order(&self.stage.proxy, path).await
    }

    /// Pinned, a standby would end the leader's time in office and take no writes itself.
    async fn no_standby_is_pinned(&self, leader: &str) -> Result {
        for standby in &self.standbys {
            let path = format!("/pin?member={standby}");
            let answer = self.stage.proxy.order(&path, "an operator and nobody else").await?;
            let shown = self.stage.proxy.get("/leader").await?.json();
            ensure!(
                answer.status == 409 && answer.body.contains(leader),
                "{} {}",
                answer.status,
                answer.body
            );
            ensure!(shown["pinned"].is_null(), "{shown}");
        }
        Ok(())
    }
}

async fn order(proxy: &Proxy, path: &str) -> Result {
    let answer = proxy.order(path, "an operator and nobody else").await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_whose_reads() -> Result {
    let mut scene = Scene::set().await?;
    let played = async {
        by_role_and_load(&scene).await.context("by role and load")?;
        as_an_operator_says(&scene).await.context("as an operator says")?;
        by_tags_and_lag(&scene).await.context("by tags and lag")?;
        a_slow_start(&scene).await.context("slow start")?;
        by_tags_of_patroni(&scene).await.context("by tags of Patroni")?;
        a_pinned_leader(&mut scene).await.context("a pinned leader")
    };
    played.await.inspect_err(|_| eprintln!("{}", scene.stage.cluster.sandbox.logs(40)))
}

async fn by_role_and_load(scene: &Scene) -> Result {
    scene.serve(&[("all", [10, 10]), ("sync", [20, 0]), ("async", [0, 20]), ("near", [10, 10])]).await?;
    scene.nobody_serves("reports").await?;
    // Of two, the one that has nothing to do.
    let busy = scene.client("near").await?;
    busy.batch_execute("BEGIN").await?;
    let address = busy.text("SELECT host(inet_server_addr())").await?;
    let first = scene.node(&scene.standbys[0])?.address.ip().to_string() == address;
    scene.serve(&[("near", if first { [0, 20] } else { [20, 0] })]).await
}

/// Draining: what runs there ends. Down: it does not.
async fn as_an_operator_says(scene: &Scene) -> Result {
    let member = &scene.standbys[0];
    let reading = async |seconds: u8| {
        let client = scene.client("sync").await?;
        anyhow::Ok(tokio::spawn(
            async move { client.text(&format!("SELECT pg_sleep({seconds})::text")).await },
        ))
    };
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' \
                   AND pid <> pg_backend_pid()";
    let superuser = scene.node(member)?.superuser().await?;
    let under_way = async || {
        eventually("the read is under way", SOON, async || {
            (superuser.text(running).await.ok()? == "1").then_some(())
        })
        .await
    };
    let drained = reading(2).await?;
    under_way().await?;
    scene.order(&format!("/mark?member={member}&as=drain")).await?;
    scene.serve(&[("all", [0, 20])]).await?;
    scene.nobody_serves("sync").await?;
    drained.await?.context("what ran on a drained member was disturbed")?;
    scene.order(&format!("/mark?member={member}&as=up")).await?;
    scene.serve(&[("all", [10, 10])]).await?;
    let cut = reading(60).await?;
    under_way().await?;
    let ordered = now();
    scene.order(&format!("/mark?member={member}&as=down")).await?;
    ensure!(cut.await?.is_err(), "a minute has passed");
    ensure!(ordered.elapsed() < Duration::from_secs(1), "it was cut off {:?} later", ordered.elapsed());
    scene.serve(&[("all", [0, 20])]).await?;
    scene.order(&format!("/mark?member={member}&as=up")).await?;
    scene.serve(&[("all", [10, 10])]).await
}

async fn by_tags_and_lag(scene: &Scene) -> Result {
    let [near, heavy] = &scene.standbys;
    scene.node(near)?.tag(&json!({ "zone": "here", "purpose": "reports" })).await?;
    scene.node(heavy)?.tag(&json!({ "zone": "there", "weight": 3 })).await?;
    scene.serve(&[("all", [5, 15]), ("near", [20, 0]), ("reports", [20, 0]), ("reporting", [20, 0])]).await?;
    // It lags: far ones serve where no near one does, and those who do not mind go on with it.
    let leader = scene.stage.cluster.leader().await?.superuser().await?;
    leader.batch_execute("CREATE TABLE beats (at timestamptz)").await?;
    let beating = tokio::spawn(async move {
        while leader.batch_execute("INSERT INTO beats VALUES (now())").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    scene.node(near)?.freeze_replay().await?;
    scene.serve(&[("all", [0, 20]), ("near", [0, 20]), ("patient", [5, 15]), ("relaxed", [20, 0])]).await?;
    scene.nobody_serves("reports").await?;
    scene.nobody_serves("reporting").await?;
    scene.node(near)?.thaw_replay().await?;
    scene.serve(&[("all", [5, 15]), ("near", [20, 0]), ("reports", [20, 0])]).await?;
    beating.abort();
    Ok(())
}

/// One that joins others has an eighth of its share of reads at first.
async fn a_slow_start(scene: &Scene) -> Result {
    let member = &scene.standbys[1];
    scene.serve(&[("gentle", [5, 15])]).await?;
    order(&scene.gentle, &format!("/mark?member={member}&as=drain")).await?;
    scene.serve(&[("gentle", [20, 0])]).await?;
    order(&scene.gentle, &format!("/mark?member={member}&as=up")).await?;
    eventually("it serves reads again", SOON, async || {
        (scene.counts("gentle").await.ok()?[1] > 0).then_some(())
    })
    .await?;
    let [_, first] = scene.counts("gentle").await?;
    ensure!(first <= 10, "it has {first} of {READS} reads at once");
    scene.serve(&[("gentle", [5, 15])]).await
}

/// The synchronous standby must not be it any more, and the other one, which is it then, must not serve reads.
async fn by_tags_of_patroni(scene: &Scene) -> Result {
    let [first, second] = &scene.standbys;
    scene.node(first)?.tag(&json!({ "nosync": true })).await?;
    scene.serve(&[("sync", [0, 20]), ("async", [20, 0])]).await?;
    scene.node(second)?.tag(&json!({ "noloadbalance": true })).await?;
    scene.serve(&[("all", [20, 0]), ("async", [20, 0])]).await?;
    scene.nobody_serves("sync").await
}

/// No Patroni is there to hold the leader key, and nobody else would dare: an operator knows better.
async fn a_pinned_leader(scene: &mut Scene) -> Result {
    let writer = scene.client("writes").await?;
    let write = "INSERT INTO beats VALUES (now())";
    writer.batch_execute("CREATE TABLE beats_too (at timestamptz)").await?;
    let leader = scene.stage.cluster.leader().await?.name.clone();
    scene.no_standby_is_pinned(&leader).await?;
    for node in &mut scene.stage.cluster.nodes {
        node.kill_patroni().await?;
    }
    let key = format!("/service/{}/leader", scene.stage.cluster.options.scope);
    scene.stage.cluster.etcd.delete(&key).await?;
    eventually("pgsteer knows that the key is gone", SOON, async || {
        let answer = scene.stage.proxy.get("/ready?route=write").await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await?;
    let waiting =
        tokio::spawn(async move { writer.batch_execute(&write.replace("beats", "beats_too")).await });
    eventually("the write waits", SOON, async || {
        let waiting = scene.stage.proxy.metric("pgsteer_clients", "waiting").await.ok()?;
        (waiting >= 1.0).then_some(())
    })
    .await?;
    scene.order(&format!("/pin?member={leader}")).await?;
    tokio::time::timeout(Duration::from_secs(2), waiting)
        .await
        .context("it waits in spite of the pin")???;
    let shown = scene.stage.proxy.get("/leader").await?.json();
    ensure!(shown["pinned"]["member"] == *leader, "{shown}");
    scene.order("/unpin").await?;
    eventually("writes wait again", SOON, async || {
        let answer = scene.stage.proxy.get("/ready?route=write").await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await
}
