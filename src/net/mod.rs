//! Sockets: an address, a stream over it, and who dials.

mod address;
mod dial;
mod framed;
mod interfaces;
#[cfg(test)]
pub(crate) mod scripted;
mod stream;

pub use address::{Address, AddressError};
pub use dial::{Dial, KeepAlive, NetDialer};
pub use framed::{FrameError, Inbox};
pub use interfaces::interfaces;
pub use stream::{Duplex, Stream};
