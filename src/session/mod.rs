//! One client's requests, each on the server it is given.
//!
//! - The story: [`mod@session`], with a file below it for each phase (waiting for a server, having one, giving it back,
//!   the ways to end). [`context`] is what sessions share.
//! - Getting a server: [`routes`] (the pools behind a user and database), [`acquire`] (routed, waited for, made ready).
//! - Passing bytes on: [`relay`], through [`frontend`] (what the client sends) and [`backend`] (what the server says),
//!   both pure. [`exchange`] is what is owed and under way during one lease, [`tenancy`] what happened to the session in
//!   it, [`outbox`] what a peer has not taken yet.
//! - What a text says: [`reading`]; those of long texts are kept in [`readings`].
//! - State that follows its client: [`touched`] (what may have changed), `inspection` and [`inquiry`] (asking the server
//!   what it is now), `restore` (giving it to the next one); statements that SQL names: [`copies`], `deallocating`.
//!   What does not follow so easily: `temp_buffers`, `way_out`, and `alone`, for who needs a database to itself.
//! - Reads: which ones a replica serves ([`split`]), what they must see ([`promise`]), and running one again
//!   (`rereading`). `untried`: requests of any kind that a server turned away before it began.
//! - [`fate`]: what became of a commit whose answer was lost.
//! - [`cancel`] requests, `ears` (listening without a server) with `withheld` (what is told behind notifications),
//!   `rest_limit` (idling without a server), [`replication`] connections and their `frames`.

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
mod rest_limit;
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
