//! The `plain` method: the client sends its password.

use std::sync::Arc;

use super::{
    Failure,
    secrets::{Credential, Password, UserSecret},
};
use crate::wire::error::{PgError, SqlState};

/// Asks a client for its password.
#[derive(Debug)]
pub struct CleartextServer {
    user: Box<str>,
    expected: Arc<UserSecret>,
}

impl CleartextServer {
    /// Expects the password behind `expected`. For a user without a secret give a mock's.
    pub fn new(user: &str, expected: Arc<UserSecret>) -> Self {
        Self { user: user.into(), expected }
    }

    /// Whether [`exchange`](Self::exchange) takes milliseconds (a SCRAM verifier): then not on a worker.
    pub fn is_slow(&self) -> bool {
        matches!(*self.expected, UserSecret::Scram(_))
    }

    /// Judges the client's password; it then serves to log in to servers.
    pub fn exchange(self, password: &[u8]) -> Result<Credential, Failure> {
        if password.is_empty() {
            let error = PgError::fatal(SqlState::INVALID_PASSWORD, "empty password returned by client");
            return Err(Failure::Violation(Box::new(error)));
        }
        let given = Password::new(password);
        let right = match &*self.expected {
            UserSecret::Scram(verifier) => verifier.is_of(password),
            UserSecret::Md5(hash) => hash.is_of(password, &self.user),
            UserSecret::Password(known) if *known == given => {
                // The known one remembers the keys derived from it.
                return Ok(Credential::Password(known.clone()));
            }
            UserSecret::Password(_) | UserSecret::NoPassword => false,
        };
        if right { Ok(Credential::Password(given)) } else { Err(Failure::WrongPassword) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::{DEFAULT_ITERATIONS, ScramVerifier, Stretch};

    #[test]
    fn every_kind_of_secret() {
        let stretch = Stretch { salt: b"salt".as_slice().into(), iterations: DEFAULT_ITERATIONS };
        let verifier = ScramVerifier::derive(b"right", stretch).to_string();
        let md5 = postgres_protocol::password::md5(b"right", "u");
        for (secret, slow) in [(&*verifier, true), (&md5, false), ("right", false)] {
            let server = || CleartextServer::new("u", Arc::new(UserSecret::parse(secret)));
            assert_eq!(server().is_slow(), slow);
            let password = Credential::Password(Password::new(b"right".as_slice()));
            assert_eq!(server().exchange(b"right"), Ok(password), "{secret}");
            assert_eq!(server().exchange(b"wrong"), Err(Failure::WrongPassword), "{secret}");
            assert!(matches!(server().exchange(b""), Err(Failure::Violation(_))), "{secret}");
        }
        let nobody = CleartextServer::new("u", Arc::new(UserSecret::NoPassword));
        assert_eq!(nobody.exchange(b"x"), Err(Failure::WrongPassword));
    }
}
