//! Logging in through a running pgsteer, in front of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod databases;
mod directory;
mod eighteen;
mod guessing;
mod issuers;
mod local;
mod lookups;
#[cfg(feature = "pam")]
mod modules;
mod pgsteer;
mod reloads;
mod rules;
mod rustls_client;
mod servers;
mod tls;
mod tokens;
mod verifiers;
