//! Sockets: an address, a stream over it, and who dials.

mod address;
mod dial;
mod framed;
#[cfg(test)]
pub(crate) mod scripted;
mod stream;
pub mod tls;

pub use address::{Address, AddressError};
pub use dial::{Dial, KeepAlive, NetDialer};
pub use framed::{FrameError, Inbox};
pub use stream::{Duplex, Stream};
