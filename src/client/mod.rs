//! One client's connection, from its first byte.
//!
//! `caller` and `hello` are its first words (a proxy's, then its own), `login` who it is: by what is listed, by a
//! `lookup`, or by what somebody `outside` says. [`registry`] has those that are in.

mod caller;
mod credentials;
mod hello;
mod login;
mod lookup;
mod names;
mod outside;
mod patience;
mod peer;
pub mod registry;
mod token;

pub use caller::{Caller, Introduction, IntroductionError};
pub use hello::{Arrival, Greeting, Hello, HelloError};
pub use login::{Authenticator, LoggedIn, LoginError, login};
pub use lookup::{Age, Belonging, Finding, Found, Lookup, Need};
pub use outside::Outside;
pub use patience::Patience;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
