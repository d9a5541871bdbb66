//! PAM, by a service of the test's own.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    common::postgres::Postgres,
    pgsteer::{Pgsteer, prepare},
};

/// A service, gone when dropped. PAM looks for it in this folder only, which needs root.
struct Service(PathBuf);

impl Service {
    fn new(name: &str, lines: &str) -> Self {
        let path = Path::new("/etc/pam.d").join(name);
        std::fs::write(&path, lines).expect("a test of PAM needs root");
        Self(path)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[tokio::test]
async fn the_modules_of_a_service_judge_passwords() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "postgres", "create role alice login; create role bob login; create role carol login")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("judge");
    let judge = "#!/bin/sh\nread -r password\n[ \"$PAM_USER:$password\" = 'alice:wonder land' ]\n";
    std::fs::write(&script, judge).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let id = std::process::id();
    let (judged, denied) = (format!("pgsteer-test-{id}"), format!("pgsteer-test-{id}-denied"));
    let exec = format!("auth required pam_exec.so quiet expose_authtok {}\n", script.display());
    let _judged = Service::new(&judged, &format!("{exec}account required pam_permit.so\n"));
    let _denied = Service::new(&denied, "auth required pam_permit.so\naccount required pam_deny.so\n");
    let rules = format!(
        "host all alice,bob all pam pamservice={judged}\nhost all carol all pam pamservice={denied}\n"
    );
    let config = "auth_type = \"hba\"\nauth_hba_file = \"pg_hba.conf\"\nauth_failures_max = 0\n";
    let pgsteer = Pgsteer::start(&server, config, &[("pg_hba.conf", &rules)]).await;
    for (user, password, expected) in [
        ("alice", "wonder land", "alice in postgres"),
        ("alice", "wonder", "28000 PAM authentication failed for user \"alice\""),
        ("bob", "wonder land", "28000 PAM authentication failed for user \"bob\""),
        // Its password is taken, its account may not be used.
        ("carol", "x", "28000 PAM authentication failed for user \"carol\""),
    ] {
        assert_eq!(pgsteer.who(user, password, "postgres").await, expected, "{}", pgsteer.log());
    }
}
