//! A PostgreSQL of a test's own.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A server of our own, gone when dropped.
pub struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
    /// Where its programs are.
    programs: PathBuf,
}

/// The newest PostgreSQL that is installed.
pub fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    versions.map(|version| version.unwrap().path().join("bin")).max().unwrap()
}

/// PostgreSQL 18, which `deploy/install.sh pg18` unpacks.
pub fn binaries_of_18() -> PathBuf {
    let machine = pgsteer_testkit::Machine::look().unwrap();
    machine.tool("postgresql-18/bin", "deploy/install.sh pg18").unwrap()
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command as somebody PostgreSQL runs as: it refuses root.
fn run(program: &Path, arguments: &[&str]) -> bool {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Not our standard output: the server would keep it open.
    command.args(arguments).current_dir("/").stdout(Stdio::null()).status().unwrap().success()
}

impl Postgres {
    /// A running server with superuser `postgres` and this `pg_hba.conf`, on loopback and a socket in its folder.
    pub fn start(hba: &str) -> Self {
        Self::start_of(binaries(), hba)
    }

    /// The same, by the programs in this folder.
    pub fn start_of(programs: PathBuf, hba: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pgsteer-test-").tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let status = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(status.success());
        }
        let server = Self { folder, port: free_port(), programs };
        let data = server.data();
        let initdb = ["-D", &data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"];
        assert!(run(&server.programs.join("initdb"), &initdb));
        std::fs::write(Path::new(&data).join("pg_hba.conf"), hba).unwrap();
        server.start_again();
        server
    }

    /// Starts it where it was stopped.
    pub fn start_again(&self) {
        let (port, folder) = (self.port, self.folder());
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        );
        let log = format!("{folder}/log");
        let arguments = ["-D", &self.data(), "-w", "-l", &log, "-o", &options, "start"];
        assert!(run(&self.programs.join("pg_ctl"), &arguments));
    }

    /// Puts a file where it finds it by its name, for its eyes only.
    pub fn give(&self, name: &str, text: &str) {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let path = Path::new(&self.data()).join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let owner = std::fs::metadata(self.data()).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// Stops it as a crash would.
    pub fn stop(&self) {
        assert!(self.pg_ctl_stop());
    }

    fn pg_ctl_stop(&self) -> bool {
        run(&self.programs.join("pg_ctl"), &["-D", &self.data(), "-m", "immediate", "stop"])
    }

    fn data(&self) -> String {
        format!("{}/data", self.folder())
    }

    /// Where its socket is.
    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Where it listens on loopback.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test may have stopped it.
        self.pg_ctl_stop();
    }
}
