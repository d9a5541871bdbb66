//! A running pgsteer, and what it says over HTTP.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgsteer_testkit::eventually;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{Client, NoTls};

use crate::common::{
    exposition::Exposition,
    postgres::{Postgres, free_port},
};

pub(super) const PASSWORD: &str = "correct horse";
/// A database whose name is a label that needs escaping in every way.
pub(super) const STRANGE: &str = "a\"b\\c\\\\d\ne,{f}=";
/// Appears in a statement, and so must appear nowhere else.
pub(super) const MARKER: &str = "marker_7f3a91";
/// What an operator shows.
pub(super) const TOKEN: &str = "token_of_24_characters__";
pub(super) const SOON: Duration = Duration::from_secs(20);

/// A running pgsteer, gone when dropped.
pub(super) struct Proxy {
    pub(super) folder: tempfile::TempDir,
    pub(super) running: Child,
    pub(super) port: u16,
    pub(super) http: u16,
}

impl Proxy {
    pub(super) fn start(server: &Postgres) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, http) = (free_port(), free_port());
        let proxy_config = config(server, port, &format!("\"127.0.0.1:{http}\""));
        std::fs::write(folder.path().join("pgsteer.toml"), proxy_config).unwrap();
        std::fs::write(folder.path().join("users.txt"), format!("\"trader\" \"{PASSWORD}\"\n")).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let running = pgsteer(&folder).stderr(log).spawn().unwrap();
        Self { folder, running, port, http }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.running);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(super) async fn request(&self, head: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    pub(super) async fn get(&self, target: &str) -> (u16, String) {
        let (status, _, body) = self.request(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        (status, body)
    }

    pub(super) async fn json(&self, target: &str) -> (u16, Value) {
        let (status, body) = self.get(target).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    pub(super) async fn metrics(&self) -> Exposition {
        let (status, body) = self.get("/metrics").await;
        assert_eq!(status, 200);
        Exposition::read(&body)
    }

    pub(super) async fn readiness_becomes(&self, expected: u16) {
        let becoming = eventually("/ready", SOON, async || {
            TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
            (self.get("/ready").await.0 == expected).then_some(())
        });
        becoming.await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    pub(super) async fn connect(
        &self,
        database: &str,
        password: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user("trader").password(password).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.kill().unwrap();
        self.running.wait().unwrap();
    }
}

pub(super) fn pgsteer(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgsteer"));
    command.args(["run", "--config"]).arg(folder.path().join("pgsteer.toml")).stdout(Stdio::null());
    command
}

/// The leader serves reads too, so that one server is enough to be ready.
pub(super) fn config(server: &Postgres, port: u16, http: &str) -> String {
    format!(
        r#"
        [clusters.trading]
        store = "none"
        hosts = ["127.0.0.1:{server}"]
        probe_user = "postgres"
        probe_password = "{PASSWORD}"
        probe_interval = "50ms"
        [replicas]
        fallback = "leader"
        [[listen]]
        address = "127.0.0.1:{port}"
        route = "write"
        [[listen]]
        address = "127.0.0.1:0"
        route = "read"
        [pool]
        server_connect_timeout = "1s"
        hidden_state_sample = 1
        [auth]
        auth_file = "users.txt"
        [http]
        address = {http}
        token = "{TOKEN}"
        [runtime]
        workers = 2
        "#,
        server = server.port()
    )
}
