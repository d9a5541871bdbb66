//! Reads to replicas, the rest to the leader (`route = "split"`).
//!
//! Each request of a client that has no server is looked at before it gets one: its statements must be known to read
//! ([`crate::sql::errand`]), and nothing they name may do more by what is known of the database ([`lore`]). What is not
//! known is the leader's. A request that goes to a replica goes there alone and is kept until the replica has begun to
//! answer it: if it says that it cannot ([`trial`]), the leader is asked, and the client hears nothing of it. That is no
//! repetition of work that may have been done: a replica cannot have changed anything.

pub mod atlas;
pub mod lore;
pub mod request;
pub mod texts;
pub mod trial;
pub mod verdict;

use std::sync::Arc;

use atlas::Place;
use verdict::Reason;

use super::routes::Purpose;
use crate::route::leaning::Leaning;

/// What a client of a listener that splits has beside what others have.
pub struct Split {
    /// What is known of its database.
    pub(super) place: Arc<Place>,
    /// What the configuration says of its user and database, or its start-up settings.
    pub(super) leaning: Leaning,
    /// Where its request goes, and why.
    pub(super) purpose: Purpose,
    pub(super) reason: Reason,
    /// Its next request is the leader's: a replica has had it.
    pub(super) returned: Returned,
    /// Bytes of its next request, if a replica is to have it alone.
    pub(super) request_bytes: usize,
}

/// Whether a request has come back from a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// It has.
    Yes,
    /// It has not.
    No,
}
