//! Server connections, and who has them.
//!
//! - Who gets which: [`slots`] decides, pure; [`mod@pool`] is the shell around it, [`pools`] all of them; [`quota`] are limits
//!   that several share.
//! - Whose they are: [`account`] (a user and a database), [`flavours`] (start-up settings), [`key`].
//! - In use: [`lease`], which a [`tether`] ties to its session; waiting in [`mod@line`]; kept for what a session holds, [`pins`].
//! - A connection's life: [`opening`] and `trouble` with it, [`warming`] ahead of a promotion, [`recovery`] between two
//!   clients, [`janitor`] while it idles, `renewal` by another one, `vacating` a database, a `deposed` member.
//! - By whom they are remembered: `backends` (process ids), [`commits`] (each client's last transaction).

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
