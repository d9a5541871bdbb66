//! What a running pgsteer shows of itself over HTTP, in front of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod orders;
mod proxy;
mod sessions;
mod slow;

use common::postgres::Postgres;
use pgsteer::metrics::table::TABLE;
use pgsteer_testkit::eventually;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use self::proxy::{MARKER, PASSWORD, Proxy, SOON, STRANGE, config, pgsteer};

async fn prepare(server: &Postgres, more: &str) {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname("postgres");
    let (admin, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute("create role trader login").await.unwrap();
    admin.batch_execute(more).await.unwrap();
    admin.batch_execute(&format!("create database \"{}\"", STRANGE.replace('"', "\"\""))).await.unwrap();
}

#[tokio::test]
async fn http_shows_what_happens() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    prepare(&server, "").await;
    let proxy = Proxy::start(&server);
    proxy.readiness_becomes(200).await;
    requests_are_answered_strictly(&proxy).await;
    slow::silent_clients_keep_no_probe_waiting(&proxy).await;
    clients_are_counted(&proxy).await;
    the_topology_is_shown(&proxy, &server).await;
    orders::orders_are_obeyed(&proxy).await;
    reloads_are_counted(&proxy).await;
    an_outage_is_shown(&proxy, &server).await;
    nothing_secret_is_told(&proxy).await;
    an_address_in_use_is_refused(&proxy, &server);
    a_proxy_that_stops_is_not_ready(&proxy).await;
}

async fn requests_are_answered_strictly(proxy: &Proxy) {
    assert_eq!(proxy.get("/health").await, (200, "alive\n".to_owned()));
    for (target, status) in [
        ("/", 404),
        ("/metrics/", 404),
        ("/ready?route=write", 200),
        ("/ready?route=read&cluster=trading", 200),
        ("/ready?route=split", 404),
        ("/ready?route=splat", 400),
        ("/ready?cluster=other", 404),
        ("/leader?cluster=other", 404),
        ("/leader?member=x", 400),
    ] {
        assert_eq!(proxy.get(target).await.0, status, "{target}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let head = format!("{method} /leader HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let (status, head, _) = proxy.request(&head).await;
        assert!(status == 405 && head.contains("\r\nallow: get, head"), "{method}: {head}");
    }
    let (status, head, body) = proxy.request("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let (status, ..) = proxy.request("GET\r\n\r\n").await;
    assert_eq!(status, 400);
    let long = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(proxy.request(&long).await.0, 431);
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert_eq!(proxy.request(&many).await.0, 431);
}

async fn clients_are_counted(proxy: &Proxy) {
    let before = proxy.metrics().await;
    let strange = proxy.connect(STRANGE, PASSWORD).await.unwrap();
    strange.query("select 1", &[]).await.unwrap();
    strange.batch_execute(&format!("begin; select 1 /* {MARKER} */")).await.unwrap();
    let refused = proxy.connect("postgres", "wrong").await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    let missing = proxy.connect("nowhere", PASSWORD).await.err().unwrap();
    assert_eq!(missing.code().unwrap().code(), "3D000");

    let page = proxy.metrics().await;
    let names: Vec<_> = page.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let mut table: Vec<_> = TABLE.iter().map(|metric| (metric.name, metric.kind.word())).collect();
    table.sort_unstable();
    assert_eq!(names, table, "what is printed is what is declared");

    let grown = |name: &str, labels: &[(&str, &str)]| page.sum(name, labels) - before.sum(name, labels);
    for (name, labels, least) in [
        ("pgsteer_queries_total", &[][..], 3.0),
        ("pgsteer_transactions_total", &[], 2.0),
        ("pgsteer_leases_total", &[], 2.0),
        ("pgsteer_logins_total", &[], 1.0),
        ("pgsteer_received_from_clients_bytes_total", &[], 50.0),
        ("pgsteer_received_from_servers_bytes_total", &[], 50.0),
        ("pgsteer_login_failures_total", &[("stage", "authentication"), ("sqlstate", "28P01")], 1.0),
        ("pgsteer_login_failures_total", &[("stage", "admission"), ("sqlstate", "3D000")], 1.0),
        (
            "pgsteer_server_connection_failures_total",
            &[("cause", "refused"), ("sqlstate", "3D000"), ("cluster", "trading")],
            1.0,
        ),
        ("pgsteer_server_connections_opened_total", &[("cluster", "trading")], 1.0),
        ("pgsteer_clients", &[("activity", "idle_in_transaction")], 1.0),
        ("pgsteer_client_connections", &[], 1.0),
        ("pgsteer_server_connections", &[("state", "leased")], 1.0),
        ("pgsteer_pool_servers", &[("database", STRANGE), ("state", "leased"), ("use", "all")], 1.0),
    ] {
        assert!(grown(name, labels) >= least, "{name} {labels:?}: {}", grown(name, labels));
    }
    for (name, stands_at) in [
        ("pgsteer_client_connections_max", 1000.0),
        ("pgsteer_workers", 2.0),
        ("pgsteer_pools_unlisted", 0.0),
    ] {
        assert!((page.sum(name, &[]) - stands_at).abs() < 1e-9, "{name}");
    }
    for name in ["pgsteer_cpu_seconds_total", "pgsteer_resident_memory_bytes", "pgsteer_open_fds"] {
        assert!(page.sum(name, &[]) > 0.0, "{name}");
    }
    a_leaving_is_counted_and_logged(proxy, strange).await;
}

async fn a_leaving_is_counted_and_logged(proxy: &Proxy, strange: Client) {
    let token = strange.cancel_token();
    token.cancel_query(NoTls).await.unwrap();
    drop(strange);
    eventually("the client has left, and its cancel request is counted", SOON, async || {
        let page = proxy.metrics().await;
        let cancelled = page.sum("pgsteer_cancel_requests_total", &[("source", "client")]);
        let aborted = page.sum("pgsteer_aborted_transactions_total", &[("cause", "client_gone")]);
        (cancelled >= 1.0 && aborted >= 1.0 && page.sum("pgsteer_client_connections", &[]) < 1.0)
            .then_some(())
    })
    .await
    .unwrap();
    let forger = proxy.connect("postgres\n2026 INFO forged", PASSWORD).await.err();
    assert!(forger.is_some());
    let log = proxy.log();
    assert!(log.contains("forged") && !log.lines().any(|line| line.starts_with("2026 INFO forged")), "{log}");
    let line = |start: &str| log.lines().find(|line| line.contains(start)).unwrap_or_default().to_owned();
    for start in ["client connected", "client disconnected"] {
        assert!(
            line(start).contains("user=\"trader\"") && line(start).contains("client=127.0.0.1:"),
            "{log}"
        );
    }
    let queries = |line: &str| line.split("queries=").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    assert!(queries(&line("client disconnected")).is_some_and(|queries| queries >= 3), "{log}");
}

async fn the_topology_is_shown(proxy: &Proxy, server: &Postgres) {
    let name = format!("127.0.0.1:{}", server.port());
    let (status, topology) = proxy.json("/leader").await;
    assert_eq!(status, 200);
    assert_eq!(proxy.json("/leader?cluster=trading").await.1["leader"], topology["leader"]);
    for (path, expected) in [
        ("/cluster", Value::from("trading")),
        ("/leader", name.as_str().into()),
        ("/term/member", name.as_str().into()),
        ("/term/epoch", 1.into()),
        ("/term/timeline", 1.into()),
        ("/write/served", true.into()),
        ("/write/state", "open".into()),
        ("/read/served", true.into()),
        ("/right_to_write/source", "probes".into()),
        ("/store/status", "absent".into()),
        ("/named/source", "hosts".into()),
        ("/members/0/name", name.as_str().into()),
        ("/members/0/address", name.as_str().into()),
        ("/members/0/standing", "leading".into()),
        ("/members/0/role/is", "primary".into()),
        ("/members/0/role/source", "probe".into()),
        ("/members/0/probe/outcome", "answered".into()),
        ("/members/0/reads/serves", false.into()),
        ("/members/0/reads/reason", "leader".into()),
        ("/deposed", Value::Array(Vec::new())),
    ] {
        assert_eq!(topology.pointer(path), Some(&expected), "{path}: {topology:#}");
    }
    for path in ["/right_to_write/remaining_seconds", "/members/0/role/age_seconds", "/update/age_seconds"] {
        let seconds = topology.pointer(path).and_then(Value::as_f64);
        assert!(seconds.is_some_and(|seconds| (0.0..10.0).contains(&seconds)), "{path}: {topology:#}");
    }
    let page = proxy.metrics().await;
    assert_eq!(page.values("pgsteer_leader", "member", &[("cluster", "trading")]), [name]);
    assert!(page.sum("pgsteer_right_to_write_seconds", &[]) > 0.0);
    assert_eq!(page.values("pgsteer_member_excluded", "reason", &[]), ["leader"]);
    assert_eq!(page.values("pgsteer_write_state", "state", &[]), ["open"]);
}

async fn reloads_are_counted(proxy: &Proxy) {
    let file = proxy.folder.path().join("pgsteer.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    for (text, outcome) in [(format!("{good}\n[nonsense]\n"), "failed"), (good.clone(), "ok")] {
        std::fs::write(&file, text).unwrap();
        proxy.signal(rustix::process::Signal::HUP);
        eventually("the reload is counted", SOON, async || {
            let page = proxy.metrics().await;
            (page.sum("pgsteer_config_reloads_total", &[("outcome", outcome)]) > 0.0).then_some(())
        })
        .await
        .unwrap();
    }
}

async fn an_outage_is_shown(proxy: &Proxy, server: &Postgres) {
    let client = proxy.connect("postgres", PASSWORD).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    server.stop();
    proxy.readiness_becomes(503).await;
    assert_eq!(proxy.get("/health").await.0, 200);
    let (status, write) = proxy.json("/ready?route=write").await;
    assert_eq!((status, &write["ready"]), (503, &Value::from(false)));
    let route = &write["routes"][0];
    assert_eq!((&route["cluster"], &route["route"]), (&"trading".into(), &"write".into()));
    assert!(route["why"].as_str().is_some_and(|why| !why.is_empty()), "{write}");
    eventually("the client is cut off", SOON, async || client.is_closed().then_some(())).await.unwrap();
    let page = proxy.metrics().await;
    for name in ["pgsteer_cutoffs_total", "pgsteer_aborted_transactions_total"] {
        assert!(page.sum(name, &[("cause", "server_gone")]) >= 1.0, "{name}");
    }
    assert!(page.sum("pgsteer_write_served", &[]) < 1.0 && page.sum("pgsteer_read_served", &[]) < 1.0);
    assert_eq!(page.values("pgsteer_member_probe", "outcome", &[]), ["refused"]);
    let (_, topology) = proxy.json("/leader").await;
    assert_eq!(topology["write"]["served"], Value::from(false), "{topology:#}");
    assert_ne!(topology["write"]["state"], Value::from("open"), "{topology:#}");

    server.start_again();
    proxy.readiness_becomes(200).await;
    let client = proxy.connect("postgres", PASSWORD).await.unwrap();
    client.query("select 1", &[]).await.unwrap();
}

async fn nothing_secret_is_told(proxy: &Proxy) {
    let pages = [proxy.get("/metrics").await.1, proxy.get("/leader").await.1, proxy.get("/ready").await.1];
    for text in pages.iter().chain([&proxy.log()]) {
        assert!(!text.contains(PASSWORD) && !text.contains(MARKER), "{text}");
    }
}

fn an_address_in_use_is_refused(proxy: &Proxy, server: &Postgres) {
    let folder = tempfile::tempdir().unwrap();
    let http = format!("\"127.0.0.1:{}\"", proxy.http);
    std::fs::write(folder.path().join("pgsteer.toml"), config(server, 0, &http)).unwrap();
    std::fs::write(folder.path().join("users.txt"), format!("\"trader\" \"{PASSWORD}\"\n")).unwrap();
    let ended = pgsteer(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success());
    let sentence =
        format!("cannot serve metrics and status on 127.0.0.1:{}: Address already in use", proxy.http);
    assert!(said.contains(&sentence) && !said.contains("listening"), "{said}");
}

async fn a_proxy_that_stops_is_not_ready(proxy: &Proxy) {
    let client = proxy.connect("postgres", PASSWORD).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    proxy.signal(rustix::process::Signal::TERM);
    proxy.readiness_becomes(503).await;
    let (_, ready) = proxy.json("/ready").await;
    assert_eq!(ready["why"], Value::from("pgsteer is shutting down"));
    client.batch_execute("commit").await.unwrap();
}
