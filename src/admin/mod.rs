//! Seeing the running program from outside, over HTTP: metrics, health, readiness and the topology.

mod gather;
pub mod http;
mod leader;
mod ready;
mod seats;
mod view;
mod words;

pub use view::{ClusterView, View};
