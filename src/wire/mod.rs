//! The protocol as values: no runtime, no clock, no configuration.

pub mod bind;
pub mod conduct;
pub mod description;
pub mod error;
pub mod frame;
pub mod held;
pub mod local;
pub mod message;
pub mod named;
pub mod options;
pub mod parameters;
pub mod pipeline;
pub mod schema;
pub mod sightings;
pub mod splice;
pub mod startup;
pub mod state;
pub mod statements;
