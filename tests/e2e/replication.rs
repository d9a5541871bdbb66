//! Replication connections: backups, WAL and logical changes, through pgsteer as from the server itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Options, Part, Release, Result, Single, connection_string, eventually, now,
    scenario_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A program of PostgreSQL's against pgsteer, in a folder of its own.
fn command(stage: &Single, part: &Part, program: &str, arguments: &[&str]) -> tokio::process::Command {
    let to = stage.proxy.write;
    let mut command = part.command(&stage.server.programs.join(program));
    command.args(["-h", &to.ip().to_string(), "-p", &to.port().to_string(), "-U", Login::TRADER.user]);
    command.args(arguments).env("PGPASSWORD", Login::TRADER.password);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command
}

/// Runs one to its end.
async fn run(stage: &Single, part: &Part, program: &str, arguments: &[&str]) -> Result<String> {
    let running = command(stage, part, program, arguments).output();
    let output =
        tokio::time::timeout(Duration::from_secs(60), running).await.context(program.to_owned())??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A superuser of the application's database, directly.
async fn superuser(stage: &Single) -> Result<Client> {
    Client::connect(&connection_string(stage.server.address, Login::POSTGRES, Cluster::DATABASE)).await
}

/// What PostgreSQL's own programs do, each to its end and checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_and_streams() -> Result {
    let stage = Single::start(Release::System, Door::Scram, "", "").await?;
    let played = async {
        let part = stage.sandbox.part("replication")?;
        let superuser = superuser(&stage).await?;
        superuser.batch_execute("CREATE TABLE t (n int PRIMARY KEY); ALTER TABLE t OWNER TO trader").await?;
        base_backup(&stage, &part).await?;
        receive_wal(&stage, &part, &superuser).await?;
        receive_logical(&stage, &part, &superuser).await
    };
    played.await.with_context(|| stage.sandbox.logs(40))
}

async fn base_backup(stage: &Single, part: &Part) -> Result {
    run(stage, part, "pg_basebackup", &["-D", "backup", "-X", "stream", "-c", "fast"]).await?;
    let mut verify = part.command(&stage.server.programs.join("pg_verifybackup"));
    let verified = verify.arg("backup").output()?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    Ok(())
}

async fn receive_wal(stage: &Single, part: &Part, superuser: &Client) -> Result {
    let folder = part.folder().join("wal");
    std::fs::create_dir(&folder)?;
    give_as(part, "wal")?;
    let mut receiving = command(stage, part, "pg_receivewal", &["-D", "wal", "--no-loop"]).spawn()?;
    let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    let received = async {
        eventually("it streams", Duration::from_secs(20), async || {
            (superuser.text(streams).await.ok()? == "1").then_some(())
        })
        .await?;
        superuser.batch_execute("INSERT INTO t SELECT generate_series(1, 1000)").await?;
        superuser.text("SELECT pg_switch_wal()").await?;
        eventually("a whole segment has come", Duration::from_secs(20), async || {
            let mut files = std::fs::read_dir(&folder).ok()?.filter_map(std::result::Result::ok);
            files.any(|file| file.path().extension().is_none()).then_some(())
        })
        .await
    };
    let received = received.await;
    receiving.kill().await?;
    received
}

/// A folder belongs to whom its neighbours do.
fn give_as(part: &Part, name: &str) -> Result {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(part.folder())?;
    std::os::unix::fs::chown(part.folder().join(name), Some(owner.uid()), Some(owner.gid()))?;
    Ok(())
}

async fn receive_logical(stage: &Single, part: &Part, superuser: &Client) -> Result {
    let slot = ["-d", Cluster::DATABASE, "--slot", "changes"];
    run(stage, part, "pg_recvlogical", &[&slot[..], &["--create-slot", "-P", "test_decoding"]].concat())
        .await?;
    superuser.batch_execute("INSERT INTO t VALUES (4711)").await?;
    let end = superuser.text("SELECT pg_current_wal_lsn()").await?;
    superuser.batch_execute("INSERT INTO t VALUES (4712)").await?;
    let receive = [&slot[..], &["--start", "-f", "-", "--endpos", &end, "--no-loop"]].concat();
    let changes = run(stage, part, "pg_recvlogical", &receive).await?;
    ensure!(changes.contains("table public.t: INSERT: n[integer]:4711"), "{changes}");
    run(stage, part, "pg_recvlogical", &[&slot[..], &["--drop-slot"]].concat()).await?;
    Ok(())
}

/// A subscriber that reaches its publisher through pgsteer: the table's content, then its changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription() -> Result {
    let mut stage = Single::start(Release::System, Door::Scram, "", "").await?;
    let publisher = superuser(&stage).await?;
    publisher
        .batch_execute(
            "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1); GRANT SELECT ON t TO trader;
             CREATE PUBLICATION p FOR TABLE t",
        )
        .await?;
    publisher.text("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").await?;
    publisher.batch_execute("CREATE DATABASE subscriber").await?;
    let subscriber =
        Client::connect(&connection_string(stage.server.address, Login::POSTGRES, "subscriber")).await?;
    subscriber.batch_execute("CREATE TABLE t (n int PRIMARY KEY)").await?;
    let (to, Login { user, password }) = (stage.proxy.write, Login::TRADER);
    let connection = format!(
        "host={} port={} user={user} password={password} dbname={}",
        to.ip(),
        to.port(),
        Cluster::DATABASE
    );
    // The slot was made before: made here, it would wait for this very statement to end.
    subscriber
        .batch_execute(&format!(
            "CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p
             WITH (create_slot = false, slot_name = 's')"
        ))
        .await?;
    publisher.batch_execute("INSERT INTO t VALUES (2)").await?;
    let replicated = eventually("the subscriber has both rows", Duration::from_secs(30), async || {
        let sum = subscriber.text("SELECT sum(n) FROM t").await.ok()?;
        (sum == "3").then_some(())
    });
    replicated.await.with_context(|| stage.sandbox.logs(40))?;
    ensure!(stage.proxy.metric("pgsteer_replication_connections", "").await? >= 1.0);
    // A stream has no end to be waited for: whoever reads it goes on where it stopped.
    let began = now();
    ensure!(stage.proxy.stop(Duration::from_secs(20)).await? == Some(0));
    ensure!(began.elapsed() < Duration::from_secs(5), "the subscriber held pgsteer up");
    publisher.batch_execute("INSERT INTO t VALUES (4)").await?;
    subscriber
        .batch_execute("ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        .await?;
    Ok(subscriber.batch_execute("DROP SUBSCRIPTION s").await?)
}

/// One replication connection by hand.
struct Walsender {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Walsender {
    async fn connect(stage: &Single, replication: &str) -> Result<Self> {
        Self::connect_as(stage.proxy.write, Login::TRADER.user, replication).await
    }

    async fn connect_as(to: SocketAddr, user: &str, replication: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(to).await?;
        let parameters = [
            "user",
            user,
            "database",
            Cluster::DATABASE,
            "replication",
            replication,
            "application_name",
            "by hand",
        ];
        let body: String = parameters.map(|word| format!("{word}\0")).concat() + "\0";
        let length = u32::try_from(body.len() + 8)?.to_be_bytes();
        stream.write_all(&[&length[..], &[0, 3, 0, 2], body.as_bytes()].concat()).await?;
        Ok(Self { stream, heard: Vec::new() })
    }

    async fn ask(&mut self, command: &str) -> Result {
        let length = u32::try_from(command.len() + 5)?.to_be_bytes();
        Ok(self.stream.write_all(&[b"Q", &length[..], command.as_bytes(), b"\0"].concat()).await?)
    }

    /// Reads until this was heard, and forgets it; the answer is what came before.
    async fn until(&mut self, what: &[u8]) -> Result<Vec<u8>> {
        let reading = async {
            loop {
                if let Some(at) = self.heard.windows(what.len()).position(|window| window == what) {
                    let rest = self.heard.split_off(at + what.len());
                    return Ok(std::mem::replace(&mut self.heard, rest));
                }
                let read = self.stream.read_buf(&mut self.heard).await?;
                ensure!(read > 0, "it ended: {}", self.heard.escape_ascii());
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), reading).await;
        heard.with_context(|| format!("no {}: {}", what.escape_ascii(), self.heard.escape_ascii()))?
    }
}

/// What a walsender answers to a query of one value.
async fn value(walsender: &mut Walsender, query: &str) -> Result<String> {
    walsender.ask(query).await?;
    let answer = walsender.until(READY).await?;
    let row = answer.windows(5).position(|window| window[0] == b'D' && window[1..4] == [0, 0, 0]);
    let row = &answer[row.with_context(|| answer.escape_ascii().to_string())?..];
    let length = usize::from(*row.get(10).context("no value")?);
    Ok(String::from_utf8_lossy(&row[11..11 + length]).into_owned())
}

/// To the leader or to a replica, as the listener says; cut off with the leader, and on to the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_and_replicas() -> Result {
    let trust = "[auth]\nauth_type = \"trust\"";
    scenario_with(Options::default(), trust, async |stage| {
        let user = Login::POSTGRES.user;
        let (write, read) = (stage.proxy.write, stage.proxy.read);
        let recovering = "SELECT pg_is_in_recovery()";
        let mut on_replica = Walsender::connect_as(read, user, "database").await?;
        on_replica.until(READY).await?;
        ensure!(value(&mut on_replica, recovering).await? == "t", "the read listener leads to the leader");
        let mut on_leader = Walsender::connect_as(write, user, "database").await?;
        on_leader.until(READY).await?;
        ensure!(value(&mut on_leader, recovering).await? == "f", "the write listener leads to a replica");
        let position = value(&mut on_leader, "SELECT pg_current_wal_flush_lsn()").await?;
        on_leader.ask(&format!("START_REPLICATION PHYSICAL {position}")).await?;
        on_leader.until(&[b'W', 0, 0, 0, 7, 0, 0, 0]).await?;

        stage.cluster.switchover().await?;
        // From us (57P01), or from a server that ended first: in either case at once.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), on_leader.stream.read_to_end(&mut rest));
        ended.await.context("the stream goes on")??;
        let next = eventually("the next leader", Duration::from_secs(30), async || {
            let mut next = Walsender::connect_as(write, user, "database").await.ok()?;
            next.until(READY).await.ok()?;
            (value(&mut next, recovering).await.ok()? == "f").then_some(())
        });
        next.await
    })
    .await
}

const READY: &[u8] = b"Z\0\0\0\x05I";

/// The key in BackendKeyData.
fn key(greeting: &[u8]) -> Result<Vec<u8>> {
    let at = greeting.windows(5).position(|window| window == [b'K', 0, 0, 0, 40]).context("no long key")?;
    Ok(greeting[at + 5..at + 5 + 36].to_vec())
}

/// Commands and SQL as the server answers them, cancelled by the key that pgsteer gave; counted and bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_cancel_and_limits() -> Result {
    let overrides = "[pool]\nmax_replication_connections = 1";
    let stage = Single::start(
        Release::System,
        Door::Open,
        "",
        &format!("{overrides}\n[auth]\nauth_type = \"trust\""),
    )
    .await?;
    let played = async {
        let mut walsender = Walsender::connect(&stage, "database").await?;
        let key = key(&walsender.until(READY).await?)?;
        walsender.ask("IDENTIFY_SYSTEM").await?;
        let system = walsender.until(READY).await?;
        ensure!(system.windows(7).any(|window| window == b"trading"), "{}", system.escape_ascii());
        walsender.ask("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()").await?;
        let name = walsender.until(READY).await?;
        ensure!(name.windows(7).any(|window| window == b"by hand"), "{}", name.escape_ascii());

        let mut refused = Walsender::connect(&stage, "true").await?;
        refused.until(b"C53300\0").await?;
        let mut refused = Walsender::connect(&stage, "maybe").await?;
        refused.until(b"C22023\0").await?;

        walsender.ask("SELECT pg_sleep(60)").await?;
        let cancelled = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let mut cancel = TcpStream::connect(stage.proxy.write).await?;
                cancel.write_all(&[&[0, 0, 0, 44, 4, 210, 22, 46], &key[..]].concat()).await?;
                cancel.read_to_end(&mut Vec::new()).await?;
            }
        };
        let told = tokio::select! {
            told = walsender.until(READY) => told?,
            never = cancelled => { let never: Result = never; return never }
        };
        ensure!(told.windows(6).any(|window| window == b"C57014"), "{}", told.escape_ascii());
        // Gone, its place is another's, and nothing of it is left at the server.
        walsender.stream.write_all(b"X\0\0\0\x04").await?;
        drop(walsender);
        let again = eventually("there is a place again", Duration::from_secs(10), async || {
            let mut again = Walsender::connect(&stage, "on").await.ok()?;
            again.until(READY).await.ok().map(|_| again)
        });
        let mut again = again.await?;
        again.ask("SHOW wal_level").await?;
        let level = again.until(READY).await?;
        ensure!(level.windows(7).any(|window| window == b"logical"), "{}", level.escape_ascii());
        anyhow::Ok(())
    };
    played.await.with_context(|| stage.sandbox.logs(40))
}
