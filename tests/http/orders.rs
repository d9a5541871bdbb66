//! Orders of an operator.

use pgsteer_testkit::eventually;

use crate::proxy::{PASSWORD, Proxy, SOON, TOKEN};

/// Gives an order; its status and answer.
async fn order(proxy: &Proxy, target: &str, token: &str) -> (u16, String) {
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (status, _, body) = proxy.request(&head).await;
    (status, body)
}

pub(super) async fn orders_are_obeyed(proxy: &Proxy) {
    let member = proxy.json("/leader").await.1["members"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(order(proxy, &format!("/mark?member={member}&as=down"), "wrong").await.0, 401);
    assert_eq!(proxy.get("/switchover").await.0, 401);
    for (target, status) in [
        ("/mark?member=other&as=down", 404),
        ("/mark?member=other", 400),
        ("/pin", 400),
        ("/pin?cluster=other", 404),
        ("/pin?members=x", 400),
        // There is no Patroni to ask.
        ("/switchover", 409),
    ] {
        assert_eq!(order(proxy, target, TOKEN).await.0, status, "{target}");
    }
    // Draining: what runs goes on, what comes waits.
    let running = proxy.connect("postgres", PASSWORD).await.unwrap();
    running.batch_execute("begin").await.unwrap();
    let (status, said) = order(proxy, &format!("/mark?member={member}&as=drain"), TOKEN).await;
    assert_eq!(status, 200, "{said}");
    proxy.readiness_becomes(503).await;
    let metrics = proxy.metrics().await;
    assert_eq!(metrics.sum("pgsteer_member_marked", &[("mark", "drain")]), 1.0);
    running.batch_execute("commit").await.unwrap();
    assert_eq!(order(proxy, &format!("/mark?member={member}&as=up"), TOKEN).await.0, 200);
    proxy.readiness_becomes(200).await;
    // Down: what runs is cut off.
    running.batch_execute("begin").await.unwrap();
    assert_eq!(order(proxy, &format!("/mark?member={member}&as=down"), TOKEN).await.0, 200);
    proxy.readiness_becomes(503).await;
    let cut = running.batch_execute("commit").await.unwrap_err();
    assert!(cut.is_closed() || cut.code().is_some_and(|code| code.code() == "57P01"), "{cut:?}");
    assert_eq!(order(proxy, &format!("/mark?member={member}&as=up"), TOKEN).await.0, 200);
    proxy.readiness_becomes(200).await;
    // Pinned: known as such, with its age.
    assert_eq!(order(proxy, &format!("/pin?member={member}"), TOKEN).await.0, 200);
    let pinned = eventually("the pin is in force", SOON, async || {
        let shown = proxy.json("/leader").await.1;
        (shown["pinned"]["member"] == *member && shown["right_to_write"]["source"] == "pin").then_some(())
    });
    pinned.await.unwrap();
    assert!(proxy.metrics().await.sum("pgsteer_pin_age_seconds", &[]) >= 0.0);
    assert_eq!(order(proxy, "/unpin", TOKEN).await.0, 200);
    proxy.readiness_becomes(200).await;
    let log = proxy.log();
    assert!(
        log.contains("an operator's order")
            && log.contains("as=drain")
            && log.contains("an order was refused")
    );
    assert!(!log.contains(TOKEN));
}
