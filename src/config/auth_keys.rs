//! The keys of `[auth]`.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::{
    auth_options::AuthOptions,
    declare::{Entry, Fields, Key, Reload, Section, section},
    secret::Secret,
    value::{Delay, OrOff, Value},
    words::AuthType,
};

section! {
    /// How clients log in, and what pgsteer shows the servers: the forced `password` of the database, else the
    /// password in `auth_file`, else (SCRAM) the client's own keys, so that no password needs storing.
    AuthKeys "[auth]" {
        /// How clients prove who they are.
        NewConnections auth_type: AuthType = "scram-sha-256";
        /// Options of `auth_type`, as they would stand behind it in `pg_hba.conf`, such as `map=people`. For `ldap`
        /// PostgreSQL's own, and `ldapcafile`, the authorities (PEM) that vouch for the servers. For `oauth`: `issuer`,
        /// `audience`, `scope` (all that a token must allow), `claim` (`sub`; names the user, by way of `map`),
        /// `token=password` for clients that show their token as a password; and where the issuer's keys (RFC 7517) are:
        /// `jwksfile`, or `jwksurl` (https), or neither: then the issuer is asked (`/.well-known/openid-configuration`).
        /// They are asked for every five minutes, and when a token comes that none of them has signed, but no oftener
        /// than every five seconds; for an hour they go on to serve if nobody answers. `cafile`: the authorities
        /// (PEM) that vouch for whoever is asked, if not the system's. For `pam`, in a pgsteer built with the cargo
        /// feature `pam`: `pamservice` (`pgsteer`).
        NewConnections auth_options: Option<AuthOptions>;
        /// With `auth_type = "hba"`: the rules, in the format of PostgreSQL's `pg_hba.conf` (16). Not known here: host
        /// names, and the methods ident, gss, sspi and radius. `samerole` and `+role` need `auth_user`, who asks the servers
        /// about memberships. A file with an error changes nothing. Read again at every reload.
        NewConnections auth_hba_file: Option<PathBuf>;
        /// The maps that `map=` names, in the format of PostgreSQL's `pg_ident.conf` (16). Regular expressions, here and in
        /// `auth_hba_file`, are those of Rust's `regex`: without look-around and back-references.
        NewConnections auth_ident_file: Option<PathBuf>;
        /// Users and their secrets, in PgBouncer's format: `"user" "SCRAM-SHA-256$…"`, `"user" "md5…"` or
        /// `"user" "password"`, one a line; `;` begins a comment. Needed where a secret is asked for, unless `auth_user` is set. Read again at
        /// every reload.
        NewConnections auth_file: Option<PathBuf>;
        /// Role that looks up, on the servers, the secrets of users who are not in `auth_file`, and memberships in roles where
        /// rules depend on them; without it nobody is looked up. It must be able to run `auth_query` in `auth_dbname`. One connection of its own for each
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
        /// How long the answer to `auth_query`, and that somebody is a member of a role, is used without asking again; 0:
        /// every login asks. A failed login asks for the secret again in any case. While no server can be asked, users who were
        /// looked up before can log in however old the answer is. That somebody does not exist, or is no member, is believed for a
        /// second at most.
        AtOnce auth_cache_age: Delay = "1s";
        /// Users whose secrets are remembered, for each cluster; and again as many memberships.
        AtOnce auth_cache_users_max: NonZeroU32 = 10_000;
        /// How long one server may take to answer `auth_query`, connecting included, before another is asked.
        AtOnce auth_query_timeout: Duration = "2s";
        /// Failed logins from one address (of IPv6: one /64) after which further ones wait before they may try: 100ms, and
        /// twice as much with each further failure. Half of the failures are forgotten every 30 s. Users who got in
        /// from that address do not wait, until a login as one of them fails. 0: nobody waits.
        NewConnections auth_failures_max: OrOff<NonZeroU32> = 5;
        /// How long such a login waits at most.
        NewConnections auth_delay_max: Duration = "2s";
        /// Logins that wait so at once, at most, and a tenth of it of one address; further ones are refused (53300).
        NewConnections auth_delayed_max: NonZeroU32 = 100;
        /// Whether only the databases under `[databases.NAME]` may be asked for.
        NewConnections databases_only: bool = false;
    }
}
