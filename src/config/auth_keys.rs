//! The keys of `[auth]`.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::{
    declare::{Entry, Fields, Key, Reload, Section, section},
    secret::Secret,
    value::{Delay, Value},
    words::AuthType,
};

section! {
    /// How clients log in, and what pgsteer shows the servers: the forced `password` of the database, else the
    /// password in `auth_file`, else (SCRAM) the client's own keys, so that no password needs storing.
    AuthKeys "[auth]" {
        /// How clients prove who they are.
        NewConnections auth_type: AuthType = "scram-sha-256";
        /// Users and their secrets, in PgBouncer's format: `"user" "SCRAM-SHA-256$…"`, `"user" "md5…"` or
        /// `"user" "password"`, one a line; `;` begins a comment. Needed unless `auth_type = "trust"`. Read again at
        /// every reload.
        NewConnections auth_file: Option<PathBuf>;
        /// Role that looks up, on the servers, the secrets of users who are not in `auth_file`; without it nobody is
        /// looked up. It must be able to run `auth_query` in `auth_dbname`. One connection of its own for each
        /// cluster is kept open while it is in use, beside the limits of the pools.
        NewConnections auth_user: Option<String>;
        /// Password of `auth_user` on the servers. Without one, its entry in `auth_file` serves if that is a password
        /// or `md5…`; otherwise the servers must let it in without.
        NewConnections auth_password: Option<Secret>;
        /// File that holds the password of `auth_user`.
        NewConnections auth_password_file: Option<PathBuf>;
        /// The query that looks up the user `$1`: one row with the user's name and secret (NULL: no password), or no
        /// row. It is asked of the leader, and of a replica that serves reads only while there is no leader: a changed
        /// password reaches replicas later.
        NewConnections auth_query: String = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";
        /// Database in which `auth_query` runs, as the servers know it. PgBouncer, where it is not set, takes the
        /// database that the client asks for.
        NewConnections auth_dbname: String = "postgres";
        /// How long the answer to `auth_query` is used without asking again; 0: every login asks. A failed login asks
        /// again in any case. While no server can be asked, users who were looked up before can log in however old
        /// the answer is. That somebody does not exist is believed for a second at most.
        AtOnce auth_cache_age: Delay = "1s";
        /// Users whose secrets are remembered, for each cluster.
        AtOnce auth_cache_users_max: NonZeroU32 = 10_000;
        /// How long one server may take to answer `auth_query`, connecting included, before another is asked.
        AtOnce auth_query_timeout: Duration = "2s";
        /// Whether only the databases under `[databases.NAME]` may be asked for.
        NewConnections databases_only: bool = false;
    }
}
