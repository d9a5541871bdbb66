//! Reads between two standbys, neither of which is excluded: who gets how many of them.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use pgsteer_testkit::{Client, Door, Link, Proxy, Release, Result, Sandbox, Server, eventually};

const SOON: Duration = Duration::from_secs(20);
/// Each way: many times what an answer takes on a busy machine.
const SLOW: Duration = Duration::from_millis(100);

/// Clients who read at once, and how often each of them does.
const CLIENTS: usize = 8;
const READS: usize = 10;
const ALL: usize = CLIENTS * READS;

const KEYS: &str = r#"
    [replicas]
    balance = "latency"
    slow_start = 0
    [clusters.trading]
    probe_interval = "100ms"
"#;

/// A leader and two standbys, each of which is reached by a link.
struct Trio {
    proxy: Proxy,
    links: [Link; 2],
    standbys: [Server; 2],
    _leader: Server,
    sandbox: Sandbox,
}

impl Trio {
    async fn start(keys: &str) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let leader = Server::start(&sandbox, Release::System, Door::Scram, "").await?;
        let standby = async |name, host| leader.standby(&sandbox, name, host, "").await;
        let standbys: [_; 2] = tokio::try_join!(standby("one", 21), standby("two", 22))?.into();
        let [one, two] = &standbys;
        let links = [Link::to(&sandbox, 31, one.address)?, Link::to(&sandbox, 32, two.address)?];
        let hosts = [leader.address, links[0].address, links[1].address].map(|host| format!("\"{host}\""));
        let keys = format!("{keys}hosts = [{}]\n", hosts.join(", "));
        let proxy = Proxy::before_all(&sandbox, "pgsteer", &[&leader, one, two], &keys).await?;
        Ok(Self { proxy, links, standbys, _leader: leader, sandbox })
    }

    /// How many reads of several clients at once each of the standbys serves.
    async fn counts(&self) -> Result<[usize; 2]> {
        let reader = async |_| {
            let client = Client::connect(&self.proxy.read_config()).await?;
            let mut from = Vec::new();
            for _ in 0..READS {
                from.push(client.text("SELECT host(inet_server_addr())").await?);
            }
            anyhow::Ok(from)
        };
        let from = try_join_all((0..CLIENTS).map(reader)).await?.concat();
        let of = |standby: &Server| {
            let address = standby.address.ip().to_string();
            from.iter().filter(|from| **from == address).count()
        };
        Ok(self.standbys.each_ref().map(of))
    }

    /// Waits until reads are shared so.
    async fn shares(&self, what: &str, fits: impl Fn([usize; 2]) -> bool) -> Result {
        let mut last = None;
        let waited = eventually(what, SOON, async || {
            let counts = self.counts().await;
            let fit = counts.as_ref().is_ok_and(|counts| fits(*counts));
            last = Some(counts);
            fit.then_some(())
        });
        waited.await.with_context(|| format!("it is {last:?} of {ALL}"))
    }
}

/// By what their probes take. A slow one is not excluded, and what makes it slow may pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_standby_has_few_reads_until_it_is_fast_again() -> Result {
    let mut trio = Trio::start(KEYS).await?;
    let played = async {
        let both = |counts: [usize; 2]| counts.iter().all(|count| *count >= ALL / 8);
        trio.shares("both have their share", both).await?;
        trio.links[0].slow_down(SLOW);
        trio.shares("the slow one has few", |counts| counts[0] <= ALL / 40).await?;
        let qualify = trio.proxy.metric("pgsteer_member_qualifies", "").await?;
        ensure!(qualify == 2.0, "{qualify} standbys qualify");
        trio.links[0].mend();
        trio.shares("both have their share again", both).await
    };
    played.await.inspect_err(|_| eprintln!("{}", trio.sandbox.logs(40)))
}
