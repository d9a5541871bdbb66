//! The wire itself: sockets, cancelling, what comes before a login, in front of one PostgreSQL.

use std::net::SocketAddr;
use std::os::unix::{fs::PermissionsExt, net::UnixListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Proxy, Release, Result, Sandbox, Server, Single, connection_string,
    eventually, now, sqlstate,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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

/// A connection that says `first`, and then starts a session as the application; the answer is what comes back.
async fn forwarded(to: SocketAddr, first: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let login =
        [b"user\0", Login::TRADER.user.as_bytes(), b"\0database\0", Cluster::DATABASE.as_bytes(), b"\0\0"];
    let login = login.concat();
    let length = u32::try_from(login.len() + 8)?.to_be_bytes();
    // What a client has sent before it is forwarded comes with the header.
    stream.write_all(&[first, &length, &[0, 3, 0, 0], &login].concat()).await?;
    let mut answer = vec![0; 64 * 1024];
    let mut length = 0;
    while !answer[..length].ends_with(b"Z\0\0\0\x05I") {
        let read =
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer[length..])).await??;
        if read == 0 {
            break;
        }
        length += read;
    }
    answer.truncate(length);
    Ok(answer)
}

/// Stands before the server and expects the PROXY protocol: what it was told, and whom it forwarded.
async fn expecting_proxy(server: SocketAddr) -> Result<(SocketAddr, Arc<Mutex<Vec<String>>>)> {
    let listener = TcpListener::bind((server.ip(), 0)).await?;
    let address = listener.local_addr()?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut line = Vec::new();
                while !line.ends_with(b"\r\n") && line.len() < 107 {
                    line.push(client.read_u8().await?);
                }
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line.escape_ascii().to_string());
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok((address, told))
}

/// A proxy before pgsteer says whom it forwards, if it is one that is believed; and pgsteer says so to one before
/// the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_protocol() -> Result {
    let sandbox = Sandbox::new()?;
    let server = Server::start(&sandbox, Release::System, Door::Open, "").await?;
    let (before_server, told) = expecting_proxy(server.address).await?;
    let [required, optional, closed] =
        [sandbox.address(2, 6434)?, sandbox.address(2, 6435)?, sandbox.address(2, 6436)?];
    let overrides = format!(
        r#"
        listen = [
            {{ address = "{required}", route = "write", proxy_protocol = "required", proxy_protocol_from = ["127.0.0.0/8"] }},
            {{ address = "{optional}", route = "write", proxy_protocol = "optional", proxy_protocol_from = ["127.0.0.0/8"] }},
            {{ address = "{closed}", route = "write", proxy_protocol = "required", proxy_protocol_from = ["10.0.0.0/8"] }},
        ]
        [auth]
        auth_type = "trust"
        [clusters.trading]
        hosts = ["{before_server}"]
        server_proxy_protocol = "v1"
        "#
    );
    let proxy = Proxy::before(&sandbox, &server, &overrides).await?;
    let header = b"PROXY TCP4 203.0.113.7 203.0.113.1 56324 5432\r\n";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const IN: &str = "R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00";
    for (to, first, expected) in [
        (required, &header[..], IN),
        (required, local, IN),
        (required, b"", ""),
        (required, b"PROXY TCP4 203.0.113.7\r\n", ""),
        (optional, header, IN),
        (optional, b"", IN),
        // Not believed: to a client the header is no start of a session.
        (closed, b"", IN),
        (closed, header, ""),
    ] {
        let answer = forwarded(to, first).await?;
        let answer = answer.escape_ascii().to_string();
        let as_expected = if expected.is_empty() { answer.is_empty() } else { answer.starts_with(expected) };
        ensure!(as_expected, "{to} {}: {answer}", first.escape_ascii());
    }
    let client = Client::connect(&connection_string(closed, Login::TRADER, Cluster::DATABASE)).await?;
    cancel(&client).await?;
    let log = proxy.log();
    ensure!(log.contains("client=203.0.113.7:56324"), "the log does not name the client");
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(told.len() > 2 && told.iter().all(|line| line == "PROXY UNKNOWN\\r\\n"), "{told:?}");
    Ok(())
}

/// Who takes too long to log in, or is one too many, is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_come_to_nothing_are_told_why() -> Result {
    let overrides = "[pool]\nclient_login_timeout = \"5s\"\nmax_client_conn = 1";
    let stage = Single::start(Release::System, Door::Open, "", overrides).await?;
    // One client, and a hundred that are logging in; the last one is one too many.
    let held = Client::connect(&stage.proxy.write_config()).await?;
    let mut logging_in = Vec::new();
    for _ in 0..101 {
        logging_in.push(TcpStream::connect(stage.proxy.write).await?);
    }
    let refused = eventually("there are too many", Duration::from_secs(4), async || {
        let refused = Client::try_connect(&stage.proxy.write_config(), Duration::from_secs(5)).await.err()?;
        (refused == "53300" && stage.proxy.log().contains("one was turned away")).then_some(refused)
    });
    refused.await?;
    // They hear nothing, as from PostgreSQL; one that has begun to prove who it is, does.
    let mut silent = logging_in.pop().context("no connection")?;
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await??;
    ensure!(rest.is_empty(), "{}", rest.escape_ascii());
    let began = now();
    let answer = forwarded(stage.proxy.write, b"").await?;
    let answer = answer.escape_ascii().to_string();
    let told = answer.contains("SCRAM-SHA-256")
        && answer.contains("C57014\\x00Mcanceling authentication due to timeout\\x00");
    ensure!(told && began.elapsed() >= Duration::from_millis(4900), "{answer}");
    ensure!(held.text("SELECT 'still here'").await? == "still here");
    Ok(())
}

/// libpq reads and writes large objects by function call, in a transaction or out of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects() -> Result {
    let stage = Single::start(Release::System, Door::Scram, "", "").await?;
    let part = stage.sandbox.part("objects")?;
    let content: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    let file = part.write("in", &content)?;
    let (out, to) = (part.folder().join("out"), stage.proxy.write);
    let script = format!(
        "\\lo_import '{}'\n\\lo_export :LASTOID '{}'\n\\lo_unlink :LASTOID\n",
        file.display(),
        out.display()
    );
    let mut psql = part.command(&stage.server.programs.join("psql"));
    psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-h", &to.ip().to_string(), "-p", &to.port().to_string()]);
    psql.args(["-U", Login::TRADER.user, "-d", Cluster::DATABASE]).env("PGPASSWORD", Login::TRADER.password);
    psql.args(["-f", &part.write("script.sql", &script)?.display().to_string()]);
    let said = tokio::process::Command::from(psql).output().await?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    ensure!(std::fs::read_to_string(&out)? == content, "it came back changed");
    let client = Client::connect(&stage.proxy.write_config()).await?;
    ensure!(client.text("SELECT count(*) FROM pg_largeobject_metadata").await? == "0");
    Ok(())
}
