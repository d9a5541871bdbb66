//! Notifications for clients that have no server of their own to listen on.
//!
//! For each database (and client encoding) one connection to the leader listens on all channels that clients listen on.
//! [`hub`] says what it must do and who is to be told what; [`switchboard`] does it.

pub mod hub;
mod link;
pub mod mailbox;
pub mod switchboard;
