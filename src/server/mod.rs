//! One connection to one PostgreSQL.

mod channel;
pub mod conn;
mod connect;
mod login;
mod query;
mod questions;
mod secure;

pub use connect::{ConnectError, Connected, ServerLogin, cancel, connect};
pub use login::{Derivation, LoginStep, ServerLoginMachine, Session};
pub use query::{Answer, QueryError, Told, ask, ask_all, query_with, simple_query};
pub use questions::Questions;
pub use secure::Approach;
