//! The failover simulation: one seed, paused time, and the real program between servers, a store, a network and clients
//! that exist in memory only.
//!
//! `SIM_SEED=n` runs one seed and shows its trace, `SIM_SEEDS=n` runs so many. A seed that once found something stays
//! below as a test of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod ambush;
mod books;
mod checks;
mod client;
mod conn;
mod consistency;
mod copying;
mod endings;
mod extras;
mod faults;
mod flicker;
mod ledger;
mod network;
mod node;
mod operator;
mod patroni;
mod postgres;
mod probed;
mod promises;
mod question;
mod random;
mod replay;
mod run;
mod shape;
mod splitter;
mod statement;
mod store;
mod switchover;
mod trace;
mod transactions;
mod wire;
mod world;

use ledger::Count;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds. If some fail, shows what led to the first failure, and names the others.
fn check(seeds: impl Iterator<Item = u64>) -> Count {
    let mut total = Count::default();
    let mut failed: Vec<(u64, run::Report)> = Vec::new();
    for seed in seeds {
        let report = run::run(seed, false);
        total += report.count;
        if !report.violations.is_empty() {
            println!("seed {seed}: {}", report.violations[0]);
            failed.push((seed, report));
        }
    }
    let Some((seed, report)) = failed.first() else { return total };
    let told = run::run(*seed, true);
    let others: Vec<String> = failed.iter().skip(1).map(|(seed, _)| seed.to_string()).collect();
    panic!(
        "SIM_SEED={seed} runs this again{}; other failing seeds: [{}]\n{}\n  {}",
        if told.hash == report.hash { "" } else { " (it went differently the second time)" },
        others.join(", "),
        told.trace,
        report.violations.join("\n  "),
    );
}

/// A quarter of the seeds, so that they run on several cores.
fn quarter(which: u64) {
    if from_environment("SIM_SEED").is_some() {
        return;
    }
    let first = from_environment("SIM_FIRST").unwrap_or(0);
    let count = from_environment("SIM_SEEDS").unwrap_or(1000);
    let total = check((first..first + count).filter(|seed| seed % 4 == which));
    println!("{total:?}");
    // Otherwise nothing was put to the test.
    let enough = count < 100 || (total.terms > count / 20 && total.cut > count / 20 && total.unknown > 0);
    assert!(enough, "hardly anything has happened: {total:?}");
}

#[test]
fn seeds_first_quarter() {
    quarter(0);
}

#[test]
fn seeds_second_quarter() {
    quarter(1);
}

#[test]
fn seeds_third_quarter() {
    quarter(2);
}

#[test]
fn seeds_fourth_quarter() {
    quarter(3);
}

#[test]
fn the_seed_that_is_asked_for() {
    let Some(seed) = from_environment("SIM_SEED") else { return };
    let report = run::run(seed, true);
    println!("{}{:#?}", report.trace, report.count);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

/// From here on, seeds of runs in which nothing happens but planned switchovers.
const ORDERLY: u64 = 1 << 40;

#[test]
fn a_planned_switchover_costs_nobody_an_error() {
    let count = from_environment("SIM_SEEDS").unwrap_or(200) / 2;
    let total = check(ORDERLY..ORDERLY + count);
    println!("{total:?}");
    assert!(total.terms > count, "hardly any switchover: {total:?}");
}

// What was found. Seeds stand for these stories as long as the model draws the same numbers.

#[test]
fn an_alarm_of_the_fence_is_not_a_client_that_has_gone() {
    check([3, 215].into_iter());
}

#[test]
fn a_servers_farewell_is_not_for_an_idle_client() {
    check([5, 132, 704].into_iter());
}

#[test]
fn nobody_waits_for_a_deposed_server_to_take_settings() {
    check([43, 269, 866].into_iter());
}

#[test]
fn a_read_leaves_a_replica_that_freezes_while_it_takes_settings() {
    check([661].into_iter());
}

#[test]
fn a_term_begins_when_the_program_hears_of_a_promotion() {
    check([535].into_iter());
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in 0..from_environment("SIM_TWICE").unwrap_or(20) {
        assert_eq!(run::run(seed, false).hash, run::run(seed, true).hash, "seed {seed}");
    }
}
