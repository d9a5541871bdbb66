//! The nouns of the end-to-end tests and of the demo.
//!
//! [`Cluster`] is a real Patroni cluster (etcd and three PostgreSQL nodes) on loopback, [`Proxy`] a pgsteer in front
//! of it, [`Client`] one connection, [`Workload`] many of them writing and reading with a ledger of what was
//! acknowledged, [`Poller`] and [`LeaderKey`] witnesses that ask the nodes and the store directly. Everything lives
//! in a [`Sandbox`], which leaves nothing behind however the test ends.

mod archive;
mod client;
mod cluster;
mod coordinator;
mod etcd;
mod following;
mod http;
mod interrupted;
mod ledger;
mod link;
mod machine;
mod network;
mod node;
mod peers;
mod pki;
mod poller;
mod proxy;
mod report;
mod sandbox;
mod server;
mod single;
mod stage;
mod timing;
mod toml_merge;
mod workload;

pub use archive::Archive;
pub use client::{Client, cause, connection_string, sqlstate};
pub use cluster::{Cluster, Options, Patroni};
pub use coordinator::{Coordinator, Store, WayToStore};
pub use etcd::{Etcd, LeaderChange, LeaderKey};
pub use http::{Answer, call};
pub use interrupted::interrupted;
pub use ledger::Verdict;
pub use link::Link;
pub use machine::Machine;
pub use network::{CLIENTS, Network, enter_private};
pub use node::{Login, Node};
pub use peers::{PeerPrograms, Peers};
pub use pki::{Authority, Issued, Valid, self_signed};
pub use poller::{Poller, Seen};
pub use proxy::Proxy;
pub use report::{Acknowledged, Failure, Kind, Progress, Report};
pub use sandbox::{Ground, Part, Sandbox};
pub use server::{Door, Release, Server};
pub use single::Single;
pub use stage::{Stage, scenario, scenario_with};
pub use timing::{Moment, eventually, now};
pub use workload::{Plan, Workload};

/// A result whose error says what was being attempted.
pub type Result<T = ()> = anyhow::Result<T>;
