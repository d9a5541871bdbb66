//! `CHAOS='…'`

use std::path::PathBuf;

use anyhow::ensure;
use pgsteer_testkit::Result;

use crate::scenario::{ALL, Scenario};

/// Faults of all kinds on a real cluster in network namespaces, and what clients saw of them.
#[derive(Debug, clap::Parser)]
#[command(after_help = names())]
pub(crate) struct Arguments {
    /// Only these scenarios, as named below; `kill*` is all whose names begin so.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often all of it is played.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// Without HAProxy and PgBouncer beside it, also where PGBOUNCER and HAPROXY name them.
    #[arg(long)]
    pub(crate) alone: bool,
    /// A folder for what pgsteer logs, one file for each scenario and round.
    #[arg(long)]
    pub(crate) logs: Option<PathBuf>,
}

impl Arguments {
    /// Those asked for, in their own order.
    pub(crate) fn scenarios(&self) -> Result<Vec<Scenario>> {
        for wanted in &self.only {
            ensure!(ALL.iter().any(|scenario| fits(wanted, scenario.name)), "there is no scenario {wanted}");
        }
        let all = ALL.iter().copied();
        Ok(all
            .filter(|scenario| {
                self.only.is_empty() || self.only.iter().any(|wanted| fits(wanted, scenario.name))
            })
            .collect())
    }
}

fn names() -> String {
    let each = ALL.iter().map(|scenario| format!("  {:24}{}\n", scenario.name, scenario.what));
    format!("Scenarios:\n{}", each.collect::<String>())
}

fn fits(wanted: &str, name: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == name, |beginning| name.starts_with(beginning))
}
