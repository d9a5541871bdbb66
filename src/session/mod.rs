//! One client's requests, each on the server it is given.

pub mod acquire;
pub mod backend;
pub mod cancel;
pub mod context;
pub mod exchange;
pub mod frontend;
pub mod outbox;
pub mod reading;
pub mod relay;
pub mod routes;
pub mod session;
