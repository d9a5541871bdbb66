//! Clients for whom the operating system vouches (`peer`).

use super::login::Refusal;
use crate::{
    net::Peer,
    wire::error::{PgError, SqlState},
};

/// Whether the operating system says that the client is who it says: its user's name is the user's.
pub(super) async fn by_peer(peer: Peer, user: &str) -> Result<(), Refusal> {
    let failed = |reason| Refusal::Told {
        error: PgError::fatal(
            SqlState::INVALID_AUTHORIZATION,
            format!("Peer authentication failed for user \"{user}\""),
        ),
        reason: Some(reason),
    };
    let Peer::Unix(Some(credentials)) = peer else {
        return Err(failed("the operating system does not say whose connection it is"));
    };
    match credentials.user_name().await {
        Ok(Some(name)) if name == user => Ok(()),
        Ok(Some(_)) => Err(failed("the operating system says that it is another user's")),
        Ok(None) => Err(failed("the operating system has no name for the user whose connection it is")),
        Err(error) => {
            tracing::warn!(uid = credentials.uid, "cannot look up a user of the operating system: {error}");
            Err(failed("the operating system's users cannot be looked up"))
        }
    }
}
