//! Whole configurations, good and bad.

mod refused;
mod reloads;
mod sense;
mod sources;
mod tls;
mod understood;

use std::path::Path;

use super::{secret_file::Readers, *};

/// A small configuration that is right; tests add to it.
const GOOD: &str = "\
[clusters.a]
store = \"none\"
hosts = [\"db1\", \"db2\", \"db3\"]
probe_user = \"probe\"
[[listen]]
address = \"127.0.0.1:6432\"
route = \"write\"
";

fn parse(text: &str) -> Result<Config, Invalid> {
    let environment = |name: &str| (name == "KNOWN").then(|| "from the environment".to_owned());
    Config::parse(text, "p.toml", Path::new(env!("CARGO_MANIFEST_DIR")), &environment, Readers::OwnerOrGroup)
}

/// The good configuration with more at its end, and without authentication unless `more` has its own.
fn with(more: &str) -> String {
    let auth = if more.contains("[auth]") { "" } else { "[auth]\nauth_type = \"trust\"\n" };
    format!("{GOOD}{auth}{more}")
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|invalid| panic!("{text}\n{invalid}"))
}

/// The errors on one line each.
fn errors(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid.findings().iter().map(ToString::to_string).collect(),
    }
}

/// A whole file with one cluster of these keys.
fn cluster(keys: &str) -> String {
    format!(
        "[clusters.a]\n{keys}\n[[listen]]\naddress=\"[::1]:1\"\nroute=\"read\"\n[auth]\nauth_type=\"trust\""
    )
}
