//! PostgreSQL's own regression suite through pgsteer in transaction mode: whatever passes directly passes.
//!
//! The suite is the one of the system's PostgreSQL, fetched by `deploy/install.sh regress`: each file through psql,
//! the groups of its schedule at once, what psql shows compared with what PostgreSQL's developers expect. It runs
//! directly first, because a machine of another make may differ from theirs in a few lines.
//!
//! `make regress` runs it; the differences are then in `target/regress/`.

mod known;
mod suite;

use std::collections::BTreeSet;

use anyhow::ensure;
use pgsteer_testkit::{Door, Proxy, Release, Result, Sandbox, Server};

use crate::suite::{Outcome, Suite};

/// Every client of the suite is a superuser or a role that it makes itself.
const OVERRIDES: &str = r#"
[auth]
auth_type = "trust"
[pool]
default_pool_size = 40
rotate_servers = true
[log]
connections = false
"#;

/// As PostgreSQL's own test server has it.
const SETTINGS: &str = "max_prepared_transactions = 2\nautovacuum_naptime = 1min\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_transaction_mode() -> Result {
    judge(&through("transaction").await?, &known::DIFFERENT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_session_mode() -> Result {
    judge(&through("session").await?, &known::DIFFERENT_IN_SESSION_MODE).await
}

async fn through(mode: &str) -> Result<Vec<Outcome>> {
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox, Release::System, Door::Open, SETTINGS).await?;
    let overrides = format!("{OVERRIDES}[databases.regression]\npool_mode = \"{mode}\"\n");
    let proxy = Proxy::before(&sandbox, &server, &overrides).await?;
    Suite::new(&sandbox, mode)?.run(proxy.write, &server).await
}

async fn directly() -> Result<Vec<Outcome>> {
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox, Release::System, Door::Open, SETTINGS).await?;
    Suite::new(&sandbox, "directly")?.run(server.address, &server).await
}

/// A file that does not come out as expected must at least come out as it does directly.
async fn judge(pooled: &[Outcome], known: &[(&str, &str)]) -> Result {
    let count = |outcomes: &[Outcome]| outcomes.iter().filter(|one| one.as_expected).count();
    let all = pooled.len();
    println!("{} of {all} as expected", count(pooled));
    ensure!(all > 200, "only {all} files");
    if count(pooled) == all && known.is_empty() {
        return Ok(());
    }
    let direct = directly().await?;
    println!("directly {} of {all} as expected", count(&direct));
    let differing = pooled.iter().zip(&direct);
    let differing = differing.filter(|(pooled, direct)| !pooled.as_expected && direct.shown != pooled.shown);
    let differing: BTreeSet<_> = differing.map(|(pooled, _)| pooled.name.as_str()).collect();
    let known: BTreeSet<_> = known.iter().map(|(name, _)| *name).collect();
    let news: Vec<_> = differing.difference(&known).collect();
    ensure!(news.is_empty(), "{} different through pgsteer, see target/regress: {news:?}", news.len());
    Ok(())
}
