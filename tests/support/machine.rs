//! What the machine has: PostgreSQL, etcd, Patroni, and a user that may run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::Result;

/// Where the programs are, and as whom they run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The folder of `postgres`, `psql` and `pgbench`.
    pub pg_bin: PathBuf,
    /// The Python that has Patroni and psycopg.
    pub python: PathBuf,
    /// PostgreSQL refuses to run as root: then this is user `postgres`, otherwise nobody but ourselves.
    pub owner: Option<Owner>,
}

/// A user other than ourselves.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Machine {
    /// Looks for everything.
    ///
    /// # Errors
    /// Something is missing; the message says what installs it.
    pub fn look() -> Result<Self> {
        let installer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/install.sh");
        let said = Command::new(&installer).arg("python").output().context("deploy/install.sh python")?;
        let python = PathBuf::from(String::from_utf8(said.stdout)?.trim());
        if !python.exists() {
            bail!("Patroni is not installed; run: make tools");
        }
        let owner = if rustix::process::getuid().is_root() { Some(Owner::postgres()?) } else { None };
        Ok(Self { pg_bin: pg_bin()?, python, owner })
    }

    /// Something that `deploy/install.sh` put beside the Python that has Patroni.
    ///
    /// # Errors
    /// It is not there; the message says that `installer` installs it.
    pub fn tool(&self, path: &str, installer: &str) -> Result<PathBuf> {
        let tools = self.python.ancestors().nth(3).context("no folder of tools")?;
        let path = tools.join(path);
        if !path.exists() {
            bail!("{} is not there; run: {installer}", path.display());
        }
        Ok(path)
    }

    /// A program of PostgreSQL's.
    pub fn postgres_program(&self, name: &str) -> PathBuf {
        self.pg_bin.join(name)
    }

    /// Patroni's daemon.
    pub fn patroni(&self) -> PathBuf {
        self.python.with_file_name("patroni")
    }
}

impl Owner {
    fn postgres() -> Result<Self> {
        let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let found =
            users.lines().map(fields).find(|user| user.first().is_some_and(|name| name == "postgres"));
        let Some([_, _, uid, gid, ..]) = found.as_deref() else {
            bail!("PostgreSQL cannot run as root and there is no user postgres; run: make tools");
        };
        Ok(Self { uid: uid.parse()?, gid: gid.parse()? })
    }
}

fn pg_bin() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("PG_BIN") {
        return Ok(folder.into());
    }
    let version = |folder: &PathBuf| {
        folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    };
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    installed
        .map(|entry| entry.path())
        .filter(|folder| folder.join("bin/postgres").exists())
        .max_by_key(version)
        .map(|folder| folder.join("bin"))
        .context("PostgreSQL is not installed; run: make tools (or set PG_BIN to the folder of its programs)")
}
