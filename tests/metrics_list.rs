//! The list of metrics stays in step with what is counted.

use std::{fs, path::Path};

use pgsteer::metrics;

fn in_crate(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_list_is_in_step_with_the_table() {
    let written = fs::read_to_string(in_crate("config/METRICS.md")).unwrap();
    assert!(written == metrics::reference(), "run: pgsteer reference --metrics > config/METRICS.md");
}

/// A metric that nothing feeds would stay empty for ever.
#[test]
fn every_metric_of_the_table_is_fed() {
    let table = fs::read_to_string(in_crate("src/metrics/table.rs")).unwrap();
    let mut feeding = fs::read_to_string(in_crate("src/admin/gather.rs")).unwrap();
    for file in fs::read_dir(in_crate("src/admin/gather")).unwrap() {
        feeding.push_str(&fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let declared = table.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(": ")?;
        let kind = rest.split(' ').next()?;
        matches!(kind, "Counter" | "Gauge" | "Histogram").then_some(name)
    });
    let declared: Vec<_> = declared.collect();
    assert_eq!(declared.len(), metrics::table::TABLE.len());
    for name in declared {
        let used = ["table::", "&table::"].iter().any(|before| {
            feeding.split(&format!("{before}{name}")).skip(1).any(|after| after.starts_with([',', ')']))
        });
        assert!(used, "{name}");
    }
}
