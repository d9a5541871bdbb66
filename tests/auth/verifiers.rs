//! SCRAM with what PostgreSQL may hold: any salt, any number of rounds, any characters.

use std::num::NonZeroU32;

use pgsteer::auth::scram::{ScramVerifier, Stretch};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const HBA: &str =
    "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// The client's own keys open the server: both sides of pgsteer use the verifier that PostgreSQL has.
#[tokio::test]
async fn unusual_salts_rounds_and_characters() {
    let server = Postgres::start(HBA);
    // Half of what SASLprep knows: compatibility forms, a soft hyphen that goes, a space of another kind; and what it
    // forbids, which is taken as it is.
    let passwords =
        ["plain", "I\u{ad}X", "\u{2168}", "a\u{a0}b", "\u{fb01}sh", "\u{7}bell", "\u{627}1", "пароль"];
    let stretches = [(1, 4096), (3, 4096), (16, 1), (16, 100_000), (64, 4096), (200, 4097)];
    let mut users = Vec::new();
    for (number, password) in passwords.iter().enumerate() {
        // PostgreSQL prepares and stretches the password itself.
        let user = format!("p{number}");
        prepare(&server, "postgres", &format!("create role {user} login password '{password}'")).await;
        users.push((user, (*password).to_owned()));
    }
    for (number, (salt, rounds)) in stretches.into_iter().enumerate() {
        let stretch = Stretch { salt: vec![7; salt].into(), iterations: NonZeroU32::new(rounds).unwrap() };
        let verifier = ScramVerifier::derive("Grüße".as_bytes(), stretch);
        let user = format!("s{number}");
        prepare(&server, "postgres", &format!("create role {user} login password '{verifier}'")).await;
        users.push((user, "Grüße".to_owned()));
    }
    let looked_up = "auth_user = \"postgres\"\nauth_failures_max = 0\n";
    let mut listed = String::new();
    for (user, password) in &users {
        listed.push_str(&format!("\"{user}\" \"{password}\"\n"));
    }
    // Once with the servers' verifiers, once with passwords that pgsteer stretches itself, on both sides.
    for (config, files) in [
        (looked_up, vec![]),
        ("auth_file = \"users.txt\"\nauth_failures_max = 0\n", vec![("users.txt", &*listed)]),
    ] {
        let pgsteer = Pgsteer::start(&server, config, &files).await;
        for (user, password) in &users {
            let said = pgsteer.who(user, password, "postgres").await;
            assert_eq!(said, format!("{user} in postgres"), "{password:?}\n{}", pgsteer.log());
            let said = pgsteer.who(user, &format!("{password}!"), "postgres").await;
            assert!(said.starts_with("28P01"), "{user}: {said}");
        }
        // Both forms of a character are one password.
        assert_eq!(pgsteer.who("p2", "IX", "postgres").await, "p2 in postgres");
        assert_eq!(pgsteer.who("p1", "IX", "postgres").await, "p1 in postgres");
    }
}
