//! Notifications for clients that have no server of their own to listen on.
//!
//! For each database one connection listens on all channels that clients listen on. [`hub`] says what it must do and
//! who is to be told what.

pub mod hub;
