//! One client's requests, each on the server it is given.

pub mod acquire;
mod alone;
pub mod backend;
pub mod cancel;
pub mod context;
pub mod copies;
mod deallocating;
mod ears;
pub mod exchange;
pub mod fate;
mod frames;
pub mod frontend;
pub mod inquiry;
mod inspection;
pub mod outbox;
pub mod promise;
pub mod reading;
pub mod readings;
pub mod relay;
pub mod replication;
mod rereading;
mod restore;
pub mod routes;
#[expect(clippy::module_inception, reason = "a session, in the room of sessions")]
pub mod session;
pub mod split;
mod temp_buffers;
pub mod tenancy;
pub mod touched;
mod untried;
mod way_out;
mod withheld;
