//! The same statements, directly and through pgsteer: the same bytes, message by message.
//!
//! Each script (`*.sql` beside this file; `script.rs` says how they are written) is played in several ways: as simple
//! queries, and by the extended protocol with unnamed and with named statements, each step in a round trip of its own, so
//! that between any two of them outside a transaction pgsteer gives another server, which another client has left with
//! other settings. Each is played in all modes of pooling (`modes.rs`); in session mode sessions begin on such a server, and
//! in statement mode blocks are left out. What may differ is named in `shown.rs`: cancel keys, process ids, and numbers of
//! objects.

mod client;
mod modes;
mod play;
mod script;
mod shown;

use std::path::Path;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Release, Result};

use crate::modes::{BESIDES, Ground, MAINLY, Plays};
use crate::play::{Stage, Way};
use crate::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_systems_release() -> Result {
    compare(Release::System, MAINLY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_18() -> Result {
    compare(Release::Eighteen, MAINLY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_other_modes_too_with_postgresql_18() -> Result {
    compare(Release::Eighteen, BESIDES).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_19() -> Result {
    compare(Release::Nineteen, MAINLY).await
}

async fn compare(release: Release, plays: Plays) -> Result {
    let ground = Ground::start(release).await?;
    let mut differences = Vec::new();
    let mut played = 0;
    let [transaction, session, statement] = plays;
    for script in scripts()? {
        // What is told directly is the same for all modes that play the same.
        for (script, plays) in
            [(script.without_blocks(), &[statement][..]), (script, &[transaction, session])]
        {
            for way in Way::ALL {
                let mut modes = plays.iter().filter(|(_, ways)| ways.contains(&way)).peekable();
                if modes.peek().is_none() {
                    continue;
                }
                let stage = Stage::new(&ground, &script, way);
                let what = || format!("{} {way:?}", script.name);
                let directly = stage.directly().await.with_context(what)?;
                for (mode, _) in modes {
                    let what = || format!("{} {way:?} {mode:?}", script.name);
                    let through = stage.through(*mode).await.with_context(what)?;
                    differences.extend(shown::first_difference(&script, &what(), &directly, &through));
                    played += directly.len();
                }
            }
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
