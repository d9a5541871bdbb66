//! The little HTTP server: GET and HEAD of four pages, and POST of orders by whoever shows the token; bounded in connections,
//! bytes and time.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinError,
};

use super::{
    gather, leader, orders,
    pages::Pages,
    ready::readiness,
    seats::{Evicted, Seat, Seats},
    view::View,
};
use crate::{metrics::page::MEDIA_TYPE, session::routes::Purpose};

/// Connections at once; for the next one, the one that has been silent longest is closed.
const CONNECTIONS_MAX: usize = 32;

/// A connection, which serves one request, lasts no longer.
const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// The head of a request must be there after this time.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header fields of a request at most.
const HEADERS_MAX: usize = 64;

/// How long nothing is accepted after an attempt failed for want of something (files, memory).
const BACK_OFF: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

type Answer = Response<Full<Bytes>>;

/// Answers requests until the program ends.
pub async fn serve(listener: TcpListener, view: Arc<View>) {
    let seats = Seats::new(CONNECTIONS_MAX);
    let pages = Arc::new(Pages::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (seat, evicted) = seats.take();
                tokio::spawn(serve_connection(stream, view.clone(), pages.clone(), (seat, evicted)));
                // Whoever is here has a look at what its client has sent, before others can take its seat.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!("http: cannot accept a connection: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    view: Arc<View>,
    pages: Arc<Pages>,
    (seat, evicted): (Seat, Evicted),
) {
    let peer = stream.peer_addr().ok();
    let (seat, pages) = (&seat, &*pages);
    let service = service_fn(move |request| {
        seat.heard();
        let view = view.clone();
        async move { Ok::<_, Infallible>(answer(view, pages, &request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = tokio::time::timeout(CONNECTION_MAX, connection) => match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("http: {error}"),
            Err(_) => tracing::debug!("http: a connection took too long"),
        },
        _ = evicted => tracing::debug!("http: a silent connection was closed for another"),
    }
}

async fn answer<B: Body>(
    view: Arc<View>,
    pages: &Pages,
    request: &Request<B>,
    peer: Option<SocketAddr>,
) -> Answer {
    if let Some(kind) = orders::kind(request.method(), request.uri().path()) {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let query = request.uri().query().unwrap_or_default();
        let from = peer.map_or_else(|| "somebody".to_owned(), |peer| peer.to_string());
        return match orders::obey(&view, kind, query, token, &from) {
            Ok(done) => json(StatusCode::OK, &done),
            Err(refusal) => text(refusal.status, format!("{}\n", refusal.why)),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal =
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here, and POST of orders\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let query = match Query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    match request.uri().path() {
        "/health" => text(StatusCode::OK, "alive\n"),
        "/ready" => ready(&view, &query),
        "/leader" => pages.own(move || leaders(&view, &query)).await.unwrap_or_else(|error| failed(&error)),
        "/metrics" => match pages.shared(move || gather::page(&view)).await {
            Ok(figures) => page(StatusCode::OK, MEDIA_TYPE, figures),
            Err(error) => failed(&error),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "nothing here; there are /metrics /health /ready /leader, and orders by POST\n",
        ),
    }
}

fn failed(error: &JoinError) -> Answer {
    tracing::error!("http: {error}");
    text(StatusCode::INTERNAL_SERVER_ERROR, "that failed; the log says more\n")
}

const WRONG: &str = "the query may have cluster=NAME and route=write, route=read or route=split\n";

/// What stands behind the question mark.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    cluster: Option<String>,
    route: Option<Purpose>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match (&*name, &*value) {
                ("cluster", name) => query.cluster = Some(name.to_owned()),
                ("route", "write") => query.route = Some(Purpose::Write),
                ("route", "read") => query.route = Some(Purpose::Read),
                ("route", "split") => query.route = Some(Purpose::Split),
                ("route", _) => return Err("route is write, read or split\n".to_owned()),
                _ => return Err(WRONG.to_owned()),
            }
        }
        Ok(query)
    }
}

fn ready(view: &View, query: &Query) -> Answer {
    let readiness = readiness(view, query.cluster.as_deref(), query.route);
    if readiness.routes.is_empty() {
        return text(StatusCode::NOT_FOUND, "no listener leads there\n");
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &readiness)
}

/// One cluster by itself where there is one, or one was asked for; else all of them in a list.
fn leaders(view: &View, query: &Query) -> Answer {
    let mut reports = leader::reports(view, query.cluster.as_deref());
    match reports.len() {
        0 => text(StatusCode::NOT_FOUND, "there is no such cluster\n"),
        1 => json(StatusCode::OK, &reports.remove(0)),
        _ => json(StatusCode::OK, &serde_json::json!({ "clusters": reports })),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(body) => page(status, JSON, body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    page(status, TEXT, body)
}

fn page(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_strictly() {
        for (text, cluster, route) in [
            ("", None, None),
            ("route=read", None, Some(Purpose::Read)),
            ("route=split", None, Some(Purpose::Split)),
            ("cluster=a%20b&route=write", Some("a b"), Some(Purpose::Write)),
        ] {
            let expected = Query { cluster: cluster.map(str::to_owned), route };
            assert_eq!(Query::parse(text), Ok(expected), "{text}");
        }
        for text in ["route=splat", "route=", "routes=write", "x"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
