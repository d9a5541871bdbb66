//! Sockets: an address, a stream over it, and who dials.

mod address;
pub mod conveyed;
mod dial;
mod framed;
pub mod http;
mod interfaces;
mod peer;
#[cfg(test)]
pub(crate) mod scripted;
pub mod secured;
mod stream;
pub mod tls;
mod unix;

pub use address::{Address, AddressError};
pub use dial::{Dial, KeepAlive, NetDialer};
pub use framed::{FrameError, Inbox};
pub use interfaces::interfaces;
pub use peer::{Peer, PeerCredentials};
pub use stream::{Detached, Duplex, Stream};
pub use unix::{SOCKET_PATH_MAX, UnixSocket, socket_path};

/// What an error says, followed by the errors behind it, as far as they say anything new.
pub fn with_causes(mut words: String, mut behind: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(cause) = behind {
        let said = cause.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        behind = cause.source();
    }
    words
}
