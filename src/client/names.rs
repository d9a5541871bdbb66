//! What a client says of itself at its start.

use crate::{
    auth::visit::Wants,
    wire::{
        error::{PgError, SqlState},
        startup::{Replication, StartupMessage},
    },
};

/// Who, where to and what for.
pub(super) struct Names {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) wants: Wants,
}

impl Names {
    pub(super) fn of(startup: &StartupMessage) -> Result<Self, PgError> {
        let text = |name| match startup.get(name).map(str::from_utf8) {
            None | Some(Ok("")) => Ok(None),
            Some(Ok(text)) => Ok(Some(text.to_owned())),
            Some(Err(_)) => Err(PgError::fatal(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\" in startup parameter \"{name}\""),
            )),
        };
        let user = text("user")?.ok_or_else(|| {
            let message = "no PostgreSQL user name specified in startup packet";
            PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
        })?;
        // A word that is none is refused before anybody is asked who he is.
        let wants = match startup.replication()? {
            Some(Replication::Physical) => Wants::PhysicalReplication,
            Some(Replication::Logical) | None => Wants::Session,
        };
        Ok(Self { wants, database: text("database")?.unwrap_or_else(|| user.clone()), user })
    }
}
