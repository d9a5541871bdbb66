//! One GET over HTTPS: bounded in bytes; nothing is followed, kept or sent along.

use std::{pin::pin, sync::Arc};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{ACCEPT, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use url::{Position, Url};

use super::{Stream, tls};

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What stands at `url`, at most so many bytes. The caller bounds the time.
///
/// # Errors
/// Why there is no answer, or none that is meant (200); a sentence's part.
pub async fn get(url: &Url, config: Arc<ClientConfig>, bytes_max: usize) -> Result<Vec<u8>, String> {
    let host = url.host_str().ok_or("there is no host in its URL")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
    let port = url.port_or_known_default().unwrap_or(443);
    let socket = TcpStream::connect((bare, port)).await.map_err(|error| error.to_string())?;
    let (stream, _) = tls::connect(Stream::Tcp(socket), config, name)
        .await
        .map_err(|error| format!("the TLS handshake failed: {error}"))?;
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("pgsteer/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    exchange(stream, request, bytes_max).await
}

async fn exchange(
    stream: Stream,
    request: Request<Empty<Bytes>>,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        http.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| format!("its answer is not taken: {error}"))?;
        Ok(body.to_bytes().to_vec())
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    // What came before the connection's end is an answer all the same.
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}
