//! From single runs to medians, ratios and verdicts, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::scenario::{Goal, Measurement, Metric, Scenario};
use crate::target::Target;

/// More of the machine than this in others' hands makes figures doubtful.
const FOREIGN_MAX: f64 = 0.10;

/// One run.
#[derive(Debug)]
pub(crate) struct Record {
    /// In which round; runs of one round are compared with each other.
    pub(crate) round: u32,
    /// Against which target.
    pub(crate) target: Target,
    /// What it gave.
    pub(crate) measurement: Measurement,
}

/// Everything that was found out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What each target says it is.
    pub(crate) versions: BTreeMap<Target, String>,
    /// What was left out or went wrong, as sentences.
    pub(crate) remarks: BTreeSet<String>,
    /// The runs of each scenario.
    pub(crate) runs: Vec<(&'static Scenario, Vec<Record>)>,
}

/// A figure over all rounds.
#[derive(Debug)]
struct Summary {
    median: f64,
    values: Vec<f64>,
    /// Against what the target is compared with, from pairs of the same round.
    ratio: Option<Ratio>,
}

#[derive(Debug)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Report {
    /// The tables and verdicts, for people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (target, version) in &self.versions {
            text += &format!("{target:<10} {version}\n");
        }
        for remark in &self.remarks {
            text += &format!("note: {remark}\n");
        }
        for (scenario, records) in &self.runs {
            // Writing to a String cannot fail.
            let _ = scenario_table(&mut text, scenario, records);
        }
        text
    }

    /// The same, with every single value, for programs.
    pub(crate) fn json(&self) -> Value {
        let versions: Map<String, Value> =
            self.versions.iter().map(|(target, version)| (target.to_string(), json!(version))).collect();
        let scenarios: Map<String, Value> = self
            .runs
            .iter()
            .map(|(scenario, records)| (scenario.id.to_owned(), scenario_json(scenario, records)))
            .collect();
        json!({ "versions": versions, "remarks": self.remarks, "scenarios": scenarios })
    }
}

fn scenario_table(text: &mut String, scenario: &Scenario, records: &[Record]) -> std::fmt::Result {
    let rounds = records.iter().map(|record| record.round).collect::<BTreeSet<_>>().len();
    let foreign = median(records.iter().map(|record| record.measurement.foreign).collect()).unwrap_or(0.0);
    writeln!(text, "\n{}: {}", scenario.id, scenario.title)?;
    if records.is_empty() {
        return writeln!(text, "nothing was measured");
    }
    write!(text, "medians of {rounds} rounds; × {} of the same round (least–most); ", scenario.base())?;
    writeln!(text, "other processes took {:.0} % of the machine", foreign * 100.0)?;
    if foreign > FOREIGN_MAX {
        writeln!(text, "WARNING: the machine was not quiet; do not trust small differences")?;
    }
    let metrics: BTreeSet<Metric> =
        records.iter().flat_map(|record| &record.measurement.figures).map(|(metric, _)| *metric).collect();
    write!(text, "  {:<11}", "")?;
    for metric in &metrics {
        write!(text, "{:<31}", heading(*metric, scenario))?;
    }
    writeln!(text)?;
    for target in targets(records) {
        let mut line = format!("  {target:<11}");
        for metric in &metrics {
            let cell =
                summary(records, target, *metric).map_or_else(|| "–".to_owned(), |summary| cell(&summary));
            write!(line, "{cell:<31}")?;
        }
        writeln!(text, "{}", line.trim_end())?;
    }
    for goal in scenario.goals {
        if let Some(verdict) = verdict(records, *goal) {
            writeln!(text, "  {}: {verdict}", heading(goal.metric(), scenario))?;
        }
    }
    Ok(())
}

fn heading(metric: Metric, scenario: &Scenario) -> String {
    match metric {
        Metric::Cpu => format!("CPU µs/{}", scenario.unit),
        Metric::Rate => format!("{}/s", scenario.unit),
        Metric::P50 => "p50 ms".to_owned(),
        Metric::P99 => "p99 ms".to_owned(),
        Metric::Memory => "KiB/client".to_owned(),
        Metric::Calls | Metric::Sends | Metric::Receives | Metric::Waits | Metric::Futexes => {
            format!("{}/{}", metric.key(), scenario.unit)
        }
    }
}

fn cell(summary: &Summary) -> String {
    let value = significant(summary.median);
    match &summary.ratio {
        Some(ratio) => format!("{value:<8} ×{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most),
        None => value,
    }
}

/// At least three significant digits, and no more than two decimals.
fn significant(value: f64) -> String {
    let decimals = if value >= 1000.0 { 0 } else { 2 };
    format!("{value:.decimals$}")
}

/// How the better of pgsteer's variants stands to the goal; none if pgsteer took no part.
fn verdict(records: &[Record], goal: Goal) -> Option<String> {
    let ours = |target: &Target| matches!(target, Target::Pgsteer(_) | Target::Split(_));
    let candidates = targets(records).into_iter().filter(ours);
    let judged = candidates.filter_map(|target| {
        let summary = summary(records, target, goal.metric())?;
        let ratio = summary.ratio.as_ref().map(|ratio| ratio.median);
        Some((goal.met(summary.median, ratio)?, target, summary.median, ratio))
    });
    let higher_is_better = matches!(goal, Goal::RatioAtLeast(..));
    let (met, target, value, ratio) =
        judged.min_by(|a, b| if higher_is_better { b.2.total_cmp(&a.2) } else { a.2.total_cmp(&b.2) })?;
    let word = if met { "met" } else { "MISSED" };
    let found = match (goal, ratio) {
        (Goal::AtMost(..), _) | (_, None) => significant(value),
        (_, Some(ratio)) => format!("×{ratio:.3}"),
    };
    Some(format!("goal {goal} {word} by {target} with {found}"))
}

fn scenario_json(scenario: &Scenario, records: &[Record]) -> Value {
    let mut found = Map::new();
    for target in targets(records) {
        let mut figures = Map::new();
        for metric in Metric::ALL {
            let Some(summary) = summary(records, target, metric) else { continue };
            let to = target.base().to_string();
            let ratio = summary.ratio.map(
                |ratio| json!({ "to": to, "median": ratio.median, "least": ratio.least, "most": ratio.most }),
            );
            figures.insert(
                metric.key().to_owned(),
                json!({ "median": summary.median, "values": summary.values, "ratio": ratio }),
            );
        }
        found.insert(target.to_string(), Value::Object(figures));
    }
    let foreign: Vec<f64> = records.iter().map(|record| record.measurement.foreign).collect();
    let goals: Vec<Value> = scenario
        .goals
        .iter()
        .map(|goal| json!({ "metric": goal.metric().key(), "bound": goal.to_string(), "verdict": verdict(records, *goal) }))
        .collect();
    json!({
        "title": scenario.title, "unit": scenario.unit,
        "targets": found, "goals": goals, "foreign_cpu_share": median(foreign),
    })
}

fn targets(records: &[Record]) -> BTreeSet<Target> {
    records.iter().map(|record| record.target).collect()
}

fn summary(records: &[Record], target: Target, metric: Metric) -> Option<Summary> {
    let by_round = |wanted: Target| -> BTreeMap<u32, f64> {
        let of_target = records.iter().filter(|record| record.target == wanted);
        of_target.filter_map(|record| Some((record.round, record.measurement.get(metric)?))).collect()
    };
    let (values, base) = (by_round(target), by_round(target.base()));
    let ratios: Vec<f64> = values
        .iter()
        .filter_map(|(round, value)| Some(value / base.get(round).filter(|base| **base > 0.0)?))
        .collect();
    let ratio = median(ratios.clone()).filter(|_| target != target.base()).map(|median| Ratio {
        median,
        least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        most: ratios.iter().copied().fold(0.0, f64::max),
    });
    let values: Vec<f64> = values.into_values().collect();
    Some(Summary { median: median(values.clone())?, values, ratio })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
