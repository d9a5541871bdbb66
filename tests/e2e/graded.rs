//! Replicas while reads run there: one falls silent, one lags, one replays what is in the way (`retry_reads`).

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use futures_util::StreamExt as _;
use pgsteer_testkit::{
    Client, Cluster, Door, Link, Login, Options, Proxy, Release, Result, Sandbox, Server, connection_string,
    eventually, now, scenario_with,
};
use tokio::task::JoinHandle;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

use crate::outcome::PATRONI;

const SOON: Duration = Duration::from_secs(20);
/// One question in vain, the next one, and what a busy machine needs: then a silent replica is given up.
const GIVEN_UP: Duration = Duration::from_secs(5);

const KEYS: &str = r#"
    [replicas]
    retry_reads = "conflicts"
    slow_start = 0
    lag_time_max = "500ms"
    [clusters.trading]
    probe_interval = "100ms"
    probe_timeout = "500ms"
"#;

/// A function that takes its time, of which everybody can know that it only reads.
const TAKES: &str = "
    CREATE FUNCTION takes(seconds float) RETURNS text STABLE LANGUAGE plpgsql
        AS $$BEGIN PERFORM pg_sleep(seconds); RETURN 'took'; END$$";
const TABLE: &str = "CREATE TABLE t AS SELECT generate_series(1, 1000) AS a; GRANT SELECT ON t TO trader";

/// The standby that cancels at once what is in the way of its replay, at the end of a link; and the one that waits.
const HASTY: usize = 0;
const PATIENT: usize = 1;

/// Reads prefer the asynchronous standby.
const ASYNC_FIRST: &str = "[replicas]\nsync_standbys = \"avoid\"\nslow_start = 0\n";

struct Trio {
    proxy: Proxy,
    link: Link,
    standbys: [Server; 2],
    leader: Server,
    sandbox: Sandbox,
    reads: AtomicU32,
}

impl Trio {
    async fn start() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let leader = Server::start(&sandbox, Release::System, Door::Scram, "autovacuum = off\n").await?;
        let owner = superuser(&leader).await?;
        owner.batch_execute(TAKES).await?;
        owner.batch_execute(TABLE).await?;
        let delay = |delay: i32| format!("max_standby_streaming_delay = {delay}\n");
        let (hasty, patient) = (delay(0), delay(-1));
        let hasty = leader.standby(&sandbox, "hasty", 21, &hasty);
        let standbys: [_; 2] =
            tokio::try_join!(hasty, leader.standby(&sandbox, "patient", 22, &patient))?.into();
        let [hasty, patient] = &standbys;
        let link = Link::to(&sandbox, 31, hasty.address)?;
        let hosts = [leader.address, link.address, patient.address].map(|host| format!("\"{host}\""));
        let keys = format!("{KEYS}hosts = [{}]\n", hosts.join(", "));
        let proxy = Proxy::before_all(&sandbox, "pgsteer", &[&leader, hasty, patient], &keys).await?;
        let trio = Self { proxy, link, standbys, leader, sandbox, reads: AtomicU32::new(0) };
        trio.reads_come_from(&[HASTY, PATIENT]).await?;
        let [hasty, patient] = &trio.standbys;
        let standbys = [hasty.superuser().await?, patient.superuser().await?];
        functions_are_known(&trio.proxy, &standbys).await?;
        Ok(trio)
    }

    /// Where statements run whose text contains this.
    async fn place(&self, text: &str, state: &str) -> Option<usize> {
        for (place, standby) in self.standbys.iter().enumerate() {
            let found = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{text}%' AND state = '{state}' \
                 AND pid <> pg_backend_pid()"
            );
            if standby.superuser().await.ok()?.text(&found).await.ok()? != "0" {
                return Some(place);
            }
        }
        None
    }

    /// A read that is under way on one of the standbys: a client's, who does something before. What it yields in the end.
    async fn under_way(&self, place: usize, before: &str, sql: &str) -> Result<JoinHandle<Result<String>>> {
        for _ in 0..8 {
            let client = Client::connect(&self.proxy.read_config()).await?;
            let number = self.reads.fetch_add(1, Ordering::Relaxed);
            let (before, sql) = (before.to_owned(), format!("/* read {number}. */ {sql}"));
            let reading = tokio::spawn(async move {
                if !before.is_empty() {
                    client.batch_execute(&before).await?;
                }
                client.text(&sql).await
            });
            let text = format!("/* read {number}. */");
            let begun = async || self.place(&text, "active").await;
            if eventually("the read is under way", SOON, begun).await? == place {
                return Ok(reading);
            }
            reading.abort();
        }
        bail!("eight reads in a row went to the other standby")
    }

    /// The same for one of which its client has got a row.
    async fn half_read(&self, place: usize) -> Result<HalfRead> {
        // PostgreSQL sends what it has when it has 8 kB.
        let sql = "SELECT host(inet_server_addr()), CASE WHEN a < 3 THEN repeat('x', 20000) ELSE takes(4) END \
                   FROM generate_series(1, 3) a";
        for _ in 0..8 {
            let client = Client::connect(&self.proxy.read_config()).await?;
            let mut half = HalfRead { rows: Box::pin(client.simple_query_raw(sql).await?), client };
            if half.next().await? == self.standbys[place].address.ip().to_string() {
                return Ok(half);
            }
        }
        bail!("eight reads in a row went to the other standby")
    }

    /// Waits until ten reads in a row come from these, each of them, and no other.
    async fn reads_come_from(&self, places: &[usize]) -> Result {
        let wanted: BTreeSet<_> =
            places.iter().map(|place| self.standbys[*place].address.ip().to_string()).collect();
        let client = Client::connect(&self.proxy.read_config()).await?;
        let come = async || {
            let mut seen = BTreeSet::new();
            for _ in 0..10 {
                seen.insert(client.text("SELECT host(inet_server_addr())").await.ok()?);
            }
            (seen == wanted).then_some(())
        };
        eventually(&format!("reads come from {wanted:?}"), SOON, come).await
    }

    async fn retries(&self, cause: &str) -> Result<f64> {
        self.proxy.metric("pgsteer_read_retries_total", cause).await
    }
}

/// The superuser of the application's database, directly.
async fn superuser(server: &Server) -> Result<Client> {
    Client::connect(&connection_string(server.address, Login::POSTGRES, Cluster::DATABASE)).await
}

/// Waits until it was learnt what functions do, behind the first reads: until a read whose backend was killed runs again.
async fn functions_are_known(proxy: &Proxy, standbys: &[Client]) -> Result {
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE state = 'active' AND query = 'SELECT takes(0.5)'";
    let killed = async || {
        for standby in standbys {
            if standby.text(kill).await.ok()? == "1" {
                return Some(());
            }
        }
        None
    };
    eventually("a killed read runs again", SOON, async || {
        let reader = Client::connect(&proxy.read_config()).await.ok()?;
        let _ = tokio::join!(reader.text("SELECT takes(0.5)"), eventually("it runs", SOON, killed));
        (proxy.metric("pgsteer_read_retries_total", "server_gone").await.ok()? > 0.0).then_some(())
    })
    .await
}

/// Checks that a read ends with an error whose words contain one of these.
fn is_told(read: Result<String>, expected: &[&str]) -> Result {
    let told = format!("{:#}", read.err().context("it was answered")?);
    ensure!(expected.iter().any(|expected| told.contains(expected)), "told {told}, none of {expected:?}");
    Ok(())
}

/// A read of which its client has a part.
struct HalfRead {
    client: Client,
    rows: Pin<Box<SimpleQueryStream>>,
}

impl HalfRead {
    /// Until it ends or fails.
    async fn rest(&mut self) -> Result<String> {
        self.next().await?;
        self.next().await
    }

    /// The first value of the next row.
    async fn next(&mut self) -> Result<String> {
        loop {
            let message = self.rows.next().await.context("no more rows")?;
            let message = message.map_err(|error| anyhow!(self.client.words(&error).1))?;
            if let SimpleQueryMessage::Row(row) = message {
                return row.get(0).map(str::to_owned).context("no value");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_under_running_reads() -> Result {
    let mut trio = Trio::start().await?;
    let played = async {
        a_silent_replica_is_given_up(&mut trio).await.context("silent")?;
        conflicts_and_lag(&trio).await.context("in conflict")
    };
    played.await.inspect_err(|_| eprintln!("{}", trio.sandbox.logs(40)))
}

/// Its connections stay open, and nothing comes. Reads that returned nothing run elsewhere, others hear the truth.
async fn a_silent_replica_is_given_up(trio: &mut Trio) -> Result {
    let plain = trio.under_way(HASTY, "", "SELECT takes(1) || count(*) FROM t").await?;
    let volatile = trio.under_way(HASTY, "", "SELECT takes(1) || random()").await?;
    let in_block = trio.under_way(HASTY, "BEGIN READ ONLY", "SELECT takes(1)").await?;
    let mut half = trio.half_read(HASTY).await?;
    let unharmed = trio.under_way(PATIENT, "", "SELECT takes(2)").await?;
    let silent = trio.link.fall_silent().await?;
    let plain = plain.await??;
    ensure!(plain == "took1000", "{plain}");
    is_told(volatile.await?, &["08007"])?;
    is_told(in_block.await?, &["57P01"])?;
    // (In the middle of a message nothing can be said.)
    is_told(half.rest().await, &["08007", "connection closed", "error communicating"])?;
    let took = now() - silent;
    println!("given up, and read elsewhere, after {took:?}");
    ensure!(took < GIVEN_UP, "it took {took:?}");
    ensure!(unharmed.await?? == "took", "a read on the other replica was disturbed");
    ensure!(trio.retries("cut_off").await? == 1.0, "how many were run again?");
    trio.reads_come_from(&[PATIENT]).await?;
    trio.link.mend();
    trio.reads_come_from(&[HASTY, PATIENT]).await
}

/// What is read on both is in the way of what both replay: one cancels the read, which the other runs again, where replay
/// waits meanwhile. So that one lags, gets no new reads, and those that run end.
async fn conflicts_and_lag(trio: &Trio) -> Result {
    let hasty = trio.under_way(HASTY, "", "SELECT takes(2) || count(*) FROM t").await?;
    let patient = trio.under_way(PATIENT, "", "SELECT takes(5) || count(*) FROM t").await?;
    let mut half = trio.half_read(HASTY).await?;
    let leader = superuser(&trio.leader).await?;
    leader.batch_execute("DELETE FROM t").await?;
    leader.batch_execute("VACUUM t").await?;
    is_told(half.rest().await, &["40001"])?;
    trio.reads_come_from(&[HASTY]).await.context("the lagging one has new reads")?;
    ensure!(!patient.is_finished(), "that took longer than the read on the lagging one");
    ensure!(patient.await?? == "took1000", "a read on a lagging replica was disturbed");
    let again = hasty.await??;
    ensure!(again.starts_with("took"), "{again}");
    ensure!(trio.retries("conflict").await? == 1.0, "how many were run again?");
    trio.reads_come_from(&[HASTY, PATIENT]).await
}

/// Whoever hangs is not known to be dead as long as its Patroni keeps its record, which ends with `ttl` here. Then what runs
/// there is cut off, and read elsewhere where that may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_is_given_up_with_its_record() -> Result {
    scenario_with(Options::default(), ASYNC_FIRST, async |stage| {
        let owner = Client::connect(&stage.proxy.write_config()).await?;
        owner.batch_execute(TAKES).await?;
        stage.cluster.caught_up(SOON).await?;
        let frozen = stage.cluster.async_standby().await?;
        let address = frozen.address.ip().to_string();
        crate::reads::eventually_reads_from(stage, &address).await?;
        let standbys = [frozen.superuser().await?, stage.cluster.sync_standby().await?.superuser().await?];
        functions_are_known(&stage.proxy, &standbys).await?;
        let under_way =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT takes%'";
        let begin = async |sql: &'static str| {
            let client = Client::connect(&stage.proxy.read_config()).await?;
            anyhow::Ok(tokio::spawn(async move { client.text(sql).await }))
        };
        let plain = begin("SELECT takes(3)").await?;
        let volatile = begin("SELECT takes(3) || random()").await?;
        eventually("both reads are under way", SOON, async || {
            (standbys[0].text(under_way).await.ok()? == "2").then_some(())
        })
        .await?;
        let since = frozen.freeze().await?;
        ensure!(plain.await?? == "took");
        println!("read elsewhere after {:?}", since.elapsed());
        is_told(volatile.await?, &["08007"])?;
        ensure!(since.elapsed() < PATRONI, "it took {:?}", since.elapsed());
        ensure!(stage.proxy.metric("pgsteer_read_retries_total", "cut_off").await? == 1.0);
        frozen.thaw().await?;
        crate::reads::eventually_reads_from(stage, &address).await
    })
    .await
}
