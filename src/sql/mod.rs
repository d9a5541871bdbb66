//! What a statement needs, read from its text alone.
//!
//! [`effects::classify`] says in one pass what running a text can leave behind in the session, whether it can end a
//! transaction, and whether its parse result may be shared. Whatever is not understood counts as the most dangerous.

mod bytes;
mod commands;
pub mod effects;
pub mod encoding;
mod flags;
pub mod lexer;
mod literals;
#[cfg(test)]
mod properties;
mod scan;
mod settings;
mod words;

pub use effects::{
    Effects, Session, Statements, TransactionControl, classify, classify_opaque, classify_prefix,
    classify_unsure,
};
