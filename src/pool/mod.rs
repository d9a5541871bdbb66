//! Server connections, and who has them.

pub mod account;
mod backends;
pub mod commits;
mod deposed;
pub mod flavours;
pub mod janitor;
pub mod key;
pub mod lease;
pub mod line;
pub mod opening;
pub mod pins;
#[expect(clippy::module_inception, reason = "a pool, in the room of pools")]
pub mod pool;
pub mod pools;
pub mod quota;
pub mod recovery;
mod renewal;
pub mod slots;
pub mod tether;
mod trouble;
mod vacating;
pub mod warming;
