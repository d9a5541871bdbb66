//! Who the operating system says a client is (`peer`), over a Unix socket.

use nix::unistd::{Uid, User};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

const MAPPED: &str =
    "auth_type = \"peer\"\nauth_options = \"map=people\"\nauth_ident_file = \"pg_ident.conf\"\n";

async fn check(pgsteer: &Pgsteer, cases: &[(&str, &str)]) {
    for (user, expected) in cases {
        // A password says nothing here.
        for password in ["", "secret"] {
            let said = pgsteer.who(user, password, "postgres").await;
            let expected = match *expected {
                "in" => format!("{user} in postgres"),
                _ => format!("28000 Peer authentication failed for user \"{user}\""),
            };
            assert_eq!(said, expected, "{user}: {}", pgsteer.log());
        }
    }
}

#[tokio::test]
async fn the_operating_systems_name_decides_by_the_map() {
    let own = User::from_uid(Uid::current()).unwrap().unwrap().name;
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    let roles = format!("create role trader login; create role reader login; create role \"{own}\" login");
    prepare(&server, "postgres", &roles).await;
    let sockets = tempfile::tempdir().unwrap();
    let folder = sockets.path().to_str().unwrap();

    let map = format!("people {own} trader\npeople {own}x reader\nothers {own} reader\n");
    let pgsteer = Pgsteer::start_on(folder, &server, MAPPED, &[("pg_ident.conf", &map)]).await;
    // With a map, one's own name must be in it as well.
    check(&pgsteer, &[("trader", "in"), ("reader", "out"), (&own, "out")]).await;

    let map = format!("people /^({own})$ \\1\npeople /^{own}$ reader\n");
    std::fs::write(pgsteer.file("pg_ident.conf"), map).unwrap();
    pgsteer.reload("ok").await;
    check(&pgsteer, &[("trader", "out"), ("reader", "in"), (&own, "in")]).await;
    drop(pgsteer);

    let pgsteer = Pgsteer::start_on(folder, &server, "auth_type = \"peer\"\n", &[]).await;
    check(&pgsteer, &[(&own, "in"), ("trader", "out")]).await;
}
