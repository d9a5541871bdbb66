//! The protocol as values: no runtime, no clock, no configuration.
//!
//! - Messages: where one ends ([`frame`]), the first one ([`startup`], [`options`]), the few that are looked into
//!   ([`message`], [`error`]), passing them on ([`splice`]).
//! - What is owed: [`pipeline`], and what work without an answer comes to, [`conduct`].
//! - Prepared statements: shared by clients ([`statements`]), named by one of them ([`named`]), had by a server ([`held`]);
//!   what they yield ([`description`]), which texts come again ([`sightings`]), when the [`schema`] changed.
//! - What a session holds: [`parameters`] that the server reports, other [`state`], settings for one sequence ([`local`]).

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
