//! The start of a session: versions of the protocol, parameters and options, as PostgreSQL takes them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whether a session is let in that starts with these parameters, and what it finds, or the error that it is refused with.
async fn started_with(to: SocketAddr, parameters: &[(&str, &str)]) -> Result<String> {
    let mut body = Vec::new();
    let own = [("user", Login::TRADER.user), ("database", Cluster::DATABASE)];
    for (name, value) in own.iter().chain(parameters) {
        body.extend_from_slice(&[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 8)?.to_be_bytes();
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(&[&length[..], &[0, 3, 0, 0], &body].concat()).await?;
    let sql = "SELECT name || ' ' || setting FROM pg_settings WHERE name IN
               ('work_mem', 'geqo', 'search_path', 'DateStyle', 'TimeZone', 'application_name', 'enable_hashjoin')";
    let query = [sql.as_bytes(), b"\0"].concat();
    let length = u32::try_from(query.len() + 4)?.to_be_bytes();
    stream.write_all(&[b"Q", &length[..], &query, b"X\0\0\0\x04"].concat()).await?;
    let mut answer = Vec::new();
    // A server that refuses may reset the connection, since it has not read the query.
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await?;
    let mut told = Vec::new();
    let mut rest = &answer[..];
    while let [tag, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
        let body = rest.get(5..length).context("cut off")?;
        match tag {
            b'R' if body == [0; 4] => told.push("in".to_owned()),
            b'D' => told.push(String::from_utf8_lossy(&body[6..]).into_owned()),
            b'E' => {
                let fields = body.split(|byte| *byte == 0);
                let known = fields.filter(|field| matches!(field.first(), Some(b'S' | b'C' | b'M')));
                told.extend(known.map(|field| String::from_utf8_lossy(field).into_owned()));
            }
            _ => {}
        }
        rest = &rest[length..];
    }
    Ok(told.join("; "))
}

/// Start-up parameters and `options` mean what they mean to the server, and its refusals are its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_up_parameters() -> Result {
    let trust = "[auth]\nauth_type = \"trust\"\n[pool]\nserver_login_retry = 0";
    let stage = Single::start(Release::System, Door::Open, "", trust).await?;
    let before = Client::connect(&stage.proxy.write_config()).await?;
    for parameters in [
        &[][..],
        &[("options", "-c work_mem=1234kB -cgeqo=off --enable-hashjoin=off")],
        &[("options", r"-c search_path=a\ b,\\c -c DateStyle=German,\ DMY"), ("TimeZone", "Asia/Tokyo")],
        &[("search_path", "x, y"), ("DateStyle", "SQL, DMY"), ("application_name", "named")],
        // A parameter of its own counts more than options, wherever it stands.
        &[("work_mem", "2MB"), ("options", "-c work_mem=1MB")],
        &[("options", "-c application_name=a"), ("application_name", "b")],
        &[("options", "-c custom.thing=1"), ("other.thing", "2")],
        // Switches of the server's command line.
        &[("options", "-f h -S 3000")],
        &[("options", "-c geqo=off -f h")],
        &[("options", "--")],
        // Refused, in the server's words.
        &[("nonsense", "1")],
        &[("options", "-c nonsense=1")],
        &[("options", "-c work_mem")],
        &[("options", "--work_mem")],
        &[("options", "-c")],
        &[("options", "-q")],
        &[("options", "a=b")],
        &[("work_mem", "much")],
        &[("TimeZone", "Nowhere")],
        &[("options", "-c shared_buffers=1GB")],
        &[("replication", "perhaps")],
    ] {
        let [directly, through] = stage.both().map(|(_, address)| started_with(address, parameters));
        let (directly, through) = (directly.await?, through.await?);
        ensure!(directly == through, "{parameters:?}: directly {directly}, through pgsteer {through}");
    }
    // Nobody else has felt any of that.
    ensure!(before.text("SELECT 'still here'").await? == "still here");
    ensure!(Client::connect(&stage.proxy.write_config()).await?.text("SHOW work_mem").await? == "4MB");
    Ok(())
}

/// What is answered to a start-up of this minor version with these protocol options: every NegotiateProtocolVersion,
/// and the key to cancel with.
async fn negotiated(to: SocketAddr, minor: u16, options: &[u8]) -> Result<(Vec<String>, Vec<u8>, TcpStream)> {
    let own =
        [b"user\0", Login::TRADER.user.as_bytes(), b"\0database\0", Cluster::DATABASE.as_bytes(), b"\0"];
    let body = [&own.concat(), options, b"\0"].concat();
    let length = u32::try_from(body.len() + 8)?.to_be_bytes();
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(&[&length[..], &[0, 3], &minor.to_be_bytes(), &body].concat()).await?;
    let (mut told, mut key) = (Vec::new(), Vec::new());
    loop {
        let mut header = [0; 5];
        tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut header)).await??;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        match header[0] {
            b'v' => told.push(body.escape_ascii().to_string()),
            b'K' => key = body,
            b'E' => anyhow::bail!("{}", body.escape_ascii()),
            b'Z' => return Ok((told, key, stream)),
            _ => {}
        }
    }
}

/// Whatever version a client speaks, it is answered as PostgreSQL 18 answers, and its key cancels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_the_protocol() -> Result {
    let trust = "[auth]\nauth_type = \"trust\"";
    for release in [Release::System, Release::Eighteen] {
        let stage = Single::start(release, Door::Open, "", trust).await?;
        let newest = stage.server.address;
        for (minor, options, secret) in [
            (0, &b""[..], 4),
            (1, b"", 4),
            (2, b"", 32),
            (3, b"", 32),
            (9999, b"_pq_.a\x001\0_pq_.b\x002\0", 32),
            (0, b"_pq_.a\x001\0", 4),
        ] {
            let (told, key, mut stream) = negotiated(stage.proxy.write, minor, options).await?;
            ensure!(key.len() == 4 + secret, "3.{minor}: a key of {} bytes", key.len());
            if release == Release::Eighteen {
                let (directly, ..) = negotiated(newest, minor, options).await?;
                ensure!(told == directly, "3.{minor}: {told:?}, directly {directly:?}");
            }
            stream.write_all(b"Q\0\0\0\x18SELECT pg_sleep(60)\0").await?;
            let length = u32::try_from(key.len() + 8)?.to_be_bytes();
            let request = [&length[..], &[4, 210, 22, 46], &key].concat();
            let told = async {
                let mut answer = Vec::new();
                while !answer.ends_with(b"Z\0\0\0\x05I") {
                    ensure!(stream.read_buf(&mut answer).await? > 0, "it ended");
                }
                Ok(answer)
            };
            let cancelling = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let mut cancel = TcpStream::connect(stage.proxy.write).await?;
                    cancel.write_all(&request).await?;
                    cancel.read_to_end(&mut Vec::new()).await?;
                }
            };
            let told = tokio::select! {
                told = tokio::time::timeout(Duration::from_secs(20), told) => told??,
                never = cancelling => { let never: Result = never; return never }
            };
            ensure!(told.windows(6).any(|window| window == b"C57014"), "{}", told.escape_ascii());
        }
    }
    Ok(())
}
