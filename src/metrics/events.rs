//! What is counted once for the whole process, because it is rare.

use super::Tally;

/// What happens to the process and to clients that are not in yet.
#[derive(Debug, Default)]
pub struct Events {
    /// Clients that were let in.
    pub logins: Tally<0>,
    /// Clients that were not, by where that ended (`introduction`, `too_many`, `authentication`, `admission`,
    /// `timeout`, `left`) and SQLSTATE.
    pub login_failures: Tally<2>,
    /// Logins from addresses with many failures, by what became of them (`delayed`, `refused`).
    pub delays: Tally<1>,
    /// Lookups of users on the servers (`auth_query`), by outcome (`found`, `unknown`, `unreachable`, `refused`), and
    /// logins by a remembered secret because nobody could be asked (`remembered`).
    pub lookups: Tally<1>,
    /// Cancel requests, by who wanted them (`client`, `query_timeout`) and what came of them.
    pub cancels: Tally<2>,
    /// Reloads of the configuration, by outcome (`ok`, `failed`).
    pub reloads: Tally<1>,
}

/// What happens to server connections.
#[derive(Debug, Default)]
pub struct PoolEvents {
    /// Connections opened, by cluster and member.
    pub opened: Tally<2>,
    /// Connections closed, by cluster and member.
    pub closed: Tally<2>,
    /// Connections that could not be opened, by cluster, member, cause and SQLSTATE.
    pub failed: Tally<4>,
}
