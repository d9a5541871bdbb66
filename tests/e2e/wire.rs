//! The wire itself: sockets, versions of the protocol, what comes before a login, in front of one PostgreSQL.

use std::os::unix::{fs::PermissionsExt, net::UnixListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Proxy, Release, Result, Sandbox, Server, eventually, sqlstate,
};
use tokio_postgres::{Config, NoTls};

/// How the application reaches a Unix socket.
fn by_socket(folder: &str, port: u16, user: &str) -> Config {
    let mut config = Config::new();
    config.host_path(folder).port(port).dbname(Cluster::DATABASE);
    config.user(user).password(Login::TRADER.password).connect_timeout(Duration::from_secs(2));
    config
}

/// What the kernel calls whoever runs this.
fn me() -> Result<String> {
    let said = std::process::Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

/// Sockets on both sides: clients come by one, servers are reached by one, and so are those that are cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unix_sockets() -> Result {
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox, Release::System, Door::Open, "").await?;
    let part = sandbox.part("sockets")?;
    let folder = part.folder().display().to_string();
    // As a pgsteer leaves it that was killed.
    let stale = part.folder().join(".s.PGSQL.6432");
    drop(UnixListener::bind(&stale)?);
    std::fs::set_permissions(&stale, PermissionsExt::from_mode(0o777))?;
    let servers = format!("{}/server:{}", sandbox.folder().display(), server.address.port());
    let overrides = format!(
        r#"
        listen = [
            {{ address = "{folder}:6432", route = "write", unix_socket_mode = "0777" }},
            {{ address = "@{folder}:6433", route = "write" }},
        ]
        [clusters.trading]
        hosts = ["{servers}"]
        "#
    );
    let mut proxy = Proxy::before(&sandbox, &server, &overrides).await?;
    let played = async {
        let client = Client::connect(&by_socket(&folder, 6432, Login::TRADER.user)).await?;
        let local = client.text("SELECT inet_client_addr() IS NULL").await?;
        ensure!(local == "t", "the server is not reached by its socket");
        cancel(&client).await?;
        let libpq = server.programs.join("psql");
        for (host, port) in [(folder.clone(), 6432), (format!("@{folder}"), 6433)] {
            let said = tokio::process::Command::new(&libpq)
                .args(["-XAtc", "SELECT 'by ' || current_user", "-h", &host, "-p", &port.to_string()])
                .args(["-U", Login::TRADER.user, "-d", Cluster::DATABASE])
                .env("PGPASSWORD", Login::TRADER.password)
                .output()
                .await?;
            ensure!(said.stdout == format!("by {}\n", Login::TRADER.user).as_bytes(), "{host}: {said:?}");
        }
        anyhow::Ok(())
    };
    let played = played.await;
    let stopped = proxy.stop(Duration::from_secs(10)).await;
    played.with_context(|| sandbox.logs(40))?;
    ensure!(stopped? == Some(0));
    ensure!(!stale.exists(), "the socket's file was left behind");
    Ok(())
}

/// A running query of this client's is cancelled.
async fn cancel(client: &Client) -> Result {
    let token = client.cancel_token();
    let cancelling = async {
        // Until it runs there is nothing to cancel: as often as it takes.
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if token.cancel_query(NoTls).await.is_err() {
                break;
            }
        }
    };
    let told = tokio::select! {
        slept = client.batch_execute("SELECT pg_sleep(60)") => slept.err(),
        () = cancelling => None,
    };
    ensure!(told.as_ref().is_some_and(|told| sqlstate(told) == "57014"), "{told:?}");
    Ok(())
}

/// The operating system vouches for its users, by the same name, and for no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_authentication() -> Result {
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox, Release::System, Door::Open, "").await?;
    let me = me()?;
    server.superuser().await?.batch_execute(&format!("CREATE ROLE \"{me}\" LOGIN")).await?;
    let part = sandbox.part("sockets")?;
    let folder = part.folder().display().to_string();
    let listen = format!("listen = [{{ address = \"{folder}:6432\", route = \"write\" }}]");
    let overrides = format!("{listen}\n[auth]\nauth_type = \"peer\"");
    let proxy = Proxy::before(&sandbox, &server, &overrides).await?;
    let client = Client::connect(&by_socket(&folder, 6432, &me)).await?;
    ensure!(client.text("SELECT current_user").await? == me);
    let other = by_socket(&folder, 6432, Login::TRADER.user);
    let refused = Client::try_connect(&other, Duration::from_secs(5)).await.err();
    ensure!(refused.as_deref() == Some("28000"), "another user: {refused:?}");
    eventually("the log says why", Duration::from_secs(5), async || {
        proxy.log().contains("it is another user's").then_some(())
    })
    .await
}
