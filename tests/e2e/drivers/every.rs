//! Drivers in other languages, and in crates of their own: the scenarios of `tests/drivers/`, each first directly.
//!
//! Several copies of a driver share a pool that is smaller than the clients, and after every transaction a client gets
//! another server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use pgsteer_testkit::{Cluster, Door, Login, Release, Result, Single};
use tokio::process::Command;

/// How many copies run at once.
const COPIES: usize = 4;
/// One copy may hold two servers at once (who listens waits for who notifies), so that fewer could come to a standstill.
pub(super) const OVERRIDES: &str = "[pool]\ndefault_pool_size = 8\nrotate_servers = true\n";

/// What each driver is tried at.
macro_rules! on {
    ($module:ident, $release:expr) => {
        mod $module {
            use super::{Driver, Release, Result, play};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn psycopg() -> Result {
                play($release, Driver::Python("psycopg_scenarios.py")).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn asyncpg() -> Result {
                play($release, Driver::Python("asyncpg_scenarios.py")).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlalchemy() -> Result {
                play($release, Driver::Python("sqlalchemy_scenarios.py")).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn django() -> Result {
                play($release, Driver::Python("django_scenarios.py")).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn node_postgres() -> Result {
                play($release, Driver::Node).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn pgjdbc() -> Result {
                play($release, Driver::Java).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlx() -> Result {
                play($release, Driver::Sqlx).await
            }
        }
    };
}

on!(on_the_systems_release, Release::System);
on!(on_postgresql_18, Release::Eighteen);

/// A program that plays its scenarios.
#[derive(Clone, Copy, Debug)]
enum Driver {
    /// A script in Python.
    Python(&'static str),
    Node,
    Java,
    /// A crate of its own, built by `make test-all`.
    Sqlx,
}

async fn play(release: Release, driver: Driver) -> Result {
    let single = Single::start(release, Door::Scram, "", OVERRIDES).await?;
    let [(_, directly), (_, through)] = single.both();
    driver.run(&single, directly, 1).await.context("directly")?;
    let copies = (1..=COPIES).map(|number| driver.run(&single, through, number));
    try_join_all(copies).await.context("through pgsteer").map(drop)
}

impl Driver {
    async fn run(self, single: &Single, at: std::net::SocketAddr, number: usize) -> Result {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers");
        let (program, arguments) = self.program(single, &scripts)?;
        let mut command = Command::new(program);
        command.args(arguments).arg(number.to_string());
        let Login { user, password } = Login::TRADER;
        command.env("PGHOST", at.ip().to_string()).env("PGPORT", at.port().to_string());
        command.env("PGUSER", user).env("PGPASSWORD", password).env("PGDATABASE", Cluster::DATABASE);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let modules =
            single.sandbox.machine.tool("drivers/node/node_modules", "deploy/install.sh drivers")?;
        command.env("NODE_PATH", modules);
        let said = tokio::time::timeout(Duration::from_secs(300), command.kill_on_drop(true).output());
        let said =
            said.await.with_context(|| format!("{self:?} goes on"))?.with_context(|| format!("{self:?}"))?;
        let [out, err] = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        ensure!(said.status.success(), "{self:?}, copy {number}: {}\n{out}{err}", said.status);
        let played = out.lines().filter(|line| line.starts_with("ok ")).count();
        ensure!(played > 3, "{self:?} played {played} scenarios only:\n{out}{err}");
        Ok(())
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Python(script) => script,
            Self::Node => "node_scenarios.js",
            Self::Java => "Scenarios.java",
            Self::Sqlx => "sqlx",
        }
    }

    fn program(self, single: &Single, scripts: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
        let installer = "deploy/install.sh drivers";
        Ok(match self {
            Self::Python(script) => (
                single.sandbox.machine.tool("drivers/python/bin/python", installer)?,
                vec![scripts.join(script)],
            ),
            Self::Node => ("node".into(), vec![scripts.join(self.script())]),
            Self::Java => {
                let driver = PathBuf::from("/usr/share/java/postgresql.jar");
                ensure!(driver.exists(), "pgjdbc is not installed; run: {installer}");
                ("java".into(), vec!["-cp".into(), driver, scripts.join(self.script())])
            }
            Self::Sqlx => {
                let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("no build folder")?;
                let program = build.join("sqlx/debug/pgsteer-sqlx-scenarios");
                ensure!(program.exists(), "{} is not built; run: make sqlx", program.display());
                (program, Vec::new())
            }
        })
    }
}
