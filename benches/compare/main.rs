//! pgsteer beside its peers, in one run: `cargo bench --bench compare -- --help`.
//!
//! One temporary PostgreSQL; in front of it each target, all of them running throughout; in every round every
//! scenario against every target, in alternating order. What counts is the ratio of two runs of the same round:
//! the machine's moods are in both of them. CPU time is that of the proxy's process tree, taken inside the steady
//! part of a run and divided by the work done in it, which is far steadier than throughput.
//!
//! The common ground: clients and server over TCP on loopback, SCRAM on both sides, sixteen server connections,
//! transaction mode, everything else as shipped.

mod accounting;
mod calls;
mod child;
mod client;
mod forwarder;
mod own;
mod pgbench;
mod postgres;
mod report;
mod scenario;
mod scram;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use postgres::Postgres;
use report::{Record, Report};
use scenario::{Measurement, Metric, Scenario};
use target::{Running, Target};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Compares pgsteer with PgBouncer, HAProxy, a bare forwarder and no proxy at all.
///
/// PGSTEER, PGBOUNCER and HAPROXY name the programs (benches/fetch-peers.sh fetches current peers), PG_BIN the
/// folder of initdb and postgres.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench compare --", disable_version_flag = true)]
struct Options {
    /// How often everything is run.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Seconds each run is measured for.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Scenarios, separated by commas [default: all].
    #[arg(long, value_delimiter = ',')]
    only: Vec<&'static Scenario>,
    /// Targets, separated by commas [default: all].
    #[arg(long, value_delimiter = ',')]
    targets: Vec<Target>,
    /// Count system calls (with perf) instead of CPU time.
    #[arg(long)]
    calls: bool,
    /// A file for all figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    let done = if arguments.get(1).is_some_and(|word| word == forwarder::FLAG) {
        runtime.block_on(forwarder::run(arguments.into_iter().skip(2)))
    } else if arguments.iter().any(|word| word == "--bench") {
        // cargo's own word, which says that this is no test run.
        arguments.retain(|word| word != "--bench");
        runtime.block_on(until_interrupted(compare(Options::parse_from(arguments))))
    } else {
        Ok(())
    };
    done.map_or_else(|error| complain(&*error), |()| ExitCode::SUCCESS)
}

fn complain(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("compare: {error}");
    ExitCode::FAILURE
}

/// Dropping the work ends every process it has started and removes its folder.
async fn until_interrupted(work: impl Future<Output = Result<()>>) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    }
}

async fn compare(mut options: Options) -> Result<()> {
    if options.only.is_empty() {
        options.only = scenario::ALL.iter().collect();
    }
    if options.targets.is_empty() {
        options.targets = Target::ALL.to_vec();
    }
    options.targets.retain(|target| options.only.iter().any(|scenario| scenario.concerns(*target)));
    child::raise_descriptor_limit();
    eprintln!("starting a temporary PostgreSQL");
    let postgres = Postgres::start().await?;
    let mut report = Report::default();
    let mut running = Vec::new();
    for target in &options.targets {
        match target.start(&postgres, &target.to_string().replace('/', "-")).await {
            Ok(mut started) => {
                if options.calls {
                    started.count_calls();
                }
                report.versions.insert(*target, started.version.clone());
                running.push(started);
            }
            Err(error) => {
                report.remarks.insert(format!("{target} is left out: {error}"));
            }
        }
    }
    report.runs = options.only.iter().map(|scenario| (*scenario, Vec::new())).collect();
    for remark in &report.remarks {
        eprintln!("{remark}");
    }
    for round in 0..options.rounds {
        one_round(&options, round, &postgres, &mut running, &mut report).await?;
    }
    println!("{}", report.table());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report.json())?)?;
    }
    Ok(())
}

/// Every scenario against every target.
async fn one_round(
    options: &Options,
    round: u32,
    postgres: &Postgres,
    running: &mut Vec<Running>,
    report: &mut Report,
) -> Result<()> {
    for (scenario, records) in &mut report.runs {
        if round >= scenario.rounds(options.rounds) {
            continue;
        }
        let mut ended = Vec::new();
        for at in order(round, running.len()) {
            let one = &mut running[at];
            let target = one.target;
            if !scenario.concerns(target) {
                continue;
            }
            if let Some(reason) = scenario.excludes(one) {
                report.remarks.insert(format!("{target} has no part in {}: {reason}", scenario.id));
                continue;
            }
            match scenario.run(postgres, one, options.seconds).await {
                Ok(measurement) => {
                    eprintln!(
                        "round {}/{} {:<11}{target:<11}{}",
                        round + 1,
                        options.rounds,
                        scenario.id,
                        brief(scenario, &measurement)
                    );
                    records.push(Record { round, target, measurement });
                }
                Err(error) => {
                    eprintln!("{target} failed in {}: {error}", scenario.id);
                    report.remarks.insert(format!("{target} failed in {}: {error}", scenario.id));
                }
            }
            if let Some(end) = one.ended()? {
                report.remarks.insert(format!("{target} is left out from {} on: {end}", scenario.id));
                ended.push(target);
            }
        }
        running.retain(|one| !ended.contains(&one.target));
    }
    Ok(())
}

/// The order of a round: it turns and is reversed from round to round, so that no target is always the first or
/// always behind the same other one.
fn order(round: u32, targets: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..targets).collect();
    let turn = usize::try_from(round / 2).unwrap_or(0);
    order.rotate_left(turn.checked_rem(targets).unwrap_or(0));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// A measurement in one line, for whoever is waiting.
fn brief(scenario: &Scenario, measurement: &Measurement) -> String {
    let words = measurement.figures.iter().map(|(metric, value)| match metric {
        Metric::Cpu => format!("{value:.2} µs/{}", scenario.unit),
        Metric::Rate => format!("{value:.0} {}/s", scenario.unit),
        _ => format!("{} {value:.3}", metric.key()),
    });
    words.collect::<Vec<_>>().join("  ")
}
