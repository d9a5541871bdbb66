//! The loads pgbench has no words for, driven by our own client: streams, logins, idle clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pgsteer::clock::{Clock, Moment};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;
use crate::accounting::{Watch, Window, resident_kib};
use crate::client::Client;
use crate::postgres::Postgres;
use crate::scenario::{Measurement, Metric};
use crate::scram::Account;
use crate::target::{Running, Target};

const MEGABYTE: f64 = 1_048_576.0;
/// Time for caches and pools to settle before a window opens.
const WARM_UP: Duration = Duration::from_millis(500);
const LOGIN_CLIENTS: u8 = 4;
const IDLE_CLIENTS: u32 = 10_000;
/// How many of the idle clients are on their way in at once.
const IDLE_ARRIVING: usize = 64;

/// A bulk transfer of about 10 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A result in pgbench's rows.
    Rows,
    /// A result in rows of a kilobyte.
    WideRows,
    /// The same rows as COPY data.
    CopyOut,
    /// COPY data to the server, which parses and drops it.
    CopyIn,
}

impl Stream {
    async fn once(self, client: &mut Client) -> Result<u64> {
        match self {
            Self::Rows => client.query("SELECT * FROM pgbench_accounts WHERE aid <= 90000").await,
            Self::WideRows => client.query("SELECT repeat('x', 1000) FROM generate_series(1, 10000)").await,
            Self::CopyOut => {
                client.query("COPY (SELECT * FROM pgbench_accounts WHERE aid <= 100000) TO STDOUT").await
            }
            // 8 KiB is what psql and libpq's buffers make of it.
            Self::CopyIn => {
                let line = [&[b'x'; 127][..], b"\n"].concat();
                client.copy_in("COPY sink FROM STDIN WHERE false", &line.repeat(64), 1250).await
            }
        }
    }
}

/// One client that transfers, again and again.
pub(crate) async fn stream(
    postgres: &Postgres,
    running: &Running,
    stream: Stream,
    seconds: u32,
) -> Result<Measurement> {
    let clock = Clock::boot();
    let mut client = Client::connect(running.address, Ipv4Addr::LOCALHOST, &postgres.account).await?;
    let warm = clock.now() + WARM_UP;
    while clock.now() < warm {
        stream.once(&mut client).await?;
    }
    let window = Window::open(running.watch)?;
    let end = clock.now() + Duration::from_secs(seconds.into());
    let (mut bytes, mut latencies) = (0_u64, Vec::new());
    let mut before = clock.now();
    while before < end {
        bytes += stream.once(&mut client).await?;
        let now = clock.now();
        latencies.push(now.since(before).as_secs_f64() * 1e3);
        before = now;
    }
    let spent = window.close()?;
    client.close().await?;

    let megabytes = f64::from(u32::try_from(bytes / 1024)?) * 1024.0 / MEGABYTE;
    Ok(spent.over(megabytes, latencies))
}

/// A few clients that connect, log in, ask once and close, again and again.
pub(crate) async fn logins(postgres: &Postgres, running: &Running, seconds: u32) -> Result<Measurement> {
    let end = Clock::boot().now() + WARM_UP + Duration::from_secs(seconds.into());
    let mut clients = JoinSet::new();
    for number in 0..LOGIN_CLIENTS {
        // A loopback address of its own for each, so that closed connections do not use up the ports.
        let source = Ipv4Addr::new(127, 0, 0, 2 + number);
        clients.spawn(log_in_until(end, running.address, source, postgres.account.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let opened = Clock::boot().now();
    let window = Window::open(running.watch)?;
    let mut logins = Vec::new();
    tokio::time::sleep(end.since(Clock::boot().now())).await;
    let spent = window.close()?;
    let closed = Clock::boot().now();
    while let Some(client) = clients.join_next().await {
        logins.extend(client??);
    }

    logins.retain(|(done, _)| opened <= *done && *done <= closed);
    let count = f64::from(u32::try_from(logins.len())?);
    let latencies = logins.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    Ok(spent.over(count, latencies))
}

/// When each login was over, and how long it took.
async fn log_in_until(
    end: Moment,
    to: SocketAddr,
    source: Ipv4Addr,
    account: Account,
) -> Result<Vec<(Moment, Duration)>> {
    let clock = Clock::boot();
    let mut done = Vec::new();
    let mut before = clock.now();
    while before < end {
        let mut client = Client::connect(to, source, &account).await?;
        client.query("SELECT 1").await?;
        client.close().await?;
        let now = clock.now();
        done.push((now, now.since(before)));
        before = now;
    }
    Ok(done)
}

/// Resident memory for each of many idle clients, of a fresh process of that target.
pub(crate) async fn idle(postgres: &Postgres, target: Target) -> Result<Measurement> {
    let place = format!("idle-{}", Clock::boot().now().nanos());
    let running = target.start(postgres, &place).await?;
    let pid = running.pid().ok_or("there is no proxy to measure")?;
    let window = Window::open(Watch::Nothing)?;
    // A few clients first: pools, caches and the allocator's own growth are not what a client costs.
    let mut clients = arrive(64, &running, &postgres.account).await?;
    let before = settled(pid).await?;
    clients.extend(arrive(IDLE_CLIENTS, &running, &postgres.account).await?);
    let after = settled(pid).await?;
    let spent = window.close()?;
    let growth = f64::from(u32::try_from(after.saturating_sub(before))?);
    drop(clients);
    Ok(spent.only(Metric::Memory, growth / f64::from(IDLE_CLIENTS)))
}

/// Connects that many clients, each of which prepares and runs one statement.
async fn arrive(count: u32, running: &Running, account: &Account) -> Result<Vec<TcpStream>> {
    let (mut arriving, mut arrived) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        let (to, account) = (running.address, account.clone());
        // Source addresses enough for several times the ephemeral ports of one.
        let source = Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(number % 8)?);
        arriving.spawn(async move {
            let mut client = Client::connect(to, source, &account).await?;
            let sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
            client.prepare_and_run("one", sql, &(number + 1).to_string()).await?;
            Result::Ok(client.into_idle())
        });
        if arriving.len() >= IDLE_ARRIVING {
            arrived.extend(arriving.join_next().await.transpose()?.transpose()?);
        }
    }
    while let Some(client) = arriving.join_next().await {
        arrived.push(client??);
    }
    Ok(arrived)
}

/// Resident memory in KiB once it has not changed for a second.
async fn settled(pid: u32) -> Result<u64> {
    const SECONDS_MAX: u32 = 10;
    let mut last = resident_kib(pid)?;
    for _ in 0..SECONDS_MAX {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = resident_kib(pid)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}
