//! A running pgsteer, and what it says to those who log in.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgsteer_testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::NoTls;

use crate::common::{
    exposition::Exposition,
    postgres::{Postgres, free_port},
};

const SOON: Duration = Duration::from_secs(20);

/// A running pgsteer, gone when dropped.
pub(super) struct Pgsteer {
    folder: tempfile::TempDir,
    running: Child,
    /// Where it listens: an address, or the folder of its socket.
    host: String,
    pub(super) port: u16,
    http: u16,
}

/// Whom the probes are.
pub(super) const PROBE: &str = "postgres";

impl Pgsteer {
    /// Starts one in front of `server` and waits until it serves; `config` goes on where `[auth]` begins, and each
    /// further file is a name and its text.
    pub(super) async fn start(server: &Postgres, config: &str, files: &[(&str, &str)]) -> Self {
        Self::start_on("127.0.0.1", server, config, files).await
    }

    /// The same on that address, or with its socket in that folder.
    pub(super) async fn start_on(
        host: &str,
        server: &Postgres,
        config: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let http = std::iter::repeat_with(free_port).find(|other| *other != port).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let head = format!(
            "[clusters.trading]\nstore = \"none\"\nhosts = [\"127.0.0.1:{}\"]\nprobe_user = \"{PROBE}\"\n\
             probe_interval = \"20ms\"\n\
             [[listen]]\naddress = \"{host}:{port}\"\nroute = \"write\"\n\
             [http]\naddress = \"127.0.0.1:{http}\"\n[runtime]\nworkers = 2\n[auth]\n",
            server.port()
        );
        std::fs::write(folder.path().join("pgsteer.toml"), head + config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgsteer"));
        command.args(["run", "--config"]).arg(folder.path().join("pgsteer.toml")).stdout(Stdio::null());
        let running = command.stderr(log).spawn().unwrap();
        let started = Self { folder, running, host: host.to_owned(), port, http };
        started.readiness_becomes(200).await;
        started
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap()
    }

    async fn get(&self, target: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(super) async fn readiness_becomes(&self, expected: u16) {
        let becoming = eventually("/ready", SOON, async || {
            (self.get("/ready?route=write").await?.0 == expected).then_some(())
        });
        becoming.await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// The sum of a metric over the series that have these labels.
    pub(super) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (status, page) = self.get("/metrics").await.unwrap();
        assert_eq!(status, 200);
        Exposition::read(&page).sum(name, labels)
    }

    /// Reads the configuration again, and waits until that has succeeded or failed.
    pub(super) async fn reload(&self, outcome: &str) {
        let done = async || self.metric("pgsteer_config_reloads_total", &[("outcome", outcome)]).await;
        let before = done().await;
        let pid = rustix::process::Pid::from_child(&self.running);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let reloaded = eventually("reloaded", SOON, async || (done().await > before).then_some(())).await;
        reloaded.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Writes something else into the configuration, for the next reload.
    pub(super) fn rewrite(&self, from: &str, to: &str) {
        let file = self.file("pgsteer.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in\n{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }

    /// Logs in.
    pub(super) async fn connect(&self, user: &str, password: &str, database: &str) -> Outcome {
        self.log_in(user, password, database, "").await
    }

    /// Logs in with start-up options.
    pub(super) async fn connect_with(&self, user: &str, database: &str, options: &str) -> Outcome {
        self.log_in(user, "", database, options).await
    }

    async fn log_in(&self, user: &str, password: &str, database: &str, options: &str) -> Outcome {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.host).port(self.port).user(user).password(password).dbname(database);
        if !options.is_empty() {
            config.options(options);
        }
        let connecting =
            tokio::time::timeout(SOON, config.connect(NoTls)).await.expect("no answer to a login");
        let (client, connection) = connecting.map_err(said)?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Logs in and asks the server who it is that asks; or the refusal.
    pub(super) async fn who(&self, user: &str, password: &str, database: &str) -> String {
        let client = match self.connect(user, password, database).await {
            Ok(client) => client,
            Err(said) => return said,
        };
        let asked = client.query_one("select current_user || ' in ' || current_database()", &[]).await;
        asked.map_or_else(said, |row| row.get(0))
    }
}

/// A client, or SQLSTATE and message of the refusal.
pub(super) type Outcome = Result<tokio_postgres::Client, String>;

fn said(error: tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} {}", said.code().code(), said.message()),
        None => error.to_string(),
    }
}

impl Drop for Pgsteer {
    fn drop(&mut self) {
        self.running.kill().unwrap();
        self.running.wait().unwrap();
    }
}

/// Runs these statements on the server itself.
pub(super) async fn prepare(server: &Postgres, database: &str, sql: &str) {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname(database);
    let (admin, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute(sql).await.unwrap();
}
