//! Seeing the running program from outside, over HTTP: metrics, health, readiness and the topology.

mod gather;
pub mod http;
mod leader;
pub mod operator;
mod orders;
mod pages;
mod ready;
mod seats;
mod switchover;
mod view;
mod words;

pub use switchover::Switchover;
pub use view::{ClusterView, View};
