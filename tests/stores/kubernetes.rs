//! Kubernetes by a stand-in that speaks its API as far as a watcher needs it: lists and watches with resource versions
//! and label selectors, bookmarks, 410 Gone for what was forgotten, bearer tokens that are renewed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pgsteer::{
    clock::Clock,
    cluster::store::{
        StoreEvent, StoreSnapshot,
        kubernetes::{KubernetesObjects, KubernetesStore, ObjectKind},
        policy::{Reach, Token},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{Watched, leader_is, nobody_leads, reach, stand_in::head};

const LABELS: &str = "cluster-name=demo,application=patroni";

#[derive(Default)]
struct Etcd {
    version: u64,
    /// Kind and name.
    objects: BTreeMap<(String, String), Value>,
    /// Version, kind, and the event's line.
    events: Vec<(u64, String, String)>,
    /// Versions up to here are forgotten.
    compacted: u64,
    /// Those that are good now.
    tokens: Vec<&'static str>,
    /// Lists and watches that were answered, by what they asked for.
    asked: Vec<String>,
}

#[derive(Clone)]
struct Shared {
    etcd: Arc<Mutex<Etcd>>,
    changed: Arc<watch::Sender<u64>>,
    /// Connections that are open are cut when this changes.
    cut: Arc<watch::Sender<u64>>,
}

pub(super) struct ApiServer {
    shared: Shared,
    pub(super) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl ApiServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let etcd = Etcd { version: 100, tokens: vec!["first"], ..Etcd::default() };
        let shared = Shared {
            etcd: Arc::new(Mutex::new(etcd)),
            changed: Arc::new(watch::Sender::new(0)),
            cut: Arc::new(watch::Sender::new(0)),
        };
        let own = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = own.clone();
                tokio::spawn(async move {
                    let mut cut = shared.cut.subscribe();
                    tokio::select! {
                        _ = cut.changed() => {}
                        () = serve(stream, shared) => {}
                    }
                });
            }
        });
        Self { shared, address, serving }
    }

    fn etcd(&self) -> MutexGuard<'_, Etcd> {
        self.shared.etcd.lock().unwrap()
    }

    /// Writes an object, or takes it away.
    fn write(&self, kind: &str, name: &str, annotations: Option<Value>) {
        let mut etcd = self.etcd();
        etcd.version += 1;
        let version = etcd.version;
        let key = (kind.to_owned(), name.to_owned());
        let known = etcd.objects.contains_key(&key);
        let metadata = json!({
            "name": name, "resourceVersion": version.to_string(),
            "labels": {"cluster-name": "demo", "application": "patroni"},
            "annotations": annotations,
        });
        let object = json!({ "metadata": metadata });
        let event = match (&annotations, known) {
            (None, _) => {
                etcd.objects.remove(&key);
                "DELETED"
            }
            (Some(_), true) => "MODIFIED",
            (Some(_), false) => "ADDED",
        };
        if annotations.is_some() {
            etcd.objects.insert(key, object.clone());
        }
        let line = json!({"type": event, "object": object}).to_string();
        etcd.events.push((version, kind.to_owned(), line));
        drop(etcd);
        self.shared.changed.send_modify(|count| *count += 1);
    }

    fn lead(&self, leader: &str, renewed: &str) {
        let annotations = json!({"leader": leader, "acquireTime": format!("{leader}'s"), "renewTime": renewed,
            "ttl": "20", "transitions": "0", "optime": "5"});
        self.write("endpoints", "demo", Some(annotations));
    }

    pub(super) fn populate(&self, leader: &str) {
        self.write("endpoints", "demo-config", Some(json!({"config": r#"{"ttl":20}"#, "initialize": "7"})));
        let status = r#"{"conn_url":"postgres://10.0.0.1:5432/postgres","state":"running","role":"replica"}"#;
        self.write("pods", leader, Some(json!({ "status": status })));
        self.lead(leader, "1");
    }

    /// Forgets all events so far, and ends the watches.
    fn compact(&self) {
        let mut etcd = self.etcd();
        etcd.events.clear();
        etcd.compacted = etcd.version;
        drop(etcd);
        self.shared.changed.send_modify(|count| *count += 1);
    }

    fn watch(&self, reread: Duration, token: Token) -> Watched {
        let mut reach = reach(&[format!("http://{}", self.address)], reread);
        reach.policy.token = token;
        Watched::start(|clock| read(&reach, clock))
    }
}

fn read(reach: &Reach, clock: Clock) -> Result<KubernetesStore, String> {
    let which = KubernetesObjects {
        namespace: "prod".to_owned(),
        kind: ObjectKind::Endpoints,
        labels: "application=patroni".to_owned(),
        scope_label: "cluster-name".to_owned(),
    };
    KubernetesStore::new(reach, &which, clock)
}

/// The same with the token that is good at first.
pub(super) fn open(reach: &Reach, clock: Clock) -> Result<KubernetesStore, String> {
    let mut reach = reach.clone();
    reach.policy.token = first_token();
    read(&reach, clock)
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request after the other.
async fn serve(mut stream: TcpStream, shared: Shared) {
    while let Some(head) = head(&mut stream).await {
        let target = head.split(' ').nth(1).unwrap();
        let url = url::Url::parse(&format!("http://api{target}")).unwrap();
        let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let kind = url.path().strip_prefix("/api/v1/namespaces/prod/").unwrap().to_owned();
        assert_eq!(asked["labelSelector"], LABELS);
        let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        if !bearer.is_some_and(|bearer| shared.etcd.lock().unwrap().tokens.contains(&bearer)) {
            answer(&mut stream, "401 Unauthorized", &json!({"kind": "Status", "code": 401})).await;
            continue;
        }
        let what = if asked.contains_key("watch") { "watch" } else { "list" };
        shared.etcd.lock().unwrap().asked.push(format!("{what} {kind}"));
        if what == "watch" {
            assert_eq!(asked["allowWatchBookmarks"], "true");
            let since = asked["resourceVersion"].parse().unwrap();
            if stream_events(&mut stream, &shared, &kind, since).await.is_none() {
                return;
            }
        } else {
            let list = {
                let etcd = shared.etcd.lock().unwrap();
                let of_kind =
                    |((k, _), object): (&(String, String), &Value)| (*k == kind).then(|| object.clone());
                let items: Vec<Value> = etcd.objects.iter().filter_map(of_kind).collect();
                json!({"metadata": {"resourceVersion": etcd.version.to_string()}, "items": items})
            };
            answer(&mut stream, "200 OK", &list).await;
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// Events as they come, in chunks that end anywhere; a bookmark when there was nothing for a while.
async fn stream_events(stream: &mut TcpStream, shared: &Shared, kind: &str, since: u64) -> Option<()> {
    let mut changed = shared.changed.subscribe();
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
    let mut reached = since;
    loop {
        changed.borrow_and_update();
        let (lines, gone) = {
            let etcd = shared.etcd.lock().unwrap();
            let newer = |(version, k, line): &(u64, String, String)| {
                (*version > reached && k == kind).then(|| (*version, line.clone()))
            };
            (etcd.events.iter().filter_map(newer).collect::<Vec<_>>(), reached < etcd.compacted)
        };
        if gone {
            let status = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
            chunk(stream, &json!({"type": "ERROR", "object": status}).to_string()).await?;
            stream.write_all(b"0\r\n\r\n").await.ok()?;
            return Some(());
        }
        for (version, line) in lines {
            chunk(stream, &line).await?;
            reached = version;
        }
        let waited = tokio::time::timeout(Duration::from_millis(300), changed.changed()).await;
        if waited.is_err() {
            reached = reached.max(shared.etcd.lock().unwrap().version);
            let object = json!({"kind": "Endpoints", "metadata": {"resourceVersion": reached.to_string()}});
            chunk(stream, &json!({"type": "BOOKMARK", "object": object}).to_string()).await?;
        }
    }
}

async fn chunk(stream: &mut TcpStream, line: &str) -> Option<()> {
    let (one, two) = line.split_at(line.len() / 2);
    for part in [one, &format!("{two}\n")] {
        let text = format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all(text.as_bytes()).await.ok()?;
    }
    Some(())
}

fn first_token() -> Token {
    Token::Text("first".to_owned())
}

#[tokio::test]
async fn the_watch_is_fast_and_renewals_give_the_right() {
    let server = ApiServer::start().await;
    server.populate("demo-0");
    let mut store = server.watch(Duration::from_secs(20), first_token());
    let first = store.read("first reading", leader_is("demo-0")).await;
    assert_eq!((first.system_id, first.members.len()), (Some(7), 1));
    let key = first.leader.unwrap();
    // When it was renewed last nobody knows yet.
    assert_eq!(key.right_until, Some(first.asked_at + Duration::from_secs(22)));
    server.lead("demo-0", "2");
    let written = store.clock.now();
    // From a renewal that was seen the right is shorter than from a key that is merely there.
    let by_renewal = |s: &StoreSnapshot| {
        let right = s.leader.as_ref().and_then(|key| key.right_until);
        leader_is("demo-0")(s) && right.is_some_and(|right| right <= s.asked_at + Duration::from_secs(20))
    };
    let read = store.read("renewal", by_renewal).await;
    let renewed = read.leader.unwrap();
    assert_eq!(renewed.elected_at, key.elected_at);
    let right = renewed.right_until.unwrap();
    assert!(right <= written + Duration::from_secs(20), "no later than the last reading without it");
    assert!(right >= first.asked_at + Duration::from_secs(20));

    let mut worst = Duration::ZERO;
    for name in ["demo-1", "demo-2", "demo-3"] {
        server.write("endpoints", "demo", Some(json!({"optime": "5"})));
        store.read("nobody", nobody_leads).await;
        let written = store.clock.now();
        server.lead(name, "1");
        let read = store.read("the new leader", leader_is(name)).await;
        worst = worst.max(store.clock.now().since(written));
        let right = read.leader.unwrap().right_until.unwrap();
        assert!(right > written + Duration::from_secs(15), "known at once");
    }
    println!("written to known: at worst {worst:?}");
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    server.write("pods", "demo-0", None);
    store.read("no members", |snapshot| snapshot.members.is_empty()).await;
}

#[tokio::test]
async fn what_was_forgotten_is_listed_anew() {
    let server = ApiServer::start().await;
    server.populate("demo-0");
    let mut store = server.watch(Duration::from_secs(20), first_token());
    store.read("first reading", leader_is("demo-0")).await;
    for round in 0..3 {
        let lists = || server.etcd().asked.iter().filter(|asked| **asked == "list endpoints").count();
        let before = lists();
        // What the watches have seen is older than what is remembered: 410.
        server.write("secrets", &format!("other-{round}"), Some(json!({})));
        server.compact();
        let name = format!("demo-{round}");
        server.lead(&name, "1");
        let seen = |event: &StoreEvent| match event {
            StoreEvent::Lost { reason } => panic!("the store is not lost: {reason}"),
            StoreEvent::Read(snapshot) => leader_is(&name)(snapshot).then_some(()),
            _ => None,
        };
        store.next(&name, seen).await;
        assert!(lists() > before);
    }
}

/// Whoever reads a file that is replaced so finds the old text or the new one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

#[tokio::test]
async fn a_token_is_renewed_by_its_file() {
    let server = ApiServer::start().await;
    server.populate("demo-0");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let mut store = server.watch(Duration::from_millis(100), Token::File(file.clone()));
    store.read("first reading", leader_is("demo-0")).await;
    // As the kubelet does it: the new one is good when it is in the file, and some time later the old one is refused.
    server.etcd().tokens = vec!["first", "second"];
    replace(&file, "second\n");
    server.etcd().tokens = vec!["second"];
    server.lead("demo-1", "1");
    let event = store.next("the new leader, or a loss", |event| match event {
        StoreEvent::Read(snapshot) => leader_is("demo-1")(snapshot).then_some(Ok(())),
        StoreEvent::Lost { reason } => Some(Err(reason.clone())),
        StoreEvent::Nothing { .. } => None,
    });
    event.await.expect("the token in the file is good");
    replace(&file, "third\n");
    server.etcd().tokens = vec!["fourth"];
    let reason = store.lost().await;
    assert!(reason.contains("401") && !reason.contains("third"), "{reason}");
}

#[tokio::test]
async fn broken_connections_and_a_record_that_nobody_renews() {
    let server = ApiServer::start().await;
    server.populate("demo-0");
    let mut store = server.watch(Duration::from_millis(100), first_token());
    store.read("first reading", leader_is("demo-0")).await;
    server.shared.cut.send_modify(|count| *count += 1);
    // A reading opens another connection; a broken watch is told of, and begun anew.
    let began = store.clock.now();
    store.read("reading after the cut", |s| s.asked_at > began && leader_is("demo-0")(s)).await;
    server.write(
        "endpoints",
        "demo",
        Some(json!({"leader": "demo-0", "acquireTime": "x", "renewTime": "9", "ttl": "2"})),
    );
    let read = store.read("a short life", |s| leader_is("demo-0")(s) && s.asked_at > began).await;
    let known = read.asked_at;
    let gone = store.read("its end", nobody_leads).await;
    assert!(gone.asked_at.since(known) < Duration::from_secs(6));
}

#[tokio::test]
async fn nothing_of_this_cluster() {
    let server = ApiServer::start().await;
    let mut store = server.watch(Duration::from_millis(100), first_token());
    let found = store
        .next("nothing", |event| match event {
            StoreEvent::Nothing { found } => Some(found.clone()),
            _ => None,
        })
        .await;
    assert!(found.contains("Endpoints") && found.contains("kubernetes_use_endpoints = false"), "{found}");
    server.populate("demo-0");
    store.read("the cluster, once it is there", leader_is("demo-0")).await;
}
