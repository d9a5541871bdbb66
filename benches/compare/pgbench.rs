//! pgbench's select-only load, with the proxy's CPU time taken inside its steady part.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, Command};

use crate::Result;
use crate::accounting::Window;
use crate::postgres::Postgres;
use crate::scenario::Measurement;
use crate::target::Running;

/// How pgbench sends its queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One Query message.
    Simple,
    /// Parse, Bind, Execute with the unnamed statement.
    Extended,
    /// Parse once, then Bind and Execute.
    Prepared,
}

impl Protocol {
    fn flag(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// Share of the transactions pgbench logs for the latency: few enough not to disturb.
const SAMPLED: &str = "0.05";

/// One progress line: the clock, and queries since the line before.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Seconds since 1970.
    at: f64,
    /// Transactions per second since the line before.
    rate: f64,
}

impl Progress {
    /// `progress: 1700000000.123 s, 25000.1 tps, lat 0.640 ms stddev 0.310, 0 failed`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("progress: ")?.split(' ');
        let at = words.next()?.parse().ok()?;
        let rate = words.nth(1)?.parse().ok()?;
        Some(Self { at, rate })
    }
}

/// Runs pgbench and measures `seconds` of it: from its first progress line, a second after its start, on. Each
/// line tells how many queries there were since the one before, so that queries and CPU time are of the same
/// stretch.
pub(crate) async fn measure(
    postgres: &Postgres,
    running: &Running,
    protocol: Protocol,
    clients: u32,
    seconds: u32,
) -> Result<Measurement> {
    let log = tempfile::tempdir()?;
    let mut command = Command::from(postgres.tool("pgbench", &postgres.account, running.address));
    command.args([
        "--no-vacuum",
        "--select-only",
        "--jobs=2",
        "--progress=1",
        "--progress-timestamp",
        "--log",
    ]);
    command.arg("--protocol").arg(protocol.flag()).arg("--client").arg(clients.to_string());
    // One second to warm up, and one after the last line that is read.
    command.arg("--time").arg((seconds + 2).to_string()).arg("--sampling-rate").arg(SAMPLED);
    command.arg("--log-prefix").arg(log.path().join("log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut pgbench = command.spawn().map_err(|error| format!("cannot run pgbench: {error}"))?;
    let mut lines = BufReader::new(pgbench.stderr.take().ok_or("pgbench has no output")?).lines();

    let first = progress(&mut lines).await?;
    let window = Window::open(running.watch)?;
    let (mut last, mut queries) = (first, 0.0);
    for _ in 0..seconds {
        let next = progress(&mut lines).await?;
        queries += next.rate * (next.at - last.at);
        last = next;
    }
    let spent = window.close()?;
    let mut complaint = String::new();
    while let Some(line) = lines.next_line().await? {
        complaint = line;
    }
    if !pgbench.wait().await?.success() {
        return Err(format!("pgbench: {complaint}").into());
    }

    Ok(spent.over(queries, latencies(log.path(), first.at, last.at)?))
}

/// The next progress line; anything else pgbench may say is only of interest if it was the last.
async fn progress(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<Progress> {
    let mut complaint = "nothing".to_owned();
    while let Some(line) = lines.next_line().await? {
        match Progress::parse(&line) {
            Some(progress) => return Ok(progress),
            None => complaint = line,
        }
    }
    Err(format!("pgbench ended early, saying last: {complaint}").into())
}

/// The sampled latencies, in milliseconds, of transactions that ended in that stretch of the wall clock.
fn latencies(folder: &Path, from: f64, to: f64) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder)? {
        for line in std::fs::read_to_string(file?.path())?.lines() {
            // client, transaction, µs, script, seconds and µs of its end
            let fields: Vec<f64> = line.split(' ').map_while(|field| field.parse().ok()).collect();
            if let [_, _, micros, _, second, fraction, ..] = fields[..] {
                let at = second + fraction / 1e6;
                if from <= at && at <= to {
                    found.push(micros / 1e3);
                }
            }
        }
    }
    Ok(found)
}
