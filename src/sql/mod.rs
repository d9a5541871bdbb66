//! What a statement needs, read from its text alone.
//!
//! [`effects::classify`] says in one pass what running a text can leave behind in the session, whether it can end a
//! transaction, and whether its parse result may be shared. Where something may be left behind, [`touches::touches`] says
//! what kinds of it, by name where there are names; [`unsettling`], what sessions find that begin afterwards. Whatever is not understood counts as the most dangerous.

pub mod alone;
mod bytes;
mod commands;
mod config_call;
pub mod effects;
pub mod encoding;
pub mod errand;
mod fingerprint;
mod flags;
pub mod lexer;
mod literals;
pub mod prepared;
#[cfg(test)]
mod properties;
mod scan;
mod settings;
pub mod touches;
pub mod unsettling;
mod words;

pub use effects::{
    Effects, Session, Statements, TransactionControl, classify, classify_opaque, classify_prefix,
    classify_unsure, statements,
};
pub use fingerprint::fingerprint;
