//! The table, as the README has it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::figures::Figures;
use crate::scenario::{Replication, Scenario};

/// What came of one scenario: for pgsteer, and for its peers where they were there.
pub(crate) type Row = (Scenario, Vec<Figures>);

/// All of it, as Markdown.
pub(crate) fn markdown(rows: &[Row], peers: &str) -> String {
    let mut table = "| | no leader for | pgsteer adds | longest wait | errors | clients kept |".to_owned();
    let beside = rows.iter().any(|(_, fronts)| fronts.len() > 1);
    if beside {
        let _ = write!(table, " {peers} add | longest wait | errors | clients kept |");
    }
    let _ = writeln!(table, "\n|{}", "---|".repeat(if beside { 10 } else { 6 }));
    for (scenario, fronts) in rows {
        let asynchronous = scenario.replication == Replication::Asynchronous;
        let what =
            if asynchronous { format!("{} (asynchronous)", scenario.what) } else { scenario.what.to_owned() };
        let own =
            fronts.first().into_iter().flat_map(|figures| &figures.outages).map(|outage| Some(outage.own));
        let _ = write!(table, "| {what} | {} |", spread(own.collect()));
        for figures in fronts {
            let added = figures.outages.iter().map(|outage| outage.added).collect();
            let _ = write!(
                table,
                " {} | {} | {} | {} of {} |",
                spread(added),
                time(figures.longest_wait),
                errors(figures),
                figures.stayed,
                figures.clients
            );
        }
        table.push('\n');
    }
    table
}

/// What the ledgers say, in words.
pub(crate) fn ledgers(rows: &[Row], names: &[&str]) -> String {
    let mut text = String::new();
    for (front, name) in names.iter().enumerate() {
        for replication in [Replication::Synchronous, Replication::Asynchronous] {
            let of_these = rows.iter().filter(|(scenario, _)| scenario.replication == replication);
            let figures: Vec<_> = of_these.filter_map(|(_, fronts)| fronts.get(front)).collect();
            if figures.is_empty() {
                continue;
            }
            let sum =
                |count: fn(&Figures) -> usize| figures.iter().map(|figures| count(figures)).sum::<usize>();
            let _ = writeln!(
                text,
                "{name}, {replication:?} replication (synchronous_commit = on): {} writes acknowledged, {} of them lost (and {} with PostgreSQL's warning), \
                 {} by a deposed leader, {} done twice, {} done though their error did not say that they may be, {} done as it did say",
                sum(|figures| figures.verdict.acknowledged),
                sum(|figures| figures.verdict.lost),
                sum(|figures| figures.verdict.lost_with_warning),
                sum(|figures| figures.from_deposed),
                sum(|figures| figures.verdict.duplicated),
                sum(|figures| figures.verdict.denied_but_there.len()),
                sum(|figures| figures.verdict.unknown_and_there),
            );
        }
    }
    text
}

/// What one front's clients met, in one line.
pub(crate) fn line(figures: &Figures) -> String {
    let own = figures.outages.iter().map(|outage| Some(outage.own)).collect();
    let added = figures.outages.iter().map(|outage| outage.added).collect();
    let long: Vec<_> =
        figures.long.iter().map(|told| told.as_deref().unwrap_or("nothing").to_owned()).collect();
    let long =
        if long.is_empty() { String::new() } else { format!("; the long one was told {}", long.join(", ")) };
    format!(
        "no leader for {}, added {}, longest wait {}, errors {}, kept {} of {}; {} acknowledged, {} lost, {} from deposed{long}",
        spread(own),
        spread(added),
        time(figures.longest_wait),
        errors(figures),
        figures.stayed,
        figures.clients,
        figures.verdict.acknowledged,
        figures.verdict.lost,
        figures.from_deposed,
    )
}

/// The median, and the worst where there are more than two.
fn spread(mut times: Vec<Option<Duration>>) -> String {
    let known = |at: Option<Duration>| at.map_or_else(|| "more than 60 s".to_owned(), time);
    times.sort_by_key(|at| at.unwrap_or(Duration::MAX));
    match times.as_slice() {
        [] => "–".to_owned(),
        [one] => known(*one),
        [one, other] => format!("{}, {}", known(*one), known(*other)),
        more => format!("{}, worst {}", known(more[(more.len() - 1) / 2]), known(more[more.len() - 1])),
    }
}

fn time(time: Duration) -> String {
    match time.as_millis() {
        0 => "0".to_owned(),
        milliseconds @ 1..1000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn errors(figures: &Figures) -> String {
    let each = |errors: &BTreeMap<String, usize>, of: &str| -> Vec<String> {
        errors.iter().map(|(state, count)| format!("{count} × {of}{state}")).collect()
    };
    let all = [each(&figures.errors, ""), each(&figures.read_errors, "read ")].concat();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
