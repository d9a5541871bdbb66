//! pgsteer in front of a real Patroni cluster, while things break.
//!
//! Each test has a cluster of its own (8 s) and the machine to itself (`.config/nextest.toml`), because what is
//! asserted are times.

mod balance;
mod choosing;
mod commits;
mod consistency;
mod crash;
mod databases;
mod drivers;
mod endurance;
mod feeds;
mod freeze;
mod graded;
mod listen;
mod messages;
mod modes;
mod notified;
mod outcome;
mod pooling;
mod prepared;
mod reads;
mod replicas;
mod replication;
mod split;
mod standby_cluster;
mod start_up;
mod state;
mod stopping;
mod store;
mod stores;
mod switchover;
mod welcomes;
mod wire;
mod without_store;
mod witnesses;
