//! One client's connection, from its first byte.

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
