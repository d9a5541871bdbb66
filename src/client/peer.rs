//! How a client came, as the rules see it.

use crate::{
    auth::visit::Whence,
    net::{Peer, PeerCredentials},
};

/// Where a client came from. The operating system is asked for its user's name only where a rule may want it.
pub(super) async fn whence(peer: Peer, need_system_user: bool) -> Whence {
    match peer {
        Peer::Tcp(address) => Whence::Plain { address: address.ip() },
        Peer::Unix(Some(credentials)) if need_system_user => {
            Whence::Local { system_user: Box::pin(name_of(credentials)).await }
        }
        Peer::Unix(_) => Whence::Local { system_user: None },
    }
}

async fn name_of(credentials: PeerCredentials) -> Option<String> {
    let uid = credentials.uid;
    match credentials.user_name().await {
        Ok(Some(name)) => Some(name),
        Ok(None) => {
            tracing::info!(uid, "the operating system has no name for the user of a connection");
            None
        }
        Err(error) => {
            tracing::warn!(uid, "cannot look up a user of the operating system: {error}");
            None
        }
    }
}
