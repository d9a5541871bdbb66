//! The whole: listeners, workers, clusters, and how it starts, serves, reloads and stops.

mod app;
mod clusters;
mod drain;
mod limits;
mod listen;
mod liaison;
mod reload;
mod run;
mod serve;
mod settings;
mod timeouts;
mod welcome;
mod workers;

pub use run::run;
