//! Server connections, and who has them.

pub mod account;
pub mod janitor;
pub mod lease;
pub mod opening;
pub mod pool;
pub mod pools;
pub mod quota;
pub mod recovery;
pub mod slots;
pub mod tether;
