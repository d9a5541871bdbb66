//! The watches: streams of events, one JSON object a line. (Kubernetes' "API Concepts": efficient detection of changes.)

use std::{convert::Infallible, time::Duration};

use hyper::StatusCode;
use serde::Deserialize;

use super::{Plan, Token, authorized, listed, objects::Object};
use crate::{
    cluster::store::follow::{READ_TIMEOUT, Waker, within},
    net::http::{Answer, HttpClient, HttpEndpoint},
};

/// After how long the API server is asked to end a watch. It is begun again, with the token of then.
const WATCH: Duration = Duration::from_secs(240);
/// Silence after which a watch counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Most bytes of one event.
const EVENT_MAX: usize = 2 * 1024 * 1024;

/// Watches objects and pods.
pub(super) async fn both(place: HttpEndpoint, plan: Plan, wake: Waker) -> Result<Infallible, String> {
    tokio::select! {
        ended = one(&place, &plan, &plan.objects, &wake) => ended,
        ended = one(&place, &plan, &plan.pods, &wake) => ended,
    }
}

/// Why a stream of events ended.
enum End {
    /// The server ended it in its time: go on from this version.
    At(String),
    /// It does not remember so far back (410 Gone), or takes the token no more: list again.
    Gone,
}

async fn one(place: &HttpEndpoint, plan: &Plan, list: &str, wake: &Waker) -> Result<Infallible, String> {
    loop {
        let answer = ask(place, plan, list).await?;
        let mut version = listed(&answer)?.metadata.resource_version;
        wake.wake();
        loop {
            let mut client = HttpClient::new(authorized(place, &plan.token).await?);
            match stream(&mut client, list, version, wake).await? {
                End::At(reached) => version = reached,
                End::Gone => break,
            }
        }
    }
}

/// Lists; once more, where the token that was shown has been renewed in its file just then.
async fn ask(place: &HttpEndpoint, plan: &Plan, list: &str) -> Result<Answer, String> {
    let once = async || {
        let mut client = HttpClient::new(authorized(place, &plan.token).await?);
        within(READ_TIMEOUT, client.get(list)).await
    };
    let answer = once().await?;
    let renewable = matches!(plan.token, Token::File(_));
    if answer.status == StatusCode::UNAUTHORIZED && renewable { once().await } else { Ok(answer) }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

/// The object of an event of type ERROR.
#[derive(Deserialize)]
struct Failure {
    object: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

async fn stream(client: &mut HttpClient, list: &str, version: String, wake: &Waker) -> Result<End, String> {
    let path = format!(
        "{list}&watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={version}",
        WATCH.as_secs()
    );
    let mut events = within(READ_TIMEOUT, client.stream(&path)).await?;
    match events.status {
        StatusCode::OK => {}
        StatusCode::GONE | StatusCode::UNAUTHORIZED => return Ok(End::Gone),
        other => return Err(format!("its watch: {other}")),
    }
    let mut version = version;
    let mut line = Vec::new();
    loop {
        let Some(bytes) = within(SILENCE_MAX, events.next()).await? else { return Ok(End::At(version)) };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.len() + part.len() > EVENT_MAX {
                return Err(format!("an event is longer than {EVENT_MAX} bytes"));
            }
            line.extend_from_slice(part);
            if line.ends_with(b"\n") {
                match read(&line)? {
                    Heard::Gone => return Ok(End::Gone),
                    Heard::Change(reached) => {
                        version = reached;
                        wake.wake();
                    }
                    Heard::Bookmark(reached) => version = reached,
                }
                line.clear();
            }
        }
    }
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Something changed, at this version.
    Change(String),
    /// Nothing did up to this version.
    Bookmark(String),
    Gone,
}

fn read(line: &[u8]) -> Result<Heard, String> {
    let event: Event =
        serde_json::from_slice(line).map_err(|error| format!("an event of its watch: {error}"))?;
    let version = event.object.metadata.resource_version;
    match event.kind.as_str() {
        "BOOKMARK" => Ok(Heard::Bookmark(version)),
        "ERROR" => {
            let Failure { object } =
                serde_json::from_slice(line).map_err(|error| format!("an error of its watch: {error}"))?;
            match object.code {
                410 => Ok(Heard::Gone),
                code => Err(format!("its watch: {code} {}", object.message)),
            }
        }
        _ => Ok(Heard::Change(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_every_kind() {
        let object =
            r#"{"kind":"Endpoints","metadata":{"name":"demo","resourceVersion":"12","annotations":null}}"#;
        for (kind, expected) in [
            ("ADDED", Heard::Change("12".to_owned())),
            ("MODIFIED", Heard::Change("12".to_owned())),
            ("DELETED", Heard::Change("12".to_owned())),
            ("BOOKMARK", Heard::Bookmark("12".to_owned())),
        ] {
            let line = format!(r#"{{"type":"{kind}","object":{object}}}"#);
            assert_eq!(read(line.as_bytes()), Ok(expected));
        }
        let gone =
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}"#;
        assert_eq!(read(gone.as_bytes()), Ok(Heard::Gone));
        let other = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"message":"broken"}}"#;
        assert_eq!(read(other.as_bytes()), Err("its watch: 500 broken".to_owned()));
        assert!(read(b"{}").is_err());
    }
}
