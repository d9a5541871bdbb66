//! The same statements, directly and through pgsteer: the same bytes, message by message.
//!
//! Each script (`*.sql` beside this file; `script.rs` says how they are written) is played in several ways: as simple
//! queries, and by the extended protocol with unnamed and with named statements, each step in a round trip of its own, so
//! that between any two of them outside a transaction pgsteer gives another server, which another client has left with
//! other settings. What may differ is named in `shown.rs`: cancel keys, process ids, and numbers of objects.

mod client;
mod play;
mod script;
mod shown;

use std::path::Path;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Door, Release, Result, Single};

use crate::play::{Stage, Way};
use crate::script::Script;

/// Fewer servers than the sessions of the larger scripts could hold, and another one after each transaction.
const OVERRIDES: &str = r#"
[auth]
auth_type = "trust"
[pool]
default_pool_size = 6
rotate_servers = true
[log]
connections = false
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_systems_release() -> Result {
    compare(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_18() -> Result {
    compare(Release::Eighteen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_19() -> Result {
    compare(Release::Nineteen).await
}

async fn compare(release: Release) -> Result {
    let single = Single::start(release, Door::Open, "", OVERRIDES).await?;
    let mut differences = Vec::new();
    let mut played = 0;
    for script in scripts()? {
        for way in Way::ALL {
            let what = || format!("{} {way:?}", script.name);
            let stage = Stage::new(&single, &script, way).await.with_context(what)?;
            let directly = stage.directly().await.with_context(what)?;
            let through = stage.through().await.with_context(what)?;
            differences.extend(shown::first_difference(&script, way, &directly, &through));
            played += directly.len();
        }
    }
    println!("{played} steps");
    ensure!(played > 1000 || std::env::var_os("DIFFERENTIAL").is_some(), "only {played} steps were played");
    ensure!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// All of them, or those whose names contain `DIFFERENTIAL`.
fn scripts() -> Result<Vec<Script>> {
    let wanted = std::env::var("DIFFERENTIAL").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    files.sort();
    files.iter().map(|file| Script::read(file).with_context(|| file.display().to_string())).collect()
}
