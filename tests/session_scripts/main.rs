//! Whole sessions, client and server on either side of them, as text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod alone;
mod autocommits;
mod cancelling;
mod carried;
mod commits;
mod conversations;
mod described;
mod executed;
mod failover;
mod held;
mod held_back;
mod implied;
mod last_commit;
mod last_words;
mod leaving;
mod listening;
mod machines;
mod malformed;
mod mapped;
mod notation;
mod pinned;
mod pipelined;
mod play;
mod pooling;
mod promised;
mod provided;
mod reads;
mod replicating;
mod rereading;
mod servers;
mod servers_end;
mod state;
mod taken;
mod true_names;
mod unasked;
mod world;
