//! Notifications for clients that have no server of their own to listen on.
//!
//! For each database (and client encoding) one connection to the leader listens on all channels that clients listen on.
//! [`hub`] says what it must do and who is to be told what; [`switchboard`] does it. A round trip of that connection shows that
//! all that was committed before it has come, which belongs in front of what clients are told next.

pub mod hub;
mod link;
pub mod mailbox;
pub mod switchboard;
