//! The leader is lost in the middle of commits (`commit_fate`): what clients are told of them is so.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Kind, Login, Options, Plan, Release, Result, Single, Verdict, Workload,
    connection_string, eventually, scenario_with,
};

use crate::outcome::PATRONI;

const INQUISITIVE: &str = "[pool]\ncommit_fate = true\n";
const FATES: &str = "pgsteer_commit_fates_total";

/// Commits that wait for a standby which has stopped: their transactions have said what is to be known of them. Then their
/// leader dies, and the standby takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_node_dies_while_commits_wait() -> Result {
    let plan = Plan { writers: 24, readers: 0, idle: 0, ..Plan::default() };
    scenario_with(Options::default(), INQUISITIVE, async |stage| {
        let load = Workload::start(&stage.proxy.write_config(), &stage.proxy.read_config(), plan).await?;
        let old = stage.cluster.leader().await?.name.clone();
        let standby = stage.cluster.sync_standby().await?.name.clone();
        stage.cluster.node(&standby)?.freeze().await?;
        let leader = stage.cluster.node(&old)?.superuser().await?;
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ILIKE 'commit'";
        eventually("commits of transaction blocks wait", Duration::from_secs(5), async || {
            let count: usize = leader.text(waiting).await.ok()?.parse().ok()?;
            (count >= usize::from(plan.writers) / 2).then_some(())
        })
        .await?;
        let killed = stage.cluster.node(&old)?.kill9().await?;
        stage.cluster.node(&standby)?.thaw().await?;
        let what = "writes go on";
        eventually(what, PATRONI, async || load.first_write_after(killed + Duration::from_secs(1))).await?;

        let report = load.finish().await?;
        let leader = stage.cluster.leader().await?.name.clone();
        let leader = stage.cluster.node(&leader)?.config(Login::TRADER, Cluster::DATABASE);
        let verdict = Verdict::of(&report, &Client::connect(&leader).await?).await?;
        let [committed, not, unknown] = fates(async |label| stage.proxy.metric(FATES, label).await).await?;
        println!("{verdict:?}; {committed} committed, {not} not, {unknown} unknown");
        print!("{}", report.complaints(killed));
        ensure!(verdict.is_good(), "{verdict:?}");
        let in_block = |client: u16| !client.is_multiple_of(2);
        let mut failures = report.failures.iter().filter(|failure| failure.kind == Kind::Write);
        let untold = failures.find(|failure| in_block(failure.client) && failure.is_unknown());
        ensure!(untold.is_none(), "a client was not told what became of its commit: {untold:?}");
        ensure!(committed + not >= f64::from(plan.writers) / 2.0, "who was asked?");
        Ok(())
    })
    .await
}

/// How many commits were asked about, by what was found out.
async fn fates(metric: impl AsyncFn(&str) -> Result<f64>) -> Result<[f64; 3]> {
    Ok([
        metric("outcome=\"committed\"").await?,
        metric("outcome=\"not_committed\"").await?,
        metric("outcome=\"unknown\"").await?,
    ])
}

/// A table whose rows make commits take as many seconds as they say.
const SLOW: &str = "CREATE TABLE slow (a int); CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(NEW.a); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION sleeps()";

/// A commit that takes a second (a deferred trigger), and a server that crashes meanwhile and comes back: the client hears that
/// nothing was committed, and goes on. Before that, whatever way a client commits, nothing of what is asked reaches it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_crashes_in_a_commit_and_comes_back() -> Result {
    let single = Single::start(Release::System, Door::Open, "", INQUISITIVE).await?;
    let direct = connection_string(single.server.address, Login::TRADER, Cluster::DATABASE);
    let proxied = single.proxy.write_config();
    let client = Client::connect(&proxied).await?;
    client.batch_execute(SLOW).await?;
    let commit = client.prepare("COMMIT").await?;
    for extended in [false, true, true] {
        client.batch_execute("BEGIN; INSERT INTO slow VALUES (0)").await?;
        if extended {
            ensure!(client.execute(&commit, &[]).await? == 0);
        } else {
            client.batch_execute("COMMIT").await?;
        }
        client.batch_execute("BEGIN").await?;
        client.batch_execute("COMMIT").await?;
    }
    ensure!(client.text("SELECT count(*) FROM slow").await? == "3");
    ensure!(client.take_notices().is_empty());
    let log = single.server.log();
    ensure!(!log.contains("ERROR"), "{log}");

    ensure!(client.text(LAST).await?.starts_with("committed "), "{}", client.text(LAST).await?);
    ensure!(client.execute("SELECT 1", &[]).await? == 1);
    let prepared = client.query_one("SELECT current_setting('pgsteer.last_commit')", &[]).await?;
    ensure!(prepared.get::<_, &str>(0).starts_with("committed "), "{prepared:?}");

    // A statement by itself, by the extended protocol.
    let other = Client::connect(&proxied).await?;
    let insert = other.prepare("INSERT INTO slow VALUES ($1)").await?;
    for _ in 0..2 {
        ensure!(other.execute(&insert, &[&0]).await? == 1);
        ensure!(other.text(LAST).await?.starts_with("committed "), "{}", other.text(LAST).await?);
    }
    let refused = other.execute("INSERT INTO slow SELECT 1 / $1", &[&0]).await;
    ensure!(refused.is_err_and(|error| error.code().is_some_and(|code| code.code() == "22012")));
    ensure!(other.text(LAST).await?.starts_with("aborted"), "{}", other.text(LAST).await?);
    let rows = client.text("SELECT count(*) FROM slow").await?;

    client.batch_execute("BEGIN").await?;
    client.batch_execute("INSERT INTO slow VALUES (10)").await?;
    ensure!(client.text(LAST).await?.starts_with("in progress: nothing"), "{}", client.text(LAST).await?);
    let crash = async {
        let watching = Client::connect(&direct).await?;
        let sleeps = "SELECT max(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' HAVING count(*) = 2";
        let what = "the commits are under way";
        let pid = eventually(what, Duration::from_secs(5), async || watching.text(sleeps).await.ok()).await?;
        single.server.kill_backend(pid.parse()?)
    };
    let (committed, alone, crashed) =
        tokio::join!(client.batch_execute("COMMIT"), other.execute(&insert, &[&10]), crash);
    crashed?;
    for (client, told) in [(&client, committed.err()), (&other, alone.err())] {
        let Some(told) = told else { anyhow::bail!("it was committed") };
        let (state, words) = client.words(&told);
        ensure!(state == "40001" && !client.is_over(&told), "the client was told: {words}");
        ensure!(client.text("SELECT count(*) FROM slow").await? == rows, "it was committed after all");
    }
    let fates = fates(async |label| single.proxy.metric(FATES, label).await).await?;
    ensure!(fates == [0.0, 2.0, 0.0], "{fates:?}");
    ensure!(client.text(LAST).await?.starts_with("aborted "), "{}", client.text(LAST).await?);
    Ok(())
}

const LAST: &str = "SHOW pgsteer.last_commit";

/// Clients whose connections break in a commit: what they hear on another is so, and what is asked is in order for the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_ask_on_another_connection() -> Result {
    let single = Single::start(Release::System, Door::Open, "", INQUISITIVE).await?;
    let proxied = single.proxy.write_config();
    let client = Client::connect(&proxied).await?;
    client.batch_execute(SLOW).await?;
    ensure!(client.text(LAST).await?.starts_with("unknown: it could not be asked"), "CREATE was not asked");
    // A moment longer than the grace of those that are gone, the other is cancelled.
    for (seconds, expected) in [(1, "committed"), (8, "aborted")] {
        let gone = Client::connect(&proxied).await?;
        gone.batch_execute("BEGIN").await?;
        gone.batch_execute(&format!("INSERT INTO slow VALUES ({seconds})")).await?;
        let handle = gone.session().map(str::to_owned).context("it was told nothing")?;
        ensure!(gone.text("SHOW pgsteer.session").await? == handle);
        let (lost, ()) = tokio::join!(gone.batch_execute("COMMIT"), async {
            let sleeps = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            let waits = "the commit is under way";
            let _seen =
                eventually(waits, Duration::from_secs(5), async || client.text(sleeps).await.ok()).await;
            gone.vanish();
        });
        ensure!(lost.is_err(), "it has heard {lost:?}");
        let asking = Client::connect(&proxied).await?;
        ensure!(asking.text(LAST).await?.is_empty(), "it has committed nothing itself");
        let in_block = "BEGIN; SET LOCAL pgsteer.last_commit_of = 'x'";
        asking.batch_execute(in_block).await?;
        ensure!(asking.text(LAST).await?.starts_with("unknown: pgsteer.last_commit_of was set in this"));
        asking.batch_execute("ROLLBACK").await?;
        asking.batch_execute(&format!("SET pgsteer.last_commit_of = '{handle}'")).await?;
        let first = asking.text(LAST).await?;
        ensure!(first.starts_with("in progress ") || first.starts_with(expected), "{first}");
        let told = eventually("it is decided", Duration::from_secs(10), async || {
            asking.text(LAST).await.ok().filter(|told| !told.starts_with("in progress "))
        })
        .await?;
        let rows = client.text(&format!("SELECT count(*) FROM slow WHERE a = {seconds}")).await?;
        ensure!(told.starts_with(expected), "{told}");
        ensure!((rows == "1") == (expected == "committed"), "{rows} rows, and it is told {told}");
    }
    let log = single.server.log();
    let ours = |line: &&str| line.contains("ERROR") && !line.contains("canceling statement");
    ensure!(log.lines().filter(ours).count() == 0, "{log}");
    Ok(())
}

/// Commits that wait for a standby which never comes: a server that is told to end there has committed and warns of it, and
/// the client hears both. So does one whose wait is cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_told_to_end_while_its_commit_waits() -> Result {
    let single = Single::start(Release::System, Door::Open, "", INQUISITIVE).await?;
    let proxied = single.proxy.write_config();
    let [client, other] = [Client::connect(&proxied).await?, Client::connect(&proxied).await?];
    client.batch_execute("CREATE TABLE waiting (a int)").await?;
    // One server of theirs was there before the transactions, and can tell.
    for step in ["BEGIN", "SELECT 1", "ROLLBACK"] {
        tokio::try_join!(client.batch_execute(step), other.batch_execute(step))?;
    }
    let admin = single.server.superuser().await?;
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    for (signal, warning) in [
        ("pg_cancel_backend", "canceling wait for synchronous replication due to user request"),
        ("pg_terminate_backend", "canceling the wait for synchronous replication and terminating connection"),
    ] {
        let rows = client.text("SELECT count(*) + 1 FROM waiting").await?;
        let stop = format!("SELECT {signal}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        // The server may not have heard of the setting so far.
        eventually("a commit waits", Duration::from_secs(10), async || {
            client.batch_execute("BEGIN; TRUNCATE waiting").await.ok()?;
            client
                .batch_execute(&format!("INSERT INTO waiting SELECT generate_series(1, {rows})"))
                .await
                .ok()?;
            let stopping =
                eventually("it waits", Duration::from_secs(1), async || admin.text(&stop).await.ok());
            let (committed, stopped) = tokio::join!(client.batch_execute("COMMIT"), stopping);
            committed.ok()?;
            stopped.ok().filter(|stopped| stopped == "t")
        })
        .await?;
        let notices = client.take_notices();
        ensure!(notices.iter().any(|notice| notice.contains(warning)), "{signal}: {notices:?}");
        ensure!(client.text("SELECT count(*) FROM waiting").await? == rows, "{signal}: it is not committed");
    }
    let fates = fates(async |label| single.proxy.metric(FATES, label).await).await?;
    ensure!(fates == [1.0, 0.0, 0.0], "{fates:?}");
    Ok(())
}
