//! What is counted of sessions: what they keep, what follows them, what they hear.

use super::{
    Postgres,
    proxy::{PASSWORD, Proxy, SOON},
};
use pgsteer_testkit::eventually;

const HIDES: &str = "create function hides() returns void language plpgsql as \
    $$begin perform set_config('work_mem', '8MB', false); end$$";

#[tokio::test]
async fn what_sessions_hold_is_counted() {
    let server = Postgres::start("host all all 127.0.0.1/32 trust\n");
    super::prepare(&server, HIDES).await;
    let proxy = Proxy::start(&server);
    proxy.readiness_becomes(200).await;
    let one = proxy.connect("postgres", PASSWORD).await.unwrap();
    let other = proxy.connect("postgres", PASSWORD).await.unwrap();

    one.batch_execute("create temporary table t (i int)").await.unwrap();
    grows(&proxy, "pgsteer_session_pins_total", &[("kind", "temp")]).await;
    grows(&proxy, "pgsteer_session_inspections_total", &[]).await;
    grows(&proxy, "pgsteer_pool_pinned_servers", &[("database", "postgres"), ("dbname", "postgres")]).await;
    grows(&proxy, "pgsteer_clients", &[("activity", "pinned")]).await;
    one.batch_execute("discard all").await.unwrap();

    one.batch_execute("set statement_timeout = '1h'").await.unwrap();
    // Where the first has not given its server back yet, the other has one of its own.
    let restored = eventually("a server is made another client's", SOON, async || {
        for client in [&other, &one] {
            client.batch_execute("select 1").await.unwrap();
        }
        (proxy.metrics().await.sum("pgsteer_session_restores_total", &[]) >= 1.0).then_some(())
    });
    restored.await.unwrap_or_else(|error| panic!("{error}\n{}", proxy.log()));
    other.batch_execute("select hides()").await.unwrap();
    grows(&proxy, "pgsteer_session_hidden_state_total", &[("kind", "settings")]).await;

    let statement = one.prepare("select $1::int").await.unwrap();
    one.query(&statement, &[&1]).await.unwrap();
    for name in ["pgsteer_statement_uses_total", "pgsteer_statement_parses_total"] {
        grows(&proxy, name, &[]).await;
    }

    one.batch_execute("listen news").await.unwrap();
    grows(&proxy, "pgsteer_listening_connections", &[]).await;
    // The first may still come from the server on which the client has said that it listens.
    let heard = eventually("notifications on the connection for all", SOON, async || {
        other.batch_execute("notify news").await.unwrap();
        (proxy.metrics().await.sum("pgsteer_notifications_total", &[]) >= 1.0).then_some(())
    });
    heard.await.unwrap_or_else(|error| panic!("{error}\n{}", proxy.log()));
}

async fn grows(proxy: &Proxy, name: &str, labels: &[(&str, &str)]) {
    let grown =
        eventually(name, SOON, async || (proxy.metrics().await.sum(name, labels) >= 1.0).then_some(()));
    grown.await.unwrap_or_else(|error| panic!("{error} {labels:?}\n{}", proxy.log()));
}
