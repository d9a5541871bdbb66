//! The pure fold.
