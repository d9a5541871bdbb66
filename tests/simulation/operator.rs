//! What an operator does to the program: the configuration is read again while things go wrong, and the program is stopped.

use std::{path::PathBuf, time::Duration};

use pgsteer::{config::Source, proxy::Embedded};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    faults::Strike,
    random::Rng,
    shape::Shape,
    world::{Ms, Shared},
};

/// How long transactions may take to end when the program is stopped.
pub(crate) const DRAIN_MAX: Ms = 2000;
/// How long those that are cut off then may take to read why, and a little more.
const LAST_WORDS: Ms = 1500;

/// The file that the configuration stands in.
pub(crate) struct Desk {
    folder: TempDir,
    shape: Shape,
}

impl Desk {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), shape: shape.clone() }
    }

    /// Writes it, with so many more servers for each pool.
    pub(crate) fn write(&self, more: usize) -> Source {
        let path: PathBuf = self.folder.path().join("pgsteer.toml");
        std::fs::write(&path, self.shape.configuration(more)).unwrap();
        Source::File(path)
    }

    /// Has it read again and again, changed and unchanged, and now and then with an error in it.
    pub(crate) async fn reload(self, proxy: Embedded, mut rng: Rng) {
        loop {
            sleep(Duration::from_millis(rng.within(200, 1500))).await;
            let source = self.write(rng.below(2));
            if rng.chance(20) {
                let path = self.folder.path().join("pgsteer.toml");
                std::fs::write(path, "[pool]\npool_mode = \"none\"\n").unwrap();
            }
            proxy.reload(&source);
        }
    }
}

/// Stops the program, perhaps while a server is being restarted: in time, and nothing is left.
pub(crate) async fn stop(world: &Shared, proxy: &Embedded, rng: &mut Rng) {
    let began = {
        let mut world = world.lock();
        world.note("STOPPED", 0, 0);
        world.is_stopping = true;
        if rng.chance(50) {
            world.begin(Strike::Restart(usize::MAX), 0);
        }
        world.now()
    };
    sleep(Duration::from_millis(rng.within(0, 50))).await;
    proxy.drain().await;
    let mut world = world.lock();
    let took = world.now() - began;
    if took > DRAIN_MAX + LAST_WORDS {
        world.violated(format!("it took {took} ms to stop"));
    }
    let open: usize = proxy.pools().all().iter().map(|(_, pool)| pool.gauges().idle).sum();
    if proxy.clients() + open > 0 {
        world.violated(format!("{} clients and {open} idle servers are left by a stop", proxy.clients()));
    }
}
