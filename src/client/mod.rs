//! One client's connection, from its first byte.

mod hello;
mod login;
mod lookup;
mod peer;
pub mod registry;

pub use hello::{Arrival, Greeting, Hello, HelloError};
pub use login::{Authenticator, LoggedIn, LoginError, login};
pub use lookup::{Age, Finding, Found, Lookup, Need};

#[cfg(test)]
mod tests;
