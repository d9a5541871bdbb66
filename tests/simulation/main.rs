//! The failover simulation: one seed, paused time, and the real program between servers, a store, a network and clients
//! that exist in memory only.
//!
//! `SIM_SEED=n` runs one seed and shows its trace, `SIM_SEEDS=n` runs so many. A seed that once found something stays
//! below as a test of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod checks;
mod client;
mod faults;
mod ledger;
mod network;
mod node;
mod patroni;
mod postgres;
mod random;
mod run;
mod shape;
mod statement;
mod store;
mod trace;
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

#[test]
fn seeds() {
    if let Some(seed) = from_environment("SIM_SEED") {
        let report = run::run(seed, true);
        println!("{}{:#?}", report.trace, report.count);
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        return;
    }
    let first = from_environment("SIM_FIRST").unwrap_or(0);
    let total = check(first..first + from_environment("SIM_SEEDS").unwrap_or(1000));
    println!("{total:?}");
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in 0..from_environment("SIM_TWICE").unwrap_or(20) {
        assert_eq!(run::run(seed, false).hash, run::run(seed, true).hash, "seed {seed}");
    }
}
