//! What can be seen of a running pgsteer: [`table`] names every metric, [`page`] writes them down, and the rest are
//! the counters themselves.
//!
//! On the data path these are plain numbers, each written by one worker alone and summed when asked for. Rare events
//! go to a [`Tally`]. Nothing is global: whoever counts is given what to count with.

mod counters;
mod events;
mod histogram;
pub mod page;
mod reference;
pub mod table;
mod tally;

pub use counters::{Counter, SPLIT_REASONS, WorkerCounters};
pub use events::{Events, PoolEvents};
pub use histogram::{BOUNDS_US, BUCKETS, Histogram, Reading};
pub use reference::reference;
pub use tally::Tally;
