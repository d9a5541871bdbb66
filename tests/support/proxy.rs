//! A pgsteer in front of the cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Child;
use toml::Table;

use crate::toml_merge::merge;
use crate::{
    Answer, Cluster, Login, Moment, Part, Result, Sandbox, Server, connection_string, eventually, http,
};

/// A running pgsteer.
#[derive(Debug)]
pub struct Proxy {
    /// The listener whose route is `write`.
    pub write: SocketAddr,
    /// The listener whose route is `read`.
    pub read: SocketAddr,
    /// The listener whose route is `split`.
    pub split: SocketAddr,
    /// Metrics, health and the topology.
    pub http: SocketAddr,
    part: Part,
    running: Child,
}

impl Proxy {
    /// Starts one with the shipped defaults and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or is not ready within 20 s.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_with(cluster, "").await
    }

    /// The same with some keys of its configuration changed, as TOML.
    ///
    /// # Errors
    /// It ended, or is not ready within 20 s.
    pub async fn start_with(cluster: &Cluster, overrides: &str) -> Result<Self> {
        let mut proxy = Self::launch(cluster, "pgsteer", overrides)?;
        proxy.ready(Duration::from_secs(20)).await?;
        Ok(proxy)
    }

    /// Starts one and returns at once; `part` names its folder.
    ///
    /// # Errors
    /// There is no program, or the overrides are no TOML.
    pub fn launch(cluster: &Cluster, part: &str, overrides: &str) -> Result<Self> {
        let mut store = Table::new();
        store.insert("scope".to_owned(), cluster.options.scope.clone().into());
        store.insert("store".to_owned(), cluster.options.store.word().into());
        store.insert("endpoints".to_owned(), vec![cluster.store_address().to_string()].into());
        let members = cluster.nodes.iter().map(|node| (node.address, node.api)).collect::<Vec<_>>();
        Self::launch_before(&cluster.sandbox, part, store, &members, overrides)
    }

    /// Starts one in front of a server that no store knows, and waits until it is ready for writes.
    ///
    /// # Errors
    /// It ended, or is not ready within 20 s.
    pub async fn before(sandbox: &Sandbox, server: &Server, overrides: &str) -> Result<Self> {
        let mut store = Table::new();
        store.insert("store".to_owned(), "none".into());
        let mut proxy =
            Self::launch_before(sandbox, "pgsteer", store, &[(server.address, server.address)], overrides)?;
        proxy.ready_for("/ready?route=write", Duration::from_secs(20)).await?; // there is no replica
        Ok(proxy)
    }

    /// Starts one in front of a leader and its standbys that no store knows, and waits until it is ready for writes and reads;
    /// `part` names its folder.
    ///
    /// # Errors
    /// It ended, or is not ready within 20 s.
    pub async fn before_all(
        sandbox: &Sandbox,
        part: &str,
        servers: &[&Server],
        overrides: &str,
    ) -> Result<Self> {
        let mut store = Table::new();
        store.insert("store".to_owned(), "none".into());
        let members: Vec<_> = servers.iter().map(|server| (server.address, server.address)).collect();
        let mut proxy = Self::launch_before(sandbox, part, store, &members, overrides)?;
        proxy.ready(Duration::from_secs(20)).await?;
        Ok(proxy)
    }

    fn launch_before(
        sandbox: &Sandbox,
        part: &str,
        store: Table,
        members: &[(SocketAddr, SocketAddr)],
        overrides: &str,
    ) -> Result<Self> {
        let part = sandbox.part_at(2, part)?;
        let [write, read] = [sandbox.address(2, 6432)?, sandbox.address(2, 6433)?];
        let [split, http] = [sandbox.address(2, 6434)?, sandbox.address(2, 9930)?];
        let users = [Login::TRADER, Login::POSTGRES];
        let users = users.map(|Login { user, password }| format!("\"{user}\" \"{password}\"\n")).concat();
        part.write("userlist.txt", &users)?;
        let mut config: Table = configuration([write, read, split, http]).parse()?;
        merge(&mut config, [("clusters".to_owned(), clusters(store))].into_iter().collect());
        merge(&mut config, overrides.parse::<Table>().context("overrides")?);
        without_store(&mut config, members);
        let file = part.write("pgsteer.toml", &toml::to_string(&config)?)?;
        // The build folder may be closed to the user that runs it.
        let program = part.folder().join("pgsteer");
        let built = binary()?;
        std::fs::copy(&built, &program).with_context(|| format!("{}", built.display()))?;
        let arguments = ["run".to_owned(), "--config".to_owned(), file.display().to_string()];
        let running = part.start(&program, &arguments)?;
        Ok(Self { write, read, split, http, part, running })
    }

    /// Waits until it says that it can serve.
    ///
    /// # Errors
    /// It ended, or not in time.
    pub async fn ready(&mut self, within: Duration) -> Result {
        self.ready_for("/ready", within).await
    }

    /// Waits until it says so at this path: `/ready` for all of its listeners, `/ready?route=write` for some.
    ///
    /// # Errors
    /// It ended, or not in time.
    pub async fn ready_for(&mut self, path: &str, within: Duration) -> Result {
        let http = self.http;
        let part = self.part.clone();
        let running = &mut self.running;
        let outcome = eventually("pgsteer is ready", within, async || {
            if let Ok(Some(status)) = running.try_wait() {
                return Some(Err(status));
            }
            let answer = http::request(http, "GET", path, "", Duration::from_secs(1)).await.ok()?;
            (answer.status == 200).then_some(Ok(()))
        });
        let said = || std::fs::read_to_string(part.log()).unwrap_or_default();
        match outcome.await.with_context(said)? {
            Ok(()) => Ok(()),
            Err(status) => bail!("pgsteer ended with {status}: {}", said()),
        }
    }

    /// How the application reaches the leader through it.
    pub fn write_config(&self) -> tokio_postgres::Config {
        connection_string(self.write, Login::TRADER, Cluster::DATABASE)
    }

    /// How the application reaches replicas through it.
    pub fn read_config(&self) -> tokio_postgres::Config {
        connection_string(self.read, Login::TRADER, Cluster::DATABASE)
    }

    /// How the application reaches both through it, by one connection.
    pub fn split_config(&self) -> tokio_postgres::Config {
        connection_string(self.split, Login::TRADER, Cluster::DATABASE)
    }

    /// One request to its HTTP address.
    ///
    /// # Errors
    /// No answer within 2 s.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        http::request(self.http, "GET", path, "", Duration::from_secs(2)).await
    }

    /// The sum of a metric over all its label sets that contain `label` (as `name="value"`, or empty for all).
    ///
    /// # Errors
    /// No answer.
    pub async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let page = self.get("/metrics").await?.body;
        let of_this = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or("-");
            (rest.starts_with(' ') || rest.starts_with('{')) && line.contains(label)
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        Ok(page.lines().filter(of_this).filter_map(value).sum())
    }

    /// Runs another command of the program with its configuration, to its end.
    ///
    /// # Errors
    /// It does not come to an end within that time.
    pub async fn command(&self, arguments: &[&str], within: Duration) -> Result<std::process::Output> {
        let folder = self.part.folder();
        let mut command = tokio::process::Command::new(folder.join("pgsteer"));
        command.args(arguments).arg("--config").arg(folder.join("pgsteer.toml")).kill_on_drop(true);
        let ended = tokio::time::timeout(within, command.output()).await;
        Ok(ended.with_context(|| format!("pgsteer {arguments:?} goes on"))??)
    }

    /// Gives it an order over HTTP, with the token.
    ///
    /// # Errors
    /// No answer within 2 s.
    pub async fn order(&self, path: &str, token: &str) -> Result<Answer> {
        http::order(self.http, path, token, Duration::from_secs(2)).await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.part.log()).unwrap_or_default()
    }

    /// Stops it where it stands. The answer is when.
    ///
    /// # Errors
    /// It escaped.
    pub async fn freeze(&self) -> Result<Moment> {
        self.part.signal("STOP").await
    }

    /// Lets it go on. The answer is when.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn thaw(&self) -> Result<Moment> {
        self.part.signal("CONT").await
    }

    /// kill -9, and a new start with the same configuration. The answer is when it was killed.
    ///
    /// # Errors
    /// It is not ready again within 20 s.
    pub async fn restart(&mut self) -> Result<Moment> {
        let at = self.part.signal("KILL").await?;
        self.running.wait().await?;
        let folder = self.part.folder().to_owned();
        let arguments = ["run", "--config"].map(str::to_owned).into_iter();
        let arguments: Vec<_> =
            arguments.chain([folder.join("pgsteer.toml").display().to_string()]).collect();
        self.running = self.part.start(&folder.join("pgsteer"), &arguments)?;
        self.ready(Duration::from_secs(20)).await?;
        Ok(at)
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        matches!(self.running.try_wait(), Ok(None))
    }

    /// Waits until it ends, which it does only when stopped or broken.
    ///
    /// # Errors
    /// The system's.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        Ok(self.running.wait().await?)
    }

    /// Asks it to drain and end, and waits for that; the answer is its exit code.
    ///
    /// # Errors
    /// It goes on.
    pub async fn stop(&mut self, within: Duration) -> Result<Option<i32>> {
        self.part.signal("TERM").await?;
        let ended = tokio::time::timeout(within, self.running.wait()).await;
        Ok(ended.context("pgsteer goes on after SIGTERM")??.code())
    }
}

/// The pgsteer that was built with this test or demo: beside it, or named by `PGSTEER`.
fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("PGSTEER") {
        return Ok(named.into());
    }
    let own = std::env::current_exe()?; // target/PROFILE/deps/e2e-… or target/PROFILE/examples/demo
    let profile = own.parent().and_then(Path::parent).context("where is the build folder?")?;
    Ok(profile.join("pgsteer"))
}

/// Where the overrides say `store = "none"` or `"patroni"`: the servers or the Patronis to ask, instead of where the store
/// is. Members are PostgreSQL's address and that of Patroni's REST API.
fn without_store(config: &mut Table, members: &[(SocketAddr, SocketAddr)]) {
    let trading = config.get_mut("clusters").and_then(|all| all.get_mut("trading"));
    let Some(trading) = trading.and_then(toml::Value::as_table_mut) else { return };
    match trading.get("store").and_then(toml::Value::as_str) {
        Some("none") => {
            trading.retain(|key, _| key != "endpoints" && key != "scope");
            let hosts: Vec<_> = members.iter().map(|(server, _)| server.to_string()).collect();
            trading.entry("hosts").or_insert_with(|| hosts.into());
        }
        Some("patroni") => {
            let apis: Vec<_> = members.iter().map(|(_, api)| api.to_string()).collect();
            trading.insert("endpoints".to_owned(), apis.into());
        }
        _ => {}
    }
}

/// The one cluster, with what is the same for all.
fn clusters(mut store: Table) -> toml::Value {
    let monitoring = Login::MONITORING;
    store.insert("probe_user".to_owned(), monitoring.user.into());
    store.insert("probe_password".to_owned(), monitoring.password.into());
    let clusters: Table = [("trading".to_owned(), store.into())].into_iter().collect();
    clusters.into()
}

fn configuration([write, read, split, http]: [SocketAddr; 4]) -> String {
    format!(
        r#"
        [[listen]]
        address = "{write}"
        route = "write"
        [[listen]]
        address = "{read}"
        route = "read"
        [[listen]]
        address = "{split}"
        route = "split"
        [auth]
        auth_type = "scram-sha-256"
        auth_file = "userlist.txt"
        [http]
        address = "{http}"
        "#
    )
}
