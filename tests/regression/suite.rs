//! The suite's files, their schedule, and what psql shows of them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use pgsteer_testkit::{Client, Login, Part, Result, Sandbox, Server, connection_string};
use tokio::process::Command;

const DATABASE: &str = "regression";
/// The longest takes about 10 s on an idle machine.
const FILE_TIME_MAX: Duration = Duration::from_secs(180);

/// One file of the suite, when it has run.
pub(crate) struct Outcome {
    /// As the schedule names it.
    pub(crate) name: String,
    /// Whether what was shown is among the files that its developers expect.
    pub(crate) as_expected: bool,
    /// What psql printed.
    pub(crate) shown: String,
}

/// The suite in a sandbox.
pub(crate) struct Suite {
    /// What `deploy/install.sh regress` fetched.
    source: PathBuf,
    part: Part,
    differences: PathBuf,
}

impl Suite {
    /// `label` names the folder of its differences, which is emptied.
    pub(crate) fn new(sandbox: &Sandbox, label: &str) -> Result<Self> {
        let source = sandbox.machine.tool("regress-15", "deploy/install.sh regress")?;
        let part = sandbox.part("suite")?;
        sandbox.part("suite/results")?;
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("no build folder")?;
        let differences = build.join("regress").join(label);
        if differences.exists() {
            std::fs::remove_dir_all(&differences)?;
        }
        std::fs::create_dir_all(&differences)?;
        Ok(Self { source, part, differences })
    }

    /// Runs all of it at an address; `server` is asked for the database beforehand.
    pub(crate) async fn run(&self, at: SocketAddr, server: &Server) -> Result<Vec<Outcome>> {
        prepare(server).await?;
        let mut outcomes = Vec::new();
        for group in self.schedule()? {
            let running = group.iter().map(|name| self.run_file(name, at, server));
            outcomes.extend(try_join_all(running).await?);
        }
        Ok(outcomes)
    }

    /// The groups of files that run at once.
    fn schedule(&self) -> Result<Vec<Vec<String>>> {
        let text = std::fs::read_to_string(self.source.join("parallel_schedule"))?;
        let groups = text.lines().filter_map(|line| line.strip_prefix("test:"));
        Ok(groups.map(|names| names.split_whitespace().map(str::to_owned).collect()).collect())
    }

    async fn run_file(&self, name: &str, at: SocketAddr, server: &Server) -> Result<Outcome> {
        let shown = self.part.folder().join(format!("{name}.out"));
        let mut command = Command::from(self.part.command(&server.programs.join("psql")));
        command.args(["-X", "-a", "-q", "-d", DATABASE]);
        command.args(["-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
        self.environment(&mut command, name, at);
        let out = File::create(&shown)?;
        command.stdin(File::open(self.source.join("sql").join(format!("{name}.sql")))?);
        command.stdout(Stdio::from(out.try_clone()?)).stderr(out).kill_on_drop(true);
        let ended = tokio::time::timeout(FILE_TIME_MAX, command.spawn()?.wait()).await;
        let mut text = String::from_utf8_lossy(&std::fs::read(&shown)?).into_owned();
        if ended.is_err() {
            text.push_str("\n*** the time was over ***\n");
        }
        let as_expected = self.compare(name, &text).await?;
        Ok(Outcome { name: name.to_owned(), as_expected, shown: text })
    }

    /// What PostgreSQL's own runner sets, and nothing of ours.
    fn environment(&self, command: &mut Command, name: &str, at: SocketAddr) {
        for (variable, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("PG") || name.starts_with("LC_"))
        {
            command.env_remove(variable);
        }
        let source = self.source.display().to_string();
        command.env("LANG", "C").env("LC_MESSAGES", "C");
        command.env("PGHOST", at.ip().to_string()).env("PGPORT", at.port().to_string());
        command.env("PGUSER", Login::POSTGRES.user).env("PGSSLMODE", "disable");
        command.env("PGTZ", "America/Los_Angeles").env("PGDATESTYLE", "Postgres, MDY");
        command.env("PGOPTIONS", "-c intervalstyle=postgres_verbose");
        command.env("PGAPPNAME", format!("pg_regress/{name}"));
        command.env("PG_ABS_SRCDIR", &source).env("PG_LIBDIR", &source).env("PG_DLSUFFIX", ".so");
        command.env("PG_ABS_BUILDDIR", self.part.folder());
    }

    /// Where several files are expected, any of them will do; the difference to the nearest is kept otherwise.
    async fn compare(&self, name: &str, shown: &str) -> Result<bool> {
        let numbered = (1..=9).map(|number| format!("{name}_{number}.out"));
        let files = std::iter::once(format!("{name}.out")).chain(numbered);
        let files = files.map(|file| self.source.join("expected").join(file)).filter(|file| file.exists());
        let mut nearest: Option<Vec<u8>> = None;
        for file in files {
            if std::fs::read(&file)? == shown.as_bytes() {
                return Ok(true);
            }
            let difference = self.difference(&file, name).await?;
            if nearest.as_ref().is_none_or(|found| difference.len() < found.len()) {
                nearest = Some(difference);
            }
        }
        std::fs::write(self.differences.join(format!("{name}.diff")), nearest.unwrap_or_default())?;
        Ok(false)
    }

    async fn difference(&self, expected: &Path, name: &str) -> Result<Vec<u8>> {
        let mut command = Command::new("diff");
        command.arg("-U3").arg(expected).arg(self.part.folder().join(format!("{name}.out")));
        Ok(command.output().await.context("diff")?.stdout)
    }
}

/// The database as PostgreSQL's own runner makes it.
async fn prepare(server: &Server) -> Result {
    let postgres = server.superuser().await?;
    postgres.batch_execute(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0")).await?;
    let database = Client::connect(&connection_string(server.address, Login::POSTGRES, DATABASE)).await?;
    for setting in [
        "lc_messages TO 'C'",
        "lc_monetary TO 'C'",
        "lc_numeric TO 'C'",
        "lc_time TO 'C'",
        "bytea_output TO 'hex'",
        "timezone_abbreviations TO 'Default'",
    ] {
        database.batch_execute(&format!("ALTER DATABASE {DATABASE} SET {setting}")).await?;
    }
    Ok(())
}
