//! The files that come out differently through pgsteer, and why.

/// Name and reason. A file of this list that passes fails the test, so the list only shrinks.
pub(crate) const DIFFERENT: [(&str, &str); 0] = [];

/// The same in session mode.
pub(crate) const DIFFERENT_IN_SESSION_MODE: [(&str, &str); 0] = [];
