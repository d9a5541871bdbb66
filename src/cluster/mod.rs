//! What is true of the cluster now.
//!
//! [`store`] and [`probe`] emit [`Fact`](fact::Fact)s, the [`observer`] folds them (pure) into an immutable
//! [`Topology`](topology::Topology), the [`watcher`] runs both, writes the [`Fence`](fence::Fence) and publishes.
//!
//! Beside that: [`headway`], how far replicas have come and how timelines hang together, in positions as [`token`] has them;
//! [`orders`], what a topology asks for; [`policy`], how it is watched; `names` that come to lead elsewhere; [`rest`], what
//! only Patroni itself can say; [`ids`].

pub mod fact;
pub mod fence;
pub mod headway;
pub mod ids;
mod names;
pub mod observer;
pub mod orders;
pub mod policy;
pub mod probe;
pub mod rest;
pub mod store;
pub mod token;
pub mod topology;
pub mod watcher;
