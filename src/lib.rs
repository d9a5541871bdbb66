//! pgsteer: one connection string in front of a replicated PostgreSQL cluster.
//!
//! A connection pool and a router that follows the leader, in one process. Two flows make it up, each readable in
//! one place.
//!
//! # Data: what happens to a connection
//!
//! [`proxy`] accepts it and tells its story: hello (TLS or not, cancel request, start-up) and login
//! ([`client`]), welcome (the settings of a server, learnt once), then requests until it ends. A
//! [`session`] is the story of requests: idle → a request → [`route`]d → a server leased from a [`pool`] → relayed →
//! given back → idle. While its client is idle a session holds neither a server nor a buffer.
//!
//! The relay passes slices on untouched wherever it can. What it must know of the protocol is in [`wire`], as values:
//! which replies a server owes ([`wire::pipeline`]), whose prepared statement is whose ([`wire::statements`]), which
//! settings follow the client ([`wire::parameters`]). What a statement may do to its session is read from its text by
//! [`sql`].
//!
//! Clients that listen for notifications do so on one connection for all ([`notify`]), not on servers of their own.
//!
//! # Knowledge: what is true of the cluster
//!
//! The store and a prober for each member send facts; [`cluster::observer`] folds them, one by one and without a
//! clock of its own, into an immutable [`cluster::topology::Topology`]; from each topology the whole
//! [`route::table::RoutingTable`] is derived anew; the pools are brought in line with it, which closes what idles on
//! a deposed member and revokes the leases there. A session learns of it through its lease alone. Nothing flows
//! backwards, except that pools report what looks like a failure as a suspicion.
//!
//! # The fence
//!
//! A lease query that showed a leader gives the right to send writes to it until the query's sending time plus the
//! lease's remaining time to live, on a clock that also runs while the machine is suspended. Before every slice that
//! goes out on a write route two comparisons are made ([`cluster::fence::Fence`]): is the lease's term still the one
//! in force, and is now before that deadline. The deadline is never further away than facts are fresh, so a process that
//! slept through a failover wakes up without the right, also where a planned one has given the lease up early. Nor does it
//! pass on what the leader said meanwhile, until that has answered as the leader again.
//!
//! How far replicas have come is asked only while a read waits for one that shows what its client has committed
//! ([`cluster::headway`]); who of those that serve takes the next read, [`route::balance`] says.
//!
//! # Threads
//!
//! Workers are threads with a single-threaded runtime each; a client and the servers opened for it stay on theirs. A
//! pool is shared by all workers under one short lock, so that its limits are exact and nobody waits while a server
//! idles elsewhere; a free server goes to a waiting client of its own worker first, within a bound of fairness. One
//! more thread, the control thread, runs store, probes, HTTP, time limits and signals.
//!
//! # Rooms
//!
//! A module imports only from those above it; a test holds that:
//! [`clock`], [`metrics`], [`tls`] → [`config`] → [`wire`] → [`sql`] → [`auth`] → [`net`] → [`server`] → [`cluster`]
//! → [`route`] → [`pool`] → [`notify`] → [`client`] → [`session`] → [`admin`] → [`proxy`].

pub mod admin;
pub mod auth;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod metrics;
pub mod net;
pub mod notify;
pub mod pool;
pub mod proxy;
pub mod route;
pub mod server;
pub mod session;
pub mod sql;
pub mod tls;
pub mod wire;
