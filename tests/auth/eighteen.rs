//! PostgreSQL 18 and its libpq: direct TLS and bound logins, both ways.

use crate::{
    common::postgres::{Postgres, binaries_of_18},
    pgsteer::prepare,
    tls::{Pki, psql_of},
};

const HBA: &str = "
    host all postgres 127.0.0.1/32 trust
    hostssl all trusted 127.0.0.1/32 trust
    hostssl all hashed 127.0.0.1/32 md5
    hostssl all all 127.0.0.1/32 scram-sha-256
";

const IS_TLS: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

#[tokio::test]
async fn direct_tls_and_bound_logins_both_ways_with_postgresql_18() {
    let programs = binaries_of_18();
    let server = Postgres::start_of(programs.clone(), HBA);
    prepare(
        &server,
        "postgres",
        "create role trusted login; set password_encryption = 'md5';
         create role hashed login password 'secret'",
    )
    .await;
    let users = "\"alice\" \"secret\"\n\"trusted\" \"secret\"\n\"hashed\" \"secret\"\n";
    // `server_tls` of the database: the probes' role is trusted.
    let config = "sslmode = \"require\"\nsslnegotiation = \"direct\"\n\
                  [clusters.trading.server_tls]\nsslnegotiation = \"direct\"\n\
                  [databases.postgres]\ncluster = \"trading\"\n\
                  [databases.postgres.server_tls]\nchannel_binding = \"require\"\n";
    let pgsteer = Pki::new().start_before(&server, "auth_file = \"users.txt\"", config, users).await;
    let full = "sslmode=verify-full sslrootcert=ca.pem";
    for (user, options, expected) in [
        ("alice", "sslnegotiation=direct", "t"),
        ("alice", "sslnegotiation=direct channel_binding=require", "t"),
        ("alice", "sslnegotiation=direct ssl_max_protocol_version=TLSv1.2 channel_binding=require", "t"),
        ("alice", "sslnegotiation=postgres", "server does not support SSL"),
        ("trusted", "sslnegotiation=direct", "and the server asks for nothing (trust"),
        ("hashed", "sslnegotiation=direct", "and the server asks for md5"),
    ] {
        let said = psql_of(&programs, &pgsteer, user, &format!("{full} {options}"), IS_TLS).await;
        assert!(said.contains(expected), "{user} {options}: {said}\n{}", pgsteer.log());
    }
}
