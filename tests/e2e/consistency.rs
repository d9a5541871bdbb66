//! Reads that must see what was committed (`consistency`), on a leader and standbys that are held back.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Proxy, Release, Result, Sandbox, Server, connection_string, eventually,
    now, sqlstate,
};

const SOON: Duration = Duration::from_secs(20);

/// The trader's reads must see what it has written, those of the superuser need not.
const KEYS: &str = r#"
    [pool]
    consistency_wait = "300ms"
    [users.trader]
    consistency = "session"
"#;

/// Where a statement runs.
const HERE: &str = "current_setting('in_hot_standby')";

/// The standby's settings; its log says how it was asked.
const HELD_BACK: &str = "recovery_min_apply_delay = 30ms\nlog_statement = all\n";

struct Pair {
    proxy: Proxy,
    leader: Server,
    standby: Server,
    sandbox: Sandbox,
}

impl Pair {
    async fn start(release: Release, overrides: &str) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let leader = Server::start(&sandbox, release, Door::Scram, "").await?;
        let superuser = superuser(&leader).await?;
        superuser
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, n bigint NOT NULL);
                 INSERT INTO t SELECT id, 0 FROM generate_series(1, 16) AS id; GRANT ALL ON t TO trader",
            )
            .await?;
        let standby = leader.standby(&sandbox, "standby", 21, HELD_BACK).await?;
        let proxy = Proxy::before_all(&sandbox, "pgsteer", &[&leader, &standby], overrides).await?;
        Ok(Self { proxy, leader, standby, sandbox })
    }

    /// A client of the listener that splits, once reads come from the standby.
    async fn client(&self, login: Login) -> Result<Client> {
        let client = Client::connect(&connection_string(self.proxy.split, login, Cluster::DATABASE)).await?;
        let here = format!("SELECT {HERE}");
        eventually("reads come from the standby", SOON, async || {
            (client.text(&here).await.ok()? == "on").then_some(())
        })
        .await?;
        Ok(client)
    }
}

/// The superuser of the application's database, directly.
async fn superuser(server: &Server) -> Result<Client> {
    Client::connect(&connection_string(server.address, Login::POSTGRES, Cluster::DATABASE)).await
}

/// The SQLSTATE that a query is refused with.
async fn refused(client: &Client, sql: &str) -> String {
    client.simple_query(sql).await.err().map_or_else(|| "nothing".to_owned(), |error| sqlstate(&error))
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    rounds: u32,
    stale: u32,
    on_standby: u32,
}

/// Writes and reads the same row in turn for a while, as fast as that goes.
async fn write_and_read(client: &Client, id: i32, during: Duration) -> Result<Count> {
    let write = client.prepare("UPDATE t SET n = n + 1 WHERE id = $1 RETURNING n").await?;
    let read = client.prepare(&format!("SELECT n, {HERE} FROM t WHERE id = $1")).await?;
    let (mut count, begun) = (Count::default(), now());
    while now() - begun < during {
        let written: i64 = client.query_one(&write, &[&id]).await?.get(0);
        let row = client.query_one(&read, &[&id]).await?;
        count.rounds += 1;
        count.stale += u32::from(row.get::<_, i64>(0) < written);
        count.on_standby += u32::from(row.get::<_, &str>(1) == "on");
    }
    Ok(count)
}

/// Four clients at once; all of what they count.
async fn many(pair: &Pair, login: Login, first: i32, during: Duration) -> Result<Count> {
    let one = async |id| write_and_read(&pair.client(login).await?, id, during).await;
    let (a, b, c, d) = tokio::try_join!(one(first), one(first + 1), one(first + 2), one(first + 3))?;
    Ok([a, b, c, d].into_iter().fold(Count::default(), |sum, count| Count {
        rounds: sum.rounds + count.rounds,
        stale: sum.stale + count.stale,
        on_standby: sum.on_standby + count.on_standby,
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_read_what_they_have_written() -> Result {
    let pair = Pair::start(Release::System, KEYS).await?;
    read_what_they_have_written(&pair).await.with_context(|| pair.sandbox.logs(40))
}

/// From 19 on the standby waits by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_read_what_they_have_written_with_postgresql_19() -> Result {
    let pair = Pair::start(Release::Nineteen, KEYS).await?;
    let played = async {
        read_what_they_have_written(&pair).await?;
        let log = pair.standby.log();
        ensure!(log.contains("WAIT FOR LSN"), "the standby was never asked to wait");
        ensure!(!log.contains("ERROR"), "the standby refused something");
        Ok(())
    };
    played.await.with_context(|| pair.sandbox.logs(40))
}

async fn read_what_they_have_written(pair: &Pair) -> Result {
    let during = Duration::from_millis(1500);
    let eventual = many(pair, Login::POSTGRES, 1, during).await?;
    let session = many(pair, Login::TRADER, 5, during).await?;
    println!("eventual: {eventual:?}; session: {session:?}");
    ensure!(eventual.stale > 0, "nothing was stale: {eventual:?}");
    ensure!(session.stale == 0, "stale reads: {session:?}");
    ensure!(session.on_standby > 0, "no read waited for the standby: {session:?}");
    let waited = pair.proxy.metric("pgsteer_consistent_reads_total", "waited").await?;
    ensure!(waited > 0.0);
    // A replica that does not come any further: the leader reads.
    superuser(&pair.standby).await?.text("SELECT pg_wal_replay_pause()::text").await?;
    let client = Client::connect(&pair.proxy.split_config()).await?;
    let held = write_and_read(&client, 9, Duration::from_millis(500)).await?;
    ensure!(held.stale == 0 && held.on_standby == 0 && held.rounds > 0, "{held:?}");
    ensure!(pair.proxy.metric("pgsteer_consistent_reads_total", "leader").await? > 0.0);
    tokens_are_handed_over(pair).await
}

/// What one connection has written another must see, on another listener of another pgsteer. The standby's replay is paused.
async fn tokens_are_handed_over(pair: &Pair) -> Result {
    let servers = [&pair.leader, &pair.standby];
    // What is asked for may lie a little behind the commit, where nobody but the WAL writer flushes it (wal_writer_delay, 200 ms);
    // and here only a replica may read.
    let keys = KEYS.replace("\"session\"", "\"global\"").replace("300ms", "700ms");
    let other = Proxy::before_all(&pair.sandbox, "other", &servers, &keys).await?;
    let writer = Client::connect(&pair.proxy.write_config()).await?;
    let reader = Client::connect(&other.read_config()).await?;
    let read = "SELECT n::text FROM t WHERE id = 10";
    writer.batch_execute("UPDATE t SET n = 4711 WHERE id = 10").await?;
    ensure!(reader.text(read).await? == "0", "the standby replays although it is paused");
    let token = writer.text("SHOW pgsteer.token").await?;
    let shown = writer.prepare("SELECT current_setting('pgsteer.token')").await?;
    for _ in 0..3 {
        let again: String = writer.query_one(&shown, &[]).await?.get(0);
        ensure!(
            again.split('/').count() == 4 && again.starts_with(token.split('/').next().unwrap_or("?")),
            "{again}"
        );
    }
    reader.batch_execute(&format!("SET pgsteer.wait_for = '{token}'")).await?;
    let late = refused(&reader, read).await;
    ensure!(late == "57014", "nobody could show that: {late}");
    let waiting = reader.text(read);
    let resume = async {
        tokio::time::sleep(Duration::from_millis(100)).await; // it waits by then, or sees it at once
        superuser(&pair.standby).await?.text("SELECT pg_wal_replay_resume()::text").await
    };
    let (read_at_last, resumed) = tokio::join!(waiting, resume);
    resumed?;
    ensure!(read_at_last? == "4711");
    reader.batch_execute("RESET pgsteer.wait_for").await?;
    ensure!(reader.text(read).await? == "4711");
    let unread = reader.batch_execute("SET pgsteer.wait_for = 'nonsense'").await;
    ensure!(unread.is_ok());
    let told = refused(&reader, read).await;
    ensure!(told == "22023", "{told}");
    ensure!(reader.text(read).await? == "4711", "it was told twice");
    others_see_it(&other).await
}

/// What one client was told to be committed, all others see, on whichever listener.
async fn others_see_it(proxy: &Proxy) -> Result {
    let writer = Client::connect(&proxy.write_config()).await?;
    let readers = [proxy.read_config(), proxy.split_config()];
    let readers = [Client::connect(&readers[0]).await?, Client::connect(&readers[1]).await?];
    let (begun, mut rounds) = (now(), 0);
    while now() - begun < Duration::from_secs(1) {
        let written = writer.text("UPDATE t SET n = n + 1 WHERE id = 11 RETURNING n::text").await?;
        for reader in &readers {
            let seen = reader.text("SELECT n::text FROM t WHERE id = 11").await?;
            ensure!(seen == written, "{seen} was read, and {written} committed");
        }
        rounds += 1;
    }
    ensure!(rounds > 0);
    Ok(())
}

/// The leader dies with a write that the standby which succeeds it has not got.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_write_is_told_of() -> Result {
    let mut pair = Pair::start(Release::System, "").await?;
    let played = async {
        let third = pair.leader.standby(&pair.sandbox, "third", 22, "").await?;
        let servers = [&pair.leader, &pair.standby, &third];
        let keys = "[pool]\nconsistency = \"session\"\n";
        let proxy = Proxy::before_all(&pair.sandbox, "other", &servers, keys).await?;
        let client = Client::connect(&proxy.split_config()).await?;
        let witness = Client::connect(&proxy.split_config()).await?;
        client.batch_execute("UPDATE t SET n = 1 WHERE id = 1").await?;
        witness.batch_execute("UPDATE t SET n = 1 WHERE id = 2").await?;
        let successor = superuser(&pair.standby).await?;
        let caught_up = "SELECT (n = 1)::text FROM t WHERE id = 2";
        eventually("the standby has it", SOON, async || {
            (successor.text(caught_up).await.ok()? == "true").then_some(())
        })
        .await?;
        successor.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await?;
        successor.text("SELECT pg_reload_conf()::text").await?;
        let receivers = "SELECT count(*)::text FROM pg_stat_wal_receiver";
        eventually("it receives nothing more", SOON, async || {
            (successor.text(receivers).await.ok()? == "0").then_some(())
        })
        .await?;
        client.batch_execute("UPDATE t SET n = 2 WHERE id = 1").await?;
        pair.leader.kill9().await?;
        successor.text("SELECT pg_promote()::text").await?;
        let read = "SELECT n::text FROM t WHERE id = 1";
        let told = refused(&client, read).await;
        ensure!(told == "PS001", "the client was told {told}");
        ensure!(client.text(read).await? == "1", "that is what is left");
        // Of what nobody has lost nobody hears.
        ensure!(witness.text("SELECT n::text FROM t WHERE id = 2").await? == "1");
        ensure!(proxy.metric("pgsteer_lost_writes_total", "lost").await? == 1.0);
        Ok(())
    };
    played.await.with_context(|| pair.sandbox.logs(40))
}
