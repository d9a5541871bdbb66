//! A scenario: a cluster, a pgsteer and a workload, with everything told when it fails.

use crate::{Cluster, Options, Proxy, Result};

/// What most scenarios begin with.
#[derive(Debug)]
pub struct Stage {
    /// pgsteer, ready, with the shipped defaults. First, so that it ends first.
    pub proxy: Proxy,
    /// The cluster, healthy.
    pub cluster: Cluster,
}

/// Sets the stage, plays the scenario, and shows the logs of everyone when it fails.
///
/// # Errors
/// The scenario's.
pub async fn scenario(options: Options, play: impl AsyncFnOnce(&mut Stage) -> Result) -> Result {
    scenario_with(options, "", play).await
}

/// The same with some keys of pgsteer's configuration changed, as TOML.
///
/// # Errors
/// The scenario's.
pub async fn scenario_with(
    options: Options,
    overrides: &str,
    play: impl AsyncFnOnce(&mut Stage) -> Result,
) -> Result {
    let cluster = Cluster::start(options).await?;
    let proxy = Proxy::start_with(&cluster, overrides).await?;
    let mut stage = Stage { proxy, cluster };
    play(&mut stage).await.inspect_err(|_| eprintln!("{}", stage.cluster.sandbox.logs(40)))
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.cluster.sandbox.logs(40));
        }
    }
}
