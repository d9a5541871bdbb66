//! The protocol as values: no runtime, no clock, no configuration.

pub mod frame;
pub mod parameters;
pub mod pipeline;
pub mod splice;
pub mod statements;
