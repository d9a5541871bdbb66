//! Where users' secrets come from that are not listed: somebody has to be asked, which takes time.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    auth::secrets::{Secrets, Typical, UserSecret},
    wire::error::PgError,
};

/// What is known of a user who wants in.
#[derive(Clone, Debug)]
pub struct Found {
    /// The secret; `None` for an unknown user.
    pub secret: Option<Arc<UserSecret>>,
    /// What most users have.
    pub typical: Typical,
    /// Whether a newer answer might be another.
    pub age: Age,
}

/// How old an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// There is no newer one.
    Newest,
    /// It was remembered: the secret may have changed since.
    Remembered,
}

/// How new an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A remembered one will do.
    Recent,
    /// A remembered one did not do.
    Newest,
}

/// The answer to come, or what the client is told if there is none.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Found, PgError>> + Send + 'a>>;

/// Whether a user is a member of a role: the answer to come, or what the client is told if there is none.
pub type Belonging<'a> = Pin<Box<dyn Future<Output = Result<bool, PgError>> + Send + 'a>>;

/// Looks secrets and memberships up where that takes time.
pub trait Lookup: Send + Sync {
    /// What is known of this user, who wants to reach this database.
    fn find<'a>(&'a self, user: &'a str, database: &'a str, need: Need) -> Finding<'a>;
    /// Whether this user, who wants to reach this database, is a member of a role.
    fn is_member<'a>(&'a self, user: &'a str, role: &'a str, database: &'a str) -> Belonging<'a>;
}

/// Of a listed user, without asking anybody; `None` if he is not listed.
pub(super) fn listed(secrets: &dyn Secrets, user: &str) -> Option<Found> {
    let secret = secrets.lookup(user)?;
    Some(Found { secret: Some(secret), typical: secrets.typical(), age: Age::Newest })
}

/// Of a user whom nobody knows.
pub(super) fn nobody(secrets: &dyn Secrets) -> Found {
    Found { secret: None, typical: secrets.typical(), age: Age::Newest }
}
