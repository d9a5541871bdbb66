//! Asking a member over SQL.
