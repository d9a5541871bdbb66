//! pgsteer: one connection string in front of a replicated PostgreSQL cluster.

pub mod admin;
pub mod auth;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod metrics;
pub mod net;
pub mod pool;
pub mod proxy;
pub mod route;
pub mod server;
pub mod session;
pub mod sql;
pub mod wire;
