//! The page of `/metrics`, in Prometheus' text format 0.0.4.
//!
//! The lines are written by `metrics-exporter-prometheus`; its recorder is not used. That takes neither counters with
//! fractions nor histograms counted elsewhere, prints in another order each time, keeps series of members that are
//! gone, and calibrates a clock, blocking its thread, when it is made.

use std::{collections::BTreeMap, fmt::Display};

use metrics::{Key, Label};
use metrics_exporter_prometheus::{
    LabelSet,
    formatting::{write_help_line, write_metric_line, write_type_line},
};

use super::{
    histogram::{BOUNDS_US, Reading},
    table::{Kind, Metric, TABLE},
};

/// The page's media type.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written. Made anew each time, so that what is gone is gone from it.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, String>,
}

impl Page {
    /// Adds a series: the label values in the metric's order, and what it stands at.
    pub fn add<const N: usize>(&mut self, metric: &Metric<N>, values: [&str; N], stands_at: impl Display) {
        debug_assert!(metric.kind != Kind::Histogram, "{}", metric.name);
        let labels = labels(metric, values);
        let lines = self.families.entry(metric.name).or_default();
        write_metric_line(lines, metric.name, None, &labels, NO_LABEL, stands_at, None);
    }

    /// Adds a histogram of durations, in seconds.
    pub fn add_histogram<const N: usize>(
        &mut self,
        metric: &Metric<N>,
        values: [&str; N],
        reading: &Reading,
    ) {
        debug_assert!(metric.kind == Kind::Histogram, "{}", metric.name);
        let labels = labels(metric, values);
        let lines = self.families.entry(metric.name).or_default();
        let mut count = 0;
        let bounds = BOUNDS_US.map(|us| seconds(us).to_string());
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        for (bound, bucket) in bounds.zip(reading.buckets) {
            count += bucket;
            write_metric_line(lines, metric.name, Some("bucket"), &labels, Some(("le", bound)), count, None);
        }
        let sum = seconds(reading.sum_us);
        write_metric_line(lines, metric.name, Some("sum"), &labels, NO_LABEL, sum, None);
        write_metric_line(lines, metric.name, Some("count"), &labels, NO_LABEL, count, None);
    }

    /// The page: every metric of the table, also one without a series at the moment.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for metric in TABLE {
            write_help_line(&mut text, metric.name, None, None, metric.help);
            write_type_line(&mut text, metric.name, None, None, metric.kind.word());
            text.push_str(self.families.get(metric.name).map_or("", String::as_str));
        }
        text
    }
}

const NO_LABEL: Option<(&str, &str)> = None;

#[expect(clippy::cast_precision_loss, reason = "a sum of 2^53 microseconds is 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn labels<const N: usize>(metric: &Metric<N>, values: [&str; N]) -> LabelSet {
    let labels: Vec<Label> =
        metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, escaped(value))).collect();
    LabelSet::from_key_and_global(&Key::from_parts(metric.name, labels), &Default::default())
}

/// The exporter takes a backslash before a backslash or a quote for an escape that is already there, so that two
/// different names could become one and the page invalid. Escaped beforehand, every name stays itself.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Histogram, table};

    fn lines(page: Page) -> Vec<String> {
        page.finish().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn label_values_are_escaped_and_stay_apart() {
        for (value, written) in [
            ("plain", "plain"),
            ("", ""),
            ("a\"b", r#"a\"b"#),
            (r"a\b", r"a\\b"),
            (r"a\\b", r"a\\\\b"),
            (r#"a\"b"#, r#"a\\\"b"#),
            (r"a\nb", r"a\\nb"),
            ("a\nb", r"a\nb"),
            ("a\\\nb", r"a\\\nb"),
            (r"ends\", r"ends\\"),
            ("Größe,{}=", "Größe,{}="),
        ] {
            let mut page = Page::default();
            page.add(&table::TERM_EPOCH, [value], 7);
            assert_eq!(lines(page), [format!("pgsteer_term_epoch{{cluster=\"{written}\"}} 7")], "{value:?}");
        }
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let histogram = Histogram::default();
        for ms in [0, 1, 2, 70_000] {
            histogram.record(Duration::from_millis(ms));
        }
        let mut reading = Reading::default();
        histogram.add_to(&mut reading);
        let mut page = Page::default();
        page.add_histogram(&table::WAITS, ["leader"], &reading);
        let lines = lines(page);
        for (place, expected) in [
            (0, r#"pgsteer_wait_seconds_bucket{for="leader",le="0.0001"} 1"#),
            (3, r#"pgsteer_wait_seconds_bucket{for="leader",le="0.001"} 2"#),
            (4, r#"pgsteer_wait_seconds_bucket{for="leader",le="0.0025"} 3"#),
            (17, r#"pgsteer_wait_seconds_bucket{for="leader",le="60"} 3"#),
            (18, r#"pgsteer_wait_seconds_bucket{for="leader",le="+Inf"} 4"#),
            (19, r#"pgsteer_wait_seconds_sum{for="leader"} 70.003"#),
            (20, r#"pgsteer_wait_seconds_count{for="leader"} 4"#),
        ] {
            assert_eq!(lines[place], expected);
        }
        assert_eq!(lines.len(), 21);
    }
}
