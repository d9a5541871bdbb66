//! Figures of each cluster and its members.

use std::time::Duration;

use crate::{
    admin::{
        ready::served,
        view::{ClusterView, View},
        words,
    },
    clock::Moment,
    cluster::{
        fact::{ProbeOutcome, ProbedRole},
        topology::{Member, Reads, StoreStatus},
    },
    metrics::{page::Page, table},
    session::routes::Purpose,
};

pub(super) fn add(page: &mut Page, view: &View) {
    for (name, cluster) in &view.clusters {
        add_cluster(page, name, cluster, view);
    }
}

fn add_cluster(page: &mut Page, name: &str, cluster: &ClusterView, view: &View) {
    let now = view.clock.now();
    let topology = cluster.watcher.topology();
    if let Some(term) = topology.term() {
        page.add(&table::LEADER, [name, term.member.as_str()], 1);
    }
    page.add(&table::TERM_EPOCH, [name], topology.term().map_or(0, |term| term.epoch));
    page.add(&table::TERM_TIMELINE, [name], topology.term().map_or(0, |term| term.timeline));
    if let Some(pin) = &topology.pin {
        page.add(&table::PIN_AGE, [name, pin.member.as_str()], now.since(pin.seen_at).as_secs_f64());
    }
    let (state, reason) = words::write_state(&topology.write);
    page.add(&table::WRITE_STATE, [name, state, reason], 1);
    page.add(&table::RIGHT_REMAINING, [name], remaining(topology.right.deadline, now));
    page.add(&table::RIGHT_SOURCE, [name, words::right_source(topology.right.source)], 1);
    page.add(&table::STORE_STATUS, [name, words::store(&topology.store)], 1);
    if let StoreStatus::Answering { asked_at: at } | StoreStatus::Lost { since: at, .. } = topology.store {
        page.add(&table::STORE_AGE, [name], now.since(at).as_secs_f64());
    }
    page.add(&table::TOPOLOGY_UPDATES, [name], topology.seq);
    for (metric, purpose) in [(&table::WRITE_SERVED, Purpose::Write), (&table::READ_SERVED, Purpose::Read)] {
        page.add(metric, [name], u8::from(served(cluster, purpose, 0, now).is_ok()));
    }
    for (member, known) in &topology.members {
        add_member(page, [name, member.as_str()], known, now);
        page.add(&table::MEMBER_BUSY, [name, member.as_str()], view.pools.load(name, member).busy());
    }
}

fn add_member(page: &mut Page, [cluster, name]: [&str; 2], member: &Member, now: Moment) {
    page.add(&table::MEMBER_STANDING, [cluster, name, words::standing(&member.standing)], 1);
    if let Some(marked) = member.mark {
        page.add(&table::MEMBER_MARKED, [cluster, name, words::mark(marked.mark)], 1);
    }
    page.add(&table::MEMBER_ROLE, [cluster, name, words::role(member.probe.as_ref())], 1);
    if let Some(lag) = member.lag {
        page.add(&table::MEMBER_LAG_BYTES, [cluster, name], lag.bytes);
        page.add(&table::MEMBER_LAG_SECONDS, [cluster, name], lag.time.as_secs_f64());
    }
    page.add(&table::MEMBER_QUALIFIES, [cluster, name], u8::from(member.reads.serves()));
    if member.reads.serves() {
        page.add(&table::MEMBER_SHARE, [cluster, name], member.share());
    }
    if let Some(latency) = member.latency {
        page.add(&table::MEMBER_LATENCY, [cluster, name], latency.as_secs_f64());
    }
    if let Reads::Excluded(why) = &member.reads {
        page.add(&table::MEMBER_EXCLUDED, [cluster, name, why.obstacle.word()], 1);
    }
    page.add(&table::MEMBER_SUSPECTED, [cluster, name], u8::from(member.suspected.is_some()));
    let Some(probe) = &member.probe else { return };
    page.add(&table::MEMBER_PROBE, [cluster, name, words::outcome(&probe.outcome)], 1);
    let [age, took] = [now.since(probe.asked_at), probe.at.since(probe.asked_at)];
    page.add(&table::MEMBER_PROBE_AGE, [cluster, name], age.as_secs_f64());
    page.add(&table::MEMBER_PROBE_TOOK, [cluster, name], took.as_secs_f64());
    let ProbeOutcome::Answered(reading) = &probe.outcome else { return };
    let timeline = match &reading.role {
        ProbedRole::Writable { timeline, .. } => Some(*timeline),
        ProbedRole::Standby(standby) => standby.timeline,
    };
    if let Some(timeline) = timeline {
        page.add(&table::MEMBER_TIMELINE, [cluster, name], timeline);
    }
}

/// Seconds until the deadline; negative once it has passed, 0 where there never was one.
fn remaining(deadline: Moment, now: Moment) -> f64 {
    if deadline == Moment::ZERO {
        return 0.0;
    }
    let [left, over]: [Duration; 2] = [deadline.since(now), now.since(deadline)];
    left.as_secs_f64() - over.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_that_is_over_is_negative() {
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        for (deadline, now, expected) in [
            (at(30), at(10), 20.0),
            (at(10), at(10), 0.0),
            (at(10), at(12), -2.0),
            (Moment::ZERO, at(10), 0.0),
        ] {
            assert!((remaining(deadline, now) - expected).abs() < 1e-9, "{deadline:?} {now:?}");
        }
    }
}
