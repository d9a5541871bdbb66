//! A client for one HTTP/1.1 endpoint: one connection that is kept, bounded answers.
//!
//! Where a kept connection turns out to be dead, a question (GET) is put once more on a new one; an order (POST), which
//! may have been carried out, is given on a new connection and never twice. The caller bounds the time.

use std::{error::Error, fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

pub use super::secured::Unfit;
use super::{Address, Dial, secured::Secured, with_causes};
use crate::tls::Connector;

/// Most bytes of an answer's body that are taken.
pub const BODY_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of an answer's headers: hyper's smallest permitted buffer is 8 KiB.
const HEAD_MAX: usize = 64 * 1024;

/// Where to ask, and how to get there.
#[derive(Clone)]
pub struct HttpEndpoint {
    to: Secured,
    /// Sent with every request. The secret ones are marked as such, and never shown.
    headers: HeaderMap,
}

impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to.fmt(f)
    }
}

impl HttpEndpoint {
    /// The endpoint of `http://host:port` or `https://host:port`; TLS is spoken as `connector` says.
    ///
    /// # Errors
    /// It is no such URL, or needs a connector that is missing.
    pub fn new(url: &str, connector: Option<&Connector>, dial: Arc<dyn Dial>) -> Result<Self, Unfit> {
        let connector = connector.map(|connector| connector.speaking(Some(b"http/1.1")));
        let to = Secured::new(url, connector.as_ref(), dial)?;
        let mut headers = HeaderMap::new();
        let authority = HeaderValue::try_from(to.address.to_string());
        let authority = authority.map_err(|error| Unfit(format!("{url}: {error}")))?;
        headers.insert(header::HOST, authority);
        headers.insert(header::USER_AGENT, HeaderValue::from_static("pgsteer"));
        Ok(Self { to, headers })
    }

    /// Host and port.
    pub const fn address(&self) -> &Address {
        &self.to.address
    }

    /// Sends a header with every request, as a secret.
    ///
    /// # Errors
    /// The text cannot be a header's value.
    pub fn with_secret(mut self, name: &'static str, value: &str) -> Result<Self, Unfit> {
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Unfit(format!("the secret for {name} has characters that a header cannot have")))?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = self.to.connect().await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_MAX);
        let (sender, running) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| in_words(&error))?;
        let task = tokio::spawn(async move {
            // What goes wrong is told to whoever asked.
            let _ended = running.await;
        });
        Ok(Connection { sender, task })
    }
}

/// An open connection; closed when it is dropped.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON, if the status is 200.
    ///
    /// # Errors
    /// Another status, or no JSON; a sentence for the log.
    pub fn json(&self) -> Result<serde_json::Value, String> {
        if self.status != StatusCode::OK {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("it does not answer in JSON: {error}"))
    }

    /// The status and the beginning of the body, for the log.
    pub fn refusal(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { self.status.to_string() } else { format!("{}: {text}", self.status) }
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer whose body comes bit by bit. The connection ends with it.
pub struct Streamed {
    /// Its status.
    pub status: StatusCode,
    body: Incoming,
    _connection: Connection,
}

impl Streamed {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke; a sentence for the log.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(in_words(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Asks one endpoint, one question at a time.
pub struct HttpClient {
    endpoint: HttpEndpoint,
    /// Free for a request. Whoever gives up a question gives up its connection.
    kept: Option<Connection>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl HttpClient {
    /// A client that has not connected yet.
    pub const fn new(endpoint: HttpEndpoint) -> Self {
        Self { endpoint, kept: None }
    }

    /// Where it asks.
    pub const fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    /// Asks for `path` (with its query, escaped).
    ///
    /// # Errors
    /// No connection, no answer that is HTTP, or one that is too long; a sentence for the log.
    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        let (connection, response) = self.send(path).await?;
        let answer = whole(response).await?;
        self.kept = Some(connection);
        Ok(answer)
    }

    /// Gives an order with a body in JSON.
    ///
    /// # Errors
    /// As [`Self::get`]; it is not known then whether the order was carried out.
    pub async fn post(&self, path: &str, body: String) -> Result<Answer, String> {
        let request = Request::post(path).body(Full::new(Bytes::from(body)));
        let mut request = request.map_err(|error| format!("{path}: {error}"))?;
        *request.headers_mut() = self.endpoint.headers.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let mut connection = self.endpoint.connect().await?;
        let response = connection.sender.send_request(request).await.map_err(|error| in_words(&error))?;
        whole(response).await
    }

    /// Asks for `path`, to read the body as it comes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn stream(&mut self, path: &str) -> Result<Streamed, String> {
        let (connection, response) = self.send(path).await?;
        let (parts, body) = response.into_parts();
        Ok(Streamed { status: parts.status, body, _connection: connection })
    }

    async fn send(&mut self, path: &str) -> Result<(Connection, hyper::Response<Incoming>), String> {
        let mut request =
            Request::get(path).body(Full::default()).map_err(|error| format!("{path}: {error}"))?;
        *request.headers_mut() = self.endpoint.headers.clone();
        if let Some(mut kept) = self.kept.take()
            && kept.sender.ready().await.is_ok()
            && let Ok(response) = kept.sender.send_request(request.clone()).await
        {
            return Ok((kept, response));
        }
        let mut connection = self.endpoint.connect().await?;
        let response = connection.sender.send_request(request).await.map_err(|error| in_words(&error))?;
        Ok((connection, response))
    }
}

async fn whole(response: hyper::Response<Incoming>) -> Result<Answer, String> {
    let (parts, mut body) = response.into_parts();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| in_words(&error))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if whole.len() + bytes.len() > BODY_MAX {
            return Err(format!("the answer is longer than {BODY_MAX} bytes"));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body: whole.freeze() })
}

/// A path with what cannot stand in one escaped; slashes stay.
pub fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                escaped.push(byte.into())
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// An error and what is behind it.
fn in_words(error: &hyper::Error) -> String {
    with_causes(error.to_string(), error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        for (path, expected) in
            [("/service/a-b_1.x~/", "/service/a-b_1.x~/"), ("a b?c#d%/ä", "a%20b%3Fc%23d%25/%C3%A4")]
        {
            assert_eq!(escaped(path), expected);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let dial = Arc::new(crate::net::NetDialer::default());
        let endpoint = HttpEndpoint::new("http://db1:1", None, dial).unwrap();
        let endpoint = endpoint.with_secret("authorization", "Basic hunter2").unwrap();
        assert!(!format!("{endpoint:?} {:?}", endpoint.headers).contains("hunter2"));
        let refused = endpoint.with_secret("authorization", "hunter2\n").unwrap_err();
        assert!(!refused.0.contains("hunter2"));
    }
}
