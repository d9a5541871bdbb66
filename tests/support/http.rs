//! One HTTP request to a loopback address, bounded in time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

const JSON: &str = "Content-Type: application/json\r\n";

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as it came.
    pub body: String,
}

impl Answer {
    /// The body read as JSON; `null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends one request on a connection of its own and reads the answer to its end.
///
/// # Errors
/// Refused, too slow, or not HTTP.
pub(crate) async fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    within: Duration,
) -> Result<Answer> {
    send(to, method, path, JSON, body, within).await
}

/// One request with headers of its own, each with its end of line.
///
/// # Errors
/// Refused, too slow (10 s), or not HTTP.
pub async fn call(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    send(to, method, path, headers, body, Duration::from_secs(10)).await
}

/// The same with a token, as orders need it.
///
/// # Errors
/// Refused, too slow, or not HTTP.
pub(crate) async fn order(to: SocketAddr, path: &str, token: &str, within: Duration) -> Result<Answer> {
    send(to, "POST", path, &format!("{JSON}Authorization: Bearer {token}\r\n"), "", within).await
}

async fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    within: Duration,
) -> Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        // HTTP/1.0: the answer ends with the connection and is never chunked.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").context("no end of headers")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        anyhow::Ok(Answer { status, body: body.to_owned() })
    };
    let what = || format!("{method} http://{to}{path}");
    tokio::time::timeout(within, exchange).await.with_context(what)?.with_context(what)
}
