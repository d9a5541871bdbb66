//! What is true of the cluster now.

pub mod store;
pub mod topology;
