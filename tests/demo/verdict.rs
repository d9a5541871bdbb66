//! The timeline, the count of what clients suffered, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use pgsteer_testkit::{Client, Cluster, Kind, Login, Moment, Result, Stage, Verdict};

use crate::screen::Screen;
use crate::story::Failover;

/// Prints all of it; whether it is good.
pub(crate) async fn print(screen: &Screen, stage: &Stage, failover: &Failover) -> Result<bool> {
    timeline(screen, failover);
    let (new, _) = &failover.new;
    let leader = stage.cluster.nodes.iter().find(|node| node.name == *new);
    let leader = leader.map(|node| node.config(Login::TRADER, Cluster::DATABASE));
    let leader = Client::connect(&leader.unwrap_or_default()).await?;
    let verdict = Verdict::of(&failover.report, &leader).await?;
    clients(screen, failover, &verdict);

    let good = verdict.is_good();
    let added = added(failover).map_or_else(String::new, |added| {
        format!("pgsteer added {} to what Patroni itself needed, and ", milliseconds(added))
    });
    screen.line("");
    if good {
        screen.line(&format!("PASS: service resumed, {added}no acknowledged write was lost."));
    } else {
        screen.line(&format!(
            "FAIL: {} acknowledged writes lost, {} done twice, {} done though said to have failed.",
            verdict.lost,
            verdict.duplicated,
            verdict.denied_but_there.len()
        ));
    }
    Ok(good)
}

fn timeline(screen: &Screen, failover: &Failover) {
    let Failover { old, killed, store, cut_off, new, report } = failover;
    let mut events: Vec<(Moment, String)> = vec![(*killed, format!("{old} is killed"))];
    for (at, leader) in store {
        let text = match leader {
            Some(leader) => format!("the store names {leader}"),
            None => format!("the store drops its leader key: {old}'s lease has run out"),
        };
        events.push((*at, text));
    }
    // What we know as the moment of the kill is a few milliseconds old when we hear of it.
    let about = |at: Moment| at + Duration::from_millis(100) >= *killed;
    if let Some(failure) = report.failures.iter().find(|failure| about(failure.at)) {
        events.push((failure.at, format!("the first transaction is aborted: {}", failure.cause)));
    }
    events.extend(cut_off.map(|at| (at, format!("pgsteer has cut {old} off"))));
    events.push((new.1, format!("{} takes writes (asked directly, every 5 ms)", new.0)));
    events.extend(
        report.first_write_after(new.1).map(|at| (at, "the first write succeeds through pgsteer".to_owned())),
    );
    events.sort();

    screen.line("");
    screen.line("Timeline");
    for (at, text) in events {
        screen.line(&format!("  {:>10}  {text}", milliseconds(at.saturating_duration_since(*killed))));
    }
}

fn clients(screen: &Screen, failover: &Failover, verdict: &Verdict) {
    let report = &failover.report;
    screen.line("");
    screen.line("Clients");
    let count = |name: &str, value: String| screen.line(&format!("  {name:<28}{value}"));
    count("transactions aborted", by_sqlstate(&report.by_sqlstate(Kind::Write)));
    count("reads aborted", by_sqlstate(&report.by_sqlstate(Kind::Read)));
    count("stayed connected", format!("{} of {}", report.stayed_connected(), report.clients));
    count("longest wait for a read", milliseconds(report.longest_read_gap(failover.killed)));
    count("writes acknowledged", verdict.acknowledged.to_string());
    count("acknowledged writes lost", verdict.lost.to_string());
    if verdict.lost_with_warning > 0 {
        count("lost, as PostgreSQL warned", verdict.lost_with_warning.to_string());
    }
    count("writes done twice", verdict.duplicated.to_string());
    count("outcome unknown, committed", verdict.unknown_and_there.to_string());
    if !verdict.denied_but_there.is_empty() {
        count("told failed, but committed", verdict.denied_but_there.len().to_string());
    }
}

fn by_sqlstate(counts: &BTreeMap<String, usize>) -> String {
    let total: usize = counts.values().sum();
    let each: Vec<_> = counts.iter().map(|(state, count)| format!("{state}: {count}")).collect();
    if each.is_empty() { total.to_string() } else { format!("{total} ({})", each.join(", ")) }
}

fn added(failover: &Failover) -> Option<Duration> {
    let (_, writable) = failover.new;
    Some(failover.report.first_write_after(writable)? - writable)
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
