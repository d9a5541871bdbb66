//! The whole: listeners, workers, clusters, and how it starts, serves, reloads and stops.
//!
//! - The program's life: `run`, `limits` (open files), `assembly` and what it makes (`app`, `workers`, `stores`, `clusters`),
//!   `reload`, `drain`. From the configuration's words to values: `settings`, `reception`, `rule_checks`.
//! - A connection's life: `listen`, `serve` (its story), `arriving`, `lookups` (users that are not listed), `welcome` with its
//!   `footing`; or `replicating`. `timeouts` looks after all of them.
//! - Beside that: `http`, `logging`, and `liaison`, by which pools tell the others.

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
