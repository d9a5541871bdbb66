//! `make chaos`: a real Patroni cluster in network namespaces, with pgsteer and what it takes the place of in front of it; faults
//! of all kinds, and a ledger of every write that a client was told of, held against the database afterwards.
//!
//! The exit code is 0 only if everything that must hold of pgsteer held in every scenario. Figures are told, not judged.
//! Runs as root. Nothing outside its own namespaces and one temporary folder is touched, and nothing is left of these
//! however it ends.

mod arguments;
mod faults;
mod figures;
mod long_work;
mod play;
mod scenario;
mod stage;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use pgsteer_testkit::{PeerPrograms, Peers, Result, enter_private, interrupted, now};
use tokio::time::timeout;

use arguments::Arguments;
use figures::Figures;
use scenario::Scenario;
use stage::Stage;
use table::Row;

/// The longest that a scenario may take for each time that its fault is caused, with what goes before and after.
const BOUND: Duration = Duration::from_secs(300);
/// As a shell would say of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match enter_private().and_then(|()| Ok(tokio::runtime::Runtime::new()?)) {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(error) => {
            eprintln!("chaos: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> ExitCode {
    let ended = tokio::select! {
        ended = all(arguments) => ended,
        () = interrupted() => {
            eprintln!("\nstopped; nothing is left running");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match ended {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            violations.iter().for_each(|violation| eprintln!("VIOLATED: {violation}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("chaos: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all that were asked for, and says what did not hold.
async fn all(arguments: &Arguments) -> Result<Vec<String>> {
    let scenarios = arguments.scenarios()?;
    let programs = PeerPrograms::named().filter(|_| !arguments.alone);
    let peers = programs.as_ref().map_or(Ok("nobody".to_owned()), Peers::versions)?;
    eprintln!("beside pgsteer: {peers}");
    let (mut rows, mut violations): (Vec<Row>, Vec<String>) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let mut stage: Option<Stage> = None;
        for scenario in &scenarios {
            let bound = BOUND * u32::from(scenario.times);
            let played = timeout(bound, one(scenario, round, &mut stage, programs.as_ref(), arguments)).await;
            match played.context("it came to no end").flatten() {
                Ok(fronts) => {
                    let broken =
                        fronts.first().map(|pgsteer| pgsteer.violations(scenario)).unwrap_or_default();
                    violations.extend(broken.into_iter().map(|what| format!("{}: {what}", scenario.name)));
                    enter(&mut rows, scenario, fronts);
                }
                Err(error) => {
                    eprintln!("{}: {error:?}", scenario.name);
                    violations.push(format!("{}: {error}", scenario.name));
                    if let Some(stage) = stage.take() {
                        eprintln!("{}", stage.cluster.sandbox.logs(15));
                    }
                }
            }
        }
    }
    println!("\n{}", table::markdown(&rows, "HAProxy and PgBouncer"));
    println!("{}", table::ledgers(&rows, &["pgsteer", "HAProxy and PgBouncer"]));
    Ok(violations)
}

/// Plays one scenario, on the stage that there is or on a new one.
async fn one(
    scenario: &Scenario,
    round: u32,
    stage: &mut Option<Stage>,
    programs: Option<&PeerPrograms>,
    arguments: &Arguments,
) -> Result<Vec<Figures>> {
    let begun = now();
    let there = Stage::fit_for(stage, scenario.replication, programs).await?;
    eprintln!("{} (round {round})", scenario.name);
    let before = there.proxy.log().len();
    let played = play::play(scenario, there).await;
    let log = there.proxy.log();
    let log = log.get(before..).unwrap_or(&log);
    if let Some(folder) = &arguments.logs {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}-{round}.log", scenario.name)), log)?;
    }
    let played = played?;
    for (name, figures, told) in &played {
        eprintln!("  {name}: {}\n{told}", table::line(figures));
    }
    anyhow::ensure!(there.proxy.runs() && !log.contains("panicked"), "pgsteer broke down:\n{log}");
    eprintln!("  {:.0} s", begun.elapsed().as_secs_f64());
    Ok(played.into_iter().map(|(_, figures, _)| figures).collect())
}

/// A row for each scenario, whatever the round.
fn enter(rows: &mut Vec<Row>, scenario: &Scenario, fronts: Vec<Figures>) {
    match rows.iter_mut().find(|(known, _)| known.name == scenario.name) {
        Some((_, known)) => known.iter_mut().zip(&fronts).for_each(|(known, new)| known.add(new)),
        None => rows.push((*scenario, fronts)),
    }
}
