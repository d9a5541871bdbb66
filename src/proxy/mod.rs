//! The whole: listeners, workers, clusters, and how it starts, serves, reloads and stops.

mod app;
mod arriving;
mod assembly;
mod clusters;
mod drain;
mod footing;
mod http;
mod liaison;
mod limits;
mod listen;
mod logging;
mod lookups;
mod reception;
mod reload;
mod replicating;
mod rule_checks;
mod run;
mod serve;
mod settings;
mod stores;
mod timeouts;
mod welcome;
mod workers;

pub use assembly::{Embedded, OpenStore, Surroundings};
pub use reception::{WrongRules, rules};
pub use rule_checks::warnings as odd_rules;
pub use run::{Failure, run};
pub use stores::{Unwatchable, WatchedBy};
