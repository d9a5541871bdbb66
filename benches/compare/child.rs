//! Programs the benchmark starts, and how they end with it.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::Result;

/// Whom the servers run as: PostgreSQL and PgBouncer refuse to run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunAs {
    /// Whoever started the benchmark.
    Myself,
    /// This user and group; the benchmark itself is root.
    Other { uid: u32, gid: u32 },
}

impl RunAs {
    /// `postgres` if we are root, else ourselves.
    pub(crate) fn find() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Myself);
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let line = passwd.lines().find(|line| line.starts_with("postgres:"));
        let mut fields = line.ok_or("running as root needs a user postgres")?.split(':').skip(2);
        let mut id = || -> Result<u32> { Ok(fields.next().unwrap_or("").parse()?) };
        Ok(Self::Other { uid: id()?, gid: id()? })
    }

    /// The command, to be run as that user.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Hands a file or folder over to that user, and to no other.
    pub(crate) fn give(self, path: &Path, mode: u32) -> Result<()> {
        fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Writes a file only that user may read.
    pub(crate) fn write(self, path: &Path, text: &str) -> Result<()> {
        fs::write(path, text)?;
        self.give(path, 0o600)
    }
}

/// A running program; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    farewell: Signal,
    log: PathBuf,
}

impl Child {
    /// Starts the command as that user, its output going to the file `log`; `farewell` is what ends it. It gets a
    /// process group of its own: Ctrl-C is for the benchmark, which then ends it in its own way.
    pub(crate) fn start(mut command: Command, user: RunAs, log: &Path, farewell: Signal) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        user.apply(&mut command);
        let name = command.get_program().display().to_string();
        let process = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { process, farewell, log: log.to_owned() })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended by itself, and with what as its last words.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.process.try_wait()? else { return Ok(None) };
        Ok(Some(format!("it ended ({status}){}", self.last_words())))
    }

    /// The end of what it has written, as the end of a sentence.
    pub(crate) fn last_words(&self) -> String {
        let text =
            fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!(", saying last: {line}"),
            None => ", saying nothing".to_owned(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already; then there is nobody left to tell.
            let _ = rustix::process::kill_process(pid, self.farewell);
        }
        let _ = self.process.wait();
    }
}

/// Lets this process, and all it starts, hold as many descriptors as it may.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const WANTED: u64 = 200_000;
    let all = Rlimit { current: Some(WANTED), maximum: Some(WANTED) };
    if setrlimit(Resource::Nofile, all).is_err() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // What the administrator allows is the best there is; the idle scenario says if it is too little.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
