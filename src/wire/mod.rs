//! The protocol as values: no sockets, no clock, no configuration.

pub mod error;
pub mod message;
pub mod startup;
