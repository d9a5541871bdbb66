//! How a client came, as the rules see it.

use crate::{
    auth::{Transport, visit::Whence},
    net::{Peer, PeerCredentials},
};

/// Where a client came from. The operating system is asked for its user's name only where a rule may want it.
pub(super) async fn whence(peer: Peer, transport: &Transport, need_system_user: bool) -> Whence {
    match peer {
        Peer::Tcp(address) => match transport {
            Transport::Plain => Whence::Plain { address: address.ip() },
            Transport::Tls(secured) => {
                let certificate = secured.certificate.clone().map(Box::new);
                Whence::Tls { address: address.ip(), certificate }
            }
        },
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
