//! What is shipped beside the program stays in step with it.

use std::{fs, path::Path};

use pgsteer::{
    config::{self, ServerAddress, Severity, Source},
    net::Address,
};

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_reference_is_in_step_with_the_declarations() {
    let written = fs::read_to_string(shipped("REFERENCE.md")).unwrap();
    assert!(written == config::reference(), "run: pgsteer reference > config/REFERENCE.md");
}

#[test]
fn the_example_works() {
    let config = Source::File(shipped("pgsteer.toml")).load().unwrap_or_else(|invalid| panic!("{invalid}"));
    // A checkout cannot keep the list of users from being readable; nothing else may be odd.
    let odd: Vec<_> = config.warnings().iter().filter(|w| !w.what().contains("everybody may read")).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!(config.warnings().iter().all(|warning| warning.severity() == Severity::Warning));
    assert_eq!(config.listeners.len(), 2);
}

/// What stands commented out in the example is meant to be uncommented.
#[test]
fn every_key_that_the_example_mentions_exists() {
    let example = fs::read_to_string(shipped("pgsteer.toml")).unwrap();
    let reference = config::reference();
    let key = |line: &str| {
        let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
        key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then(|| key.to_owned())
    };
    let keys: Vec<_> = example.lines().filter_map(key).collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(reference.contains(&format!("| `{key}` |")), "{key}");
    }
}

#[test]
fn an_address_that_the_configuration_accepts_can_be_dialled() {
    for text in
        ["db1", "db1:6000", "10.0.0.1:1", "[::1]:7", "[::1]", "::1", "/run/pg", "/run/pg:6", "a_b.c:1"]
    {
        let accepted: ServerAddress = text.parse().unwrap();
        assert!(accepted.as_str().parse::<Address>().is_ok(), "{text}");
    }
}
