//! A strict reader of Prometheus' text format 0.0.4: what it does not expect is a panic.

use std::collections::BTreeMap;

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The type of each metric.
    pub types: BTreeMap<String, String>,
    series: BTreeMap<(String, Labels), f64>,
}

type Labels = BTreeMap<String, String>;

impl Exposition {
    /// Reads a page.
    pub fn read(page: &str) -> Self {
        assert!(page.ends_with('\n'), "the last line ends");
        let mut read = Self::default();
        let mut family = String::new();
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').unwrap();
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert!(!text.is_empty(), "{line}");
                assert!(read.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
                family = name.to_owned();
                continue;
            }
            let (name, labels, value) = series(line);
            let belongs = match read.types[&family].as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].map(|end| family.clone() + end).contains(&name),
                _ => name == family,
            };
            assert!(belongs, "not one of {family}: {line}");
            assert!(read.types[&family] != "counter" || value >= 0.0, "{line}");
            assert!(read.series.insert((name, labels), value).is_none(), "twice: {line}");
        }
        read.check_histograms();
        read
    }

    /// The sum of all series of this name that have these labels, among others.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    /// The values that a label has in the series of this name that have these other labels.
    pub fn values(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> Vec<String> {
        self.matching(name, labels).map(|(labels, _)| labels[label].clone()).collect()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        wanted: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        let has = |labels: &Labels| {
            wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|has| has == value))
        };
        let of_this = move |((n, labels), _): &(&(String, Labels), &f64)| n == name && has(labels);
        self.series.iter().filter(of_this).map(|((_, labels), value)| (labels, *value))
    }

    fn check_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for (labels, count) in self.matching(&format!("{name}_bucket"), &[]) {
                let mut labels = labels.clone();
                let bound = number(&labels.remove("le").unwrap());
                buckets.entry(labels).or_default().push((bound, count));
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
                let last = buckets.last().unwrap();
                let key = |end: &str| (format!("{name}{end}"), labels.clone());
                assert!(last.0.is_infinite() && self.series[&key("_count")].total_cmp(&last.1).is_eq());
                assert!(self.series[&key("_sum")] >= 0.0);
            }
        }
    }
}

/// A sample's line: name, labels and value.
fn series(line: &str) -> (String, Labels, f64) {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    (name.to_owned(), labels, number(rest.strip_prefix(' ').unwrap()))
}

/// A label's value up to its closing quote, and what follows that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => panic!("escaped {c:?}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no closing quote: {text}")
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => {
            let number: f64 = text.parse().unwrap();
            assert!(number.is_finite(), "{text}");
            number
        }
    }
}
