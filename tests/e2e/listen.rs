//! LISTEN and NOTIFY without a server of one's own, in front of one PostgreSQL and of a cluster.

use std::{future::poll_fn, pin::pin, time::Duration};

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Door, Options, Release, Result, Single, eventually, scenario};
use tokio::{net::TcpSocket, time::timeout};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::outcome::PATRONI;

/// Nobody may keep a server, or the next one would wait in vain.
const ONE_SERVER: &str = "[pool]\ndefault_pool_size = 1\nquery_wait_timeout = \"5s\"\n";

const SOON: Duration = Duration::from_secs(10);

async fn single() -> Result<Single> {
    Single::start(Release::System, Door::Open, "", ONE_SERVER).await
}

async fn connect(single: &Single) -> Result<Client> {
    Client::connect(&single.proxy.write_config()).await
}

/// Waits until the client has heard a notification with this payload; what it has heard up to then, as
/// `channel:payload`, in order.
async fn heard_until(client: &Client, payload: &str) -> Result<Vec<String>> {
    let mut heard = Vec::new();
    eventually(&format!("{payload} is heard"), SOON, async || {
        let news = client.take_notifications();
        heard.extend(news.iter().map(|one| format!("{}:{}", one.channel(), one.payload())));
        heard.iter().any(|one| one.ends_with(&format!(":{payload}"))).then_some(())
    })
    .await?;
    Ok(heard)
}

/// Waits until the shared connection listens on `news`.
async fn is_taken_over(client: &Client) -> Result {
    eventually("the shared connection listens", SOON, async || {
        let others = client.text(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgsteer notifications' \
             AND query LIKE '%\"news\"%' AND state = 'idle'",
        );
        others.await.is_ok_and(|others| others == "1").then_some(())
    })
    .await
}

/// Two listen, a third one notifies, and there is one server for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_share_one_connection() -> Result {
    let single = single().await?;
    let (first, second) = (connect(&single).await?, connect(&single).await?);
    let third = connect(&single).await?;
    first.batch_execute("LISTEN news; LISTEN \"Other \"\"ones\"").await?;
    second.batch_execute("BEGIN; LISTEN news; COMMIT").await?;
    let expected: Vec<String> = (0..50).map(|number| format!("news:{number}")).collect();
    for number in 0..50 {
        third.batch_execute(&format!("NOTIFY news, '{number}'")).await?;
    }
    ensure!(heard_until(&first, "49").await? == expected, "the first one heard something else");
    ensure!(heard_until(&second, "49").await? == expected, "the second one heard something else");

    // By quoted name, and its own too, once.
    first.batch_execute("NOTIFY \"Other \"\"ones\", 'own'; NOTIFY news, 'last'").await?;
    let heard = heard_until(&first, "last").await?;
    ensure!(heard == ["Other \"ones:own", "news:last"], "heard {heard:?}");
    ensure!(heard_until(&second, "last").await? == ["news:last"], "the second one heard something else");
    ensure!(third.take_notifications().is_empty(), "who does not listen hears");
    Ok(())
}

/// The process id in a notification is the one that its sender was given, whichever server sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_name_the_client() -> Result {
    let single = single().await?;
    let (listener, sender) = (connect(&single).await?, connect(&single).await?);
    listener.batch_execute("LISTEN news").await?;
    sender.batch_execute("NOTIFY news, 'sent'").await?;
    let server = sender.text("SELECT pg_backend_pid()").await?;
    let mut pids = Vec::new();
    eventually("it is heard", SOON, async || {
        pids.extend(listener.take_notifications().iter().map(|one| one.process_id().to_string()));
        (!pids.is_empty()).then_some(())
    })
    .await?;
    ensure!(pids.len() == 1 && pids[0] != server, "{pids:?} where the server is {server}");
    let log = single.proxy.log();
    ensure!(log.contains(&pids[0]), "no client was given {pids:?}");
    Ok(())
}

/// Only what is committed counts, both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_is_undone() -> Result {
    let single = single().await?;
    let (listener, sender) = (connect(&single).await?, connect(&single).await?);
    listener.batch_execute("LISTEN a; LISTEN b").await?;
    let steps = [
        ("BEGIN; UNLISTEN a; LISTEN c; ROLLBACK", &["a", "b"][..]),
        ("BEGIN; SAVEPOINT s; UNLISTEN *; ROLLBACK TO s; COMMIT", &["a", "b"]),
        ("BEGIN; UNLISTEN a; SAVEPOINT s; LISTEN c; COMMIT", &["b", "c"]),
        ("UNLISTEN *; SELECT 1/0", &["b", "c"]),
        ("UNLISTEN b", &["c"]),
        ("LISTEN a; SET application_name = 'x'; CREATE TEMP TABLE t (); DROP TABLE t", &["a", "c"]),
        ("DISCARD ALL", &[]),
        ("LISTEN b", &["b"]),
        ("UNLISTEN *", &[]),
        ("LISTEN a; LISTEN b; LISTEN c", &["a", "b", "c"]),
    ];
    for (number, (step, channels)) in steps.into_iter().enumerate() {
        // One by one, as a client that uses them would.
        for statement in step.split("; ") {
            let whole = if step.ends_with("1/0") { step } else { statement };
            let _ = listener.batch_execute(whole).await;
        }
        let listed = listener
            .text("SELECT coalesce(string_agg(c, ',' ORDER BY c), '') FROM pg_listening_channels() c");
        let listed = listed.await?;
        ensure!(listed == channels.join(","), "after {step}: {listed}");
        for channel in ["a", "b", "c"] {
            sender.batch_execute(&format!("NOTIFY {channel}, '{number}'")).await?;
        }
        let Some(last) = channels.last() else { continue };
        let expected: Vec<String> = channels.iter().map(|channel| format!("{channel}:{number}")).collect();
        let mut heard = Vec::new();
        eventually(&format!("{last} is heard after {step}"), SOON, async || {
            let news = listener.take_notifications();
            heard.extend(news.iter().map(|one| format!("{}:{}", one.channel(), one.payload())));
            heard.contains(&format!("{last}:{number}")).then_some(())
        })
        .await?;
        ensure!(heard == expected, "after {step}: {heard:?}");
    }
    Ok(())
}

/// While others notify without a pause, a client begins to listen, does other things, and misses nothing from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_the_way() -> Result {
    let single = Single::start(Release::System, Door::Open, "", "[pool]\ndefault_pool_size = 4\n").await?;
    let sender = connect(&single).await?;
    let sending = tokio::spawn(async move {
        for number in 0..2000 {
            sender.batch_execute(&format!("NOTIFY tick, '{number}'")).await?;
        }
        Result::Ok(sender)
    });
    let listener = connect(&single).await?;
    listener.batch_execute("LISTEN tick").await?;
    let mut heard = Vec::new();
    for round in 0.. {
        if sending.is_finished() {
            break;
        }
        let other = ["SELECT 1", "BEGIN; SELECT 1; COMMIT", "LISTEN other", "UNLISTEN other", "NOTIFY other"];
        listener.batch_execute(other[round % other.len()]).await?;
        heard.extend(listener.take_notifications());
    }
    sending.await??;
    eventually("the last one is heard", SOON, async || {
        heard.extend(listener.take_notifications());
        heard.iter().any(|one| one.payload() == "1999").then_some(())
    })
    .await?;
    let ticks: Vec<u32> = heard
        .iter()
        .filter(|one| one.channel() == "tick")
        .filter_map(|one| one.payload().parse().ok())
        .collect();
    let first = ticks[0];
    ensure!(ticks.iter().copied().eq(first..2000), "heard {ticks:?}");
    Ok(())
}

/// What is sent while a listener is in a transaction waits until that is over, as far as there is room for it; beyond that the
/// client is told that it has missed something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_a_transaction_waits() -> Result {
    let more = "[pool]\ndefault_pool_size = 4\nnotify_buffer_max = \"1MB\"\n";
    let single = Single::start(Release::System, Door::Open, "", more).await?;
    let (listener, sender) = (connect(&single).await?, connect(&single).await?);
    let other = connect(&single).await?;
    other.batch_execute("LISTEN news").await?;
    listener.batch_execute("LISTEN news").await?;
    for (sent, is_all) in [(100, true), (200, false)] {
        listener.batch_execute("BEGIN").await?;
        for number in 1..=sent {
            let payload = format!("SELECT pg_notify('news', {number} || repeat('.', 7000))");
            sender.batch_execute(&payload).await?;
        }
        // All of it has come here.
        let mut come = 0;
        eventually("everybody else has heard it", SOON, async || {
            come += other.take_notifications().len();
            (come == sent).then_some(())
        })
        .await?;
        listener.batch_execute("COMMIT").await?;
        if !is_all {
            // Until it has been told, nothing more is taken in for it.
            eventually("the gap is told", SOON, async || {
                listener
                    .take_notices()
                    .iter()
                    .any(|notice| notice.contains("may have been missed"))
                    .then_some(())
            })
            .await?;
        }
        sender.batch_execute("NOTIFY news, 'last'").await?;
        let heard = heard_until(&listener, "last").await?.len() - 1;
        ensure!(if is_all { heard == sent } else { (140..sent).contains(&heard) }, "heard {heard} of {sent}");
        let missed = listener.take_notices();
        ensure!(missed.is_empty(), "{missed:?}");
        heard_until(&other, "last").await?;
    }
    Ok(())
}

/// What is sent to a listener that does not read waits within the same bound, whatever the kernel has taken of it besides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_misses_what_there_is_no_room_for() -> Result {
    const SENT: usize = 2000;
    let more = "[pool]\ndefault_pool_size = 4\nnotify_buffer_max = \"1MB\"\n";
    let single = Single::start(Release::System, Door::Open, "", more).await?;
    let sender = connect(&single).await?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(64 * 1024)?;
    let stream = socket.connect(single.proxy.write).await?;
    let (client, mut connection) = single.proxy.write_config().connect_raw(stream, NoTls).await?;
    {
        let mut listening = pin!(client.batch_execute("LISTEN news"));
        loop {
            tokio::select! {
                done = &mut listening => break done?,
                message = poll_fn(|cx| connection.poll_message(cx)) => ensure!(matches!(message, Some(Ok(_)))),
            }
        }
    }
    // From here on it does not read.
    is_taken_over(&sender).await?;
    // Little by little: whoever reads hears all of it.
    let some = "SELECT pg_notify('news', n || repeat('.', 7000)) FROM generate_series(1, 20) n";
    for _ in 0..SENT / 20 {
        sender.batch_execute(some).await?;
    }
    eventually("most of it has come", SOON, async || {
        let come = single.proxy.metric("pgsteer_notifications_total", "").await.ok()?;
        (come >= 1500.0).then_some(())
    })
    .await?;
    let mut heard = 0;
    loop {
        let message = timeout(SOON, poll_fn(|cx| connection.poll_message(cx))).await;
        match message.context("it is told of no gap")?.context("it is closed")?? {
            AsyncMessage::Notification(_) => heard += 1,
            AsyncMessage::Notice(notice) if notice.message().contains("may have been missed") => break,
            _ => {}
        }
    }
    // What was its own is there: in its box, and in the outbox and the kernel's buffers before it.
    ensure!((150..1400).contains(&heard), "heard {heard} of {SENT}");
    Ok(())
}

/// When the shared connection breaks, those who listen are told that something may be missing, and hear again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_told() -> Result {
    let single = single().await?;
    let (listener, sender) = (connect(&single).await?, connect(&single).await?);
    listener.batch_execute("LISTEN news").await?;
    // The only server is free again: the shared connection has taken over.
    sender.batch_execute("NOTIFY news, 'before'").await?;
    heard_until(&listener, "before").await?;
    let superuser = single.server.superuser().await?;
    superuser
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'pgsteer notifications'",
        )
        .await?;
    eventually("the gap is told", SOON, async || {
        listener
            .take_notices()
            .iter()
            .any(|notice| notice.contains("notifications may have been missed"))
            .then_some(())
    })
    .await?;
    sender.batch_execute("NOTIFY news, 'again'").await?;
    ensure!(heard_until(&listener, "again").await? == ["news:again"], "heard something else");

    // Nobody listens: nothing listens for anybody.
    drop(listener);
    eventually("the shared connection is closed", SOON, async || {
        let left = superuser
            .text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgsteer notifications'");
        left.await.is_ok_and(|left| left == "0").then_some(())
    })
    .await
}

/// Those who listen stay when the leader changes: they are told of the gap, and hear what is sent on the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_survive_a_switchover() -> Result {
    scenario(Options::default(), async |stage| {
        let config = stage.proxy.write_config();
        let (listener, sender) = (Client::connect(&config).await?, Client::connect(&config).await?);
        listener.batch_execute("LISTEN news").await?;
        // Until its channel has passed to the shared connection the client has a server, and goes down with it.
        is_taken_over(&sender).await?;
        sender.batch_execute("NOTIFY news, 'before'").await?;
        ensure!(heard_until(&listener, "before").await? == ["news:before"], "heard something else");
        stage.cluster.switchover().await?;
        eventually("the gap is told", PATRONI, async || {
            let notices = listener.take_notices();
            notices.iter().any(|notice| notice.contains("notifications may have been missed")).then_some(())
        })
        .await?;
        sender.batch_execute("NOTIFY news, 'after'").await?;
        ensure!(heard_until(&listener, "after").await? == ["news:after"], "heard something else");
        Ok(())
    })
    .await
}
