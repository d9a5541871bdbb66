//! The figures of `/metrics`, gathered when they are asked for.

mod clusters;
mod pools;
mod process;

use std::{borrow::Cow, collections::BTreeMap};

use super::view::View;
use crate::{
    client::registry::Activity,
    metrics::{
        Counter, Reading, Tally, WorkerCounters,
        page::Page,
        table::{self, Metric},
    },
    session::split::verdict::REASONS,
};

/// The page. Takes a while where there are many pools and clients: not to be made on a runtime that others wait for.
pub(super) fn page(view: &View) -> String {
    let mut page = Page::default();
    process::add(&mut page, view);
    clusters::add(&mut page, view);
    pools::add(&mut page, &view.pools, view.clock.now());
    clients(&mut page, view);
    traffic(&mut page, view);
    page.finish()
}

fn clients(page: &mut Page, view: &View) {
    let activities = [
        (Activity::Idle, "idle"),
        (Activity::Waiting, "waiting"),
        (Activity::Running, "running"),
        (Activity::IdleInTransaction, "idle_in_transaction"),
        (Activity::Pinned, "pinned"),
    ];
    let mut counts = activities.map(|_| 0_u64);
    view.registry.for_each(|entry| counts[entry.activity().0 as usize] += 1);
    for ((activity, word), count) in activities.into_iter().zip(counts) {
        debug_assert_eq!(activities[activity as usize].1, word);
        page.add(&table::CLIENTS, [word], count);
    }
    page.add(&table::CLIENT_CONNECTIONS, [], view.connections.used());
    page.add(&table::CLIENT_CONNECTIONS_MAX, [], view.connections.max());
    page.add(&table::TENANTS, [], (view.tenants)());
    page.add(&table::REPLICATION_CONNECTIONS, [], view.replications.used());
    let figures = view.switchboard.figures();
    page.add(&table::LISTENING_CONNECTIONS, [], figures.connections);
    page.add(&table::NOTIFICATIONS, [], figures.delivered);
    tally(page, &table::LOGINS, &view.events.logins);
    tally(page, &table::LOGIN_FAILURES, &view.events.login_failures);
    tally(page, &table::DELAYS, &view.events.delays);
    tally(page, &table::LOOKUPS, &view.events.lookups);
    tally(page, &table::CANCELS, &view.events.cancels);
    tally(page, &table::RELOADS, &view.events.reloads);
}

fn traffic(page: &mut Page, view: &View) {
    let all = || view.workers.iter().map(|worker| &worker.counters);
    for (metric, counter) in [
        (&table::QUERIES, (|worker| worker.queries.get()) as fn(&WorkerCounters) -> u64),
        (&table::TRANSACTIONS, |worker| worker.transactions.get()),
        (&table::CLIENT_BYTES, |worker| worker.client_bytes.get()),
        (&table::SERVER_BYTES, |worker| worker.server_bytes.get()),
        (&table::LEASES, |worker| worker.leases.get()),
        (&table::TURNED_AWAY, |worker| worker.turned_away.get()),
        (&table::INSPECTIONS, |worker| worker.inspections.get()),
        (&table::RESTORES, |worker| worker.restores.get()),
        (&table::STATEMENT_USES, |worker| worker.statement_uses.get()),
        (&table::STATEMENT_PARSES, |worker| worker.statement_parses.get()),
    ] {
        page.add(metric, [], all().map(counter).sum::<u64>());
    }
    let mut waits = [Reading::default(); 3];
    let (mut cutoffs, mut aborted, mut rejected) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut pins, mut found, mut returns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut rereads = BTreeMap::new();
    let (mut reads, mut lost, mut positions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut fates, mut lasts) = (BTreeMap::new(), BTreeMap::new());
    for worker in all() {
        worker.consistent_reads.add_to(&mut reads);
        worker.lost_writes.add_to(&mut lost);
        worker.commit_fates.add_to(&mut fates);
        worker.last_commits.add_to(&mut lasts);
        worker.positions.add_to(&mut positions);
        worker.server_waits.add_to(&mut waits[0]);
        worker.leader_waits.add_to(&mut waits[1]);
        worker.replica_waits.add_to(&mut waits[2]);
        worker.cutoffs.add_to(&mut cutoffs);
        worker.aborted.add_to(&mut aborted);
        worker.rejected.add_to(&mut rejected);
        worker.pins.add_to(&mut pins);
        worker.found.add_to(&mut found);
        worker.returns.add_to(&mut returns);
        worker.rereads.add_to(&mut rereads);
    }
    for (what, reading) in ["server", "leader", "replica"].into_iter().zip(&waits) {
        page.add_histogram(&table::WAITS, [what], reading);
    }
    for (place, (_, to, why)) in REASONS.iter().enumerate() {
        let sum: u64 = all().filter_map(|worker| worker.splits.get(place)).map(Counter::get).sum();
        if sum > 0 {
            page.add(&table::SPLITS, [to, why], sum);
        }
    }
    counts(page, &table::RETURNS, &returns);
    counts(page, &table::REREADS, &rereads);
    counts(page, &table::CONSISTENT_READS, &reads);
    counts(page, &table::LOST_WRITES, &lost);
    counts(page, &table::COMMIT_FATES, &fates);
    counts(page, &table::LAST_COMMITS, &lasts);
    counts(page, &table::POSITIONS, &positions);
    counts(page, &table::PINS, &pins);
    counts(page, &table::HIDDEN, &found);
    counts(page, &table::CUTOFFS, &cutoffs);
    counts(page, &table::ABORTED, &aborted);
    counts(page, &table::REJECTED, &rejected);
}

fn tally<const N: usize>(page: &mut Page, metric: &Metric<N>, tally: &Tally<N>) {
    counts(page, metric, &tally.read());
}

fn counts<const N: usize>(
    page: &mut Page,
    metric: &Metric<N>,
    counts: &BTreeMap<[Cow<'static, str>; N], u64>,
) {
    if N == 0 && counts.is_empty() {
        page.add(metric, [""; N], 0);
    }
    for (labels, count) in counts {
        page.add(metric, labels.each_ref().map(AsRef::as_ref), count);
    }
}
