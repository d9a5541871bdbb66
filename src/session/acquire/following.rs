//! Settings that a client has not chosen itself: it has what its server's configuration says, as it would with one of its own.

use std::sync::Arc;

use super::Needs;
use crate::{
    server::conn::ServerConn,
    wire::parameters::{Own, Parameters},
};

impl Needs<'_> {
    /// The settings that a server must be given; nothing where it is to have those of its start.
    pub(super) fn wanted(&self) -> Arc<Parameters> {
        match self.own {
            Own::ALL => self.parameters.clone(),
            own => Arc::new(self.parameters.only(own)),
        }
    }

    /// Whether a server's settings are not what the client was told, and it follows them.
    #[cold]
    pub(super) fn follows(&self, conn: &ServerConn) -> bool {
        self.own != Own::ALL && conn.difference_sql(&self.wanted()).is_none()
    }
}
