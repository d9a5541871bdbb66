//! The list of all metrics, made from their declarations.

use std::fmt::Write;

use super::table::TABLE;

const INTRODUCTION: &str = "\
# Metrics

*Made by `pgsteer reference --metrics` from the table in `src/metrics/table.rs`; do not edit.*

`GET /metrics` on `[http] address` prints them in Prometheus' text format. Every metric is always printed with its
`HELP` and `TYPE`; one without a line of its own has nothing to say at the moment. Where a state is a label, the series
of the state that holds stands at 1 and the others are not printed.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
";

/// The list in Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for metric in TABLE {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = metric.help.replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "| `{}` | {} | {} | {help} |", metric.name, metric.kind.word(), labels.join(", "));
    }
    text
}
