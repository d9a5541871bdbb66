//! One client's connection, from its first byte.

mod hello;
mod login;

pub use hello::{Arrival, Greeting, Hello, HelloError};
pub use login::{Authenticator, LoggedIn, LoginError, login};
