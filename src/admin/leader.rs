//! `/leader`: what is known of a cluster, each fact with its age and its source.
//!
//! Nothing in here is secret: names, addresses, positions and reasons; no login, no password, no key.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ready::served,
    view::{ClusterView, View},
    words,
};
use crate::{
    clock::Moment,
    cluster::{
        fact::{ProbeOutcome, ProbedRole},
        topology::{
            Deposed, LastProbe, Member, MemberName, Reads, Standing, StoreStatus, Topology, WriteState,
        },
    },
    session::routes::Purpose,
};

/// One cluster.
#[derive(Debug, Serialize)]
pub(super) struct ClusterReport {
    cluster: String,
    /// Leader of the term in force.
    leader: Option<String>,
    term: Option<Value>,
    write: Value,
    read: Value,
    right_to_write: Value,
    /// Whom the store (or the hosts' answers) names as leader.
    named: Option<Value>,
    /// Whom an operator has pinned.
    pinned: Option<Value>,
    store: Value,
    /// As text: JSON numbers lose digits.
    system_id: Option<String>,
    settings: Option<Value>,
    sync_standbys: Vec<String>,
    members: Vec<MemberReport>,
    deposed: Vec<Value>,
    update: Value,
}

/// One member.
#[derive(Debug, Serialize)]
struct MemberReport {
    name: String,
    address: String,
    standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    role: Value,
    lag: Option<Value>,
    reads: Value,
    probe: Option<Value>,
    suspected: Option<Value>,
    marked: Option<Value>,
    store_record: Option<Value>,
}

/// The reports of all clusters, or of one.
pub(super) fn reports(view: &View, only: Option<&str>) -> Vec<ClusterReport> {
    let now = view.clock.now();
    view.clusters
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
        .map(|(name, cluster)| report(name, cluster, now))
        .collect()
}

fn report(name: &str, cluster: &ClusterView, now: Moment) -> ClusterReport {
    let topology = cluster.watcher.topology();
    let age = |at: Moment| seconds(now.since(at));
    let source = if topology.store == StoreStatus::Absent { "hosts" } else { "store" };
    let settings = &topology.settings;
    ClusterReport {
        cluster: name.to_owned(),
        leader: topology.term().map(|term| term.member.to_string()),
        term: topology.term().map(
            |term| json!({ "epoch": term.epoch, "member": term.member.as_str(), "timeline": term.timeline }),
        ),
        write: write(&topology, cluster, now),
        read: route(cluster, Purpose::Read, now),
        right_to_write: json!({
            "remaining_seconds": seconds(topology.right.deadline.since(now)),
            "source": words::right_source(topology.right.source),
        }),
        named: topology.named.as_ref().map(|named| {
            json!({
                "member": named.member.as_str(), "revision": named.elected_at,
                "source": source, "first_seen_seconds_ago": age(named.seen_at),
            })
        }),
        pinned: topology.pin.as_ref().map(|pin| {
            json!({ "member": pin.member.as_str(), "age_seconds": age(pin.seen_at), "source": "operator" })
        }),
        store: store(&topology.store, now),
        system_id: topology.system_id.map(|id| id.to_string()),
        settings: (source == "store").then(|| {
            json!({
                "ttl_seconds": seconds(settings.ttl), "loop_wait_seconds": seconds(settings.loop_wait),
                "failover": words::failover(settings.failover), "failsafe_mode": settings.failsafe_mode,
                "source": source,
            })
        }),
        sync_standbys: topology.sync_standbys.iter().map(MemberName::to_string).collect(),
        members: topology.members.iter().map(|(name, one)| member(name, one, &topology, now)).collect(),
        deposed: topology.deposed.iter().map(|deposed| former(deposed, now)).collect(),
        update: json!({ "number": topology.seq, "age_seconds": age(topology.at) }),
    }
}

fn write(topology: &Topology, cluster: &ClusterView, now: Moment) -> Value {
    let mut write = route(cluster, Purpose::Write, now);
    let (state, reason) = words::write_state(&topology.write);
    write["state"] = state.into();
    write["reason"] = reason.into();
    match &topology.write {
        WriteState::Open(_) => {}
        WriteState::Held { since, .. } | WriteState::Vacant { since, .. } => {
            write["age_seconds"] = seconds(now.since(*since)).into();
        }
    }
    write
}

fn route(cluster: &ClusterView, purpose: Purpose, now: Moment) -> Value {
    match served(cluster, purpose, 0, now) {
        Ok(members) => json!({ "served": true, "members": members }),
        Err(why) => json!({ "served": false, "members": [], "why": why }),
    }
}

fn store(status: &StoreStatus, now: Moment) -> Value {
    let mut store = json!({ "status": words::store(status) });
    match status {
        StoreStatus::Absent | StoreStatus::NeverAnswered(None) => {}
        StoreStatus::Answering { asked_at } => store["age_seconds"] = seconds(now.since(*asked_at)).into(),
        StoreStatus::NeverAnswered(Some(why)) | StoreStatus::Nothing(why) => {
            store["why"] = why.as_str().into()
        }
        StoreStatus::Lost { since, reason } => {
            store["why"] = reason.as_str().into();
            store["age_seconds"] = seconds(now.since(*since)).into();
        }
    }
    store
}

fn member(name: &MemberName, member: &Member, topology: &Topology, now: Moment) -> MemberReport {
    let age = |at: Moment| seconds(now.since(at));
    let store_age = match topology.store {
        StoreStatus::Answering { asked_at } => Some(age(asked_at)),
        _ => None,
    };
    MemberReport {
        name: name.to_string(),
        address: member.address.to_string(),
        standing: words::standing(&member.standing),
        why: match &member.standing {
            Standing::Unusable(why) | Standing::Lost(why) => Some(why.clone()),
            _ => None,
        },
        role: role(member.probe.as_ref(), now),
        lag: member.lag.map(|lag| {
            json!({
                "bytes": lag.bytes, "seconds": seconds(lag.time), "source": "probe",
                "age_seconds": member.probe.as_ref().map(|probe| age(probe.at)),
            })
        }),
        reads: reads(&member.reads, now),
        probe: member.probe.as_ref().map(|probe| {
            let mut outcome = json!({
                "outcome": words::outcome(&probe.outcome), "age_seconds": age(probe.asked_at),
                "took_seconds": seconds(probe.at.since(probe.asked_at)),
            });
            if let ProbeOutcome::Failed(failure) = &probe.outcome {
                outcome["why"] = failure.to_string().into();
            }
            outcome
        }),
        suspected: member.suspected.as_ref().map(|suspicion| {
            json!({ "why": suspicion.why, "source": "connections", "age_seconds": age(suspicion.since) })
        }),
        marked: member.mark.map(|marked| {
            json!({ "as": words::mark(marked.mark), "source": "operator", "age_seconds": age(marked.since) })
        }),
        store_record: member.record.as_ref().map(|record| {
            json!({
                "state": record.state, "role": record.role, "timeline": record.timeline,
                "position": record.xlog_location.map(|lsn| lsn.to_string()),
                "noloadbalance": record.noloadbalance, "source": "store", "age_seconds": store_age,
            })
        }),
    }
}

/// What a member said of itself.
fn role(probe: Option<&LastProbe>, now: Moment) -> Value {
    let mut role = json!({ "is": words::role(probe), "source": "probe" });
    let Some(probe) = probe else { return role };
    role["age_seconds"] = seconds(now.since(probe.asked_at)).into();
    let ProbeOutcome::Answered(reading) = &probe.outcome else { return role };
    role["server_version"] = reading.server_version.into();
    match &reading.role {
        ProbedRole::Writable { timeline, lsn } => {
            role["timeline"] = (*timeline).into();
            role["position"] = lsn.to_string().into();
        }
        ProbedRole::Standby(standby) => {
            role["timeline"] = standby.timeline.into();
            role["replayed"] = standby.replayed.map(|lsn| lsn.to_string()).into();
            role["known"] = standby.known.map(|lsn| lsn.to_string()).into();
            role["receiver"] = words::receiver(standby.receiver).into();
        }
    }
    role
}

fn reads(reads: &Reads, now: Moment) -> Value {
    match reads {
        Reads::Qualifies => json!({ "serves": true }),
        Reads::Grace(until) => json!({
            "serves": true, "grace_remaining_seconds": seconds(until.since(now)),
            "why": "it qualified when the leader was lost",
        }),
        Reads::Excluded(why) => {
            json!({ "serves": false, "reason": why.obstacle.word(), "why": why.sentence })
        }
    }
}

fn former(deposed: &Deposed, now: Moment) -> Value {
    json!({
        "member": deposed.term.member.as_str(), "address": deposed.address.to_string(),
        "epoch": deposed.term.epoch, "timeline": deposed.term.timeline,
        "why": deposed.reason.to_string(), "age_seconds": seconds(now.since(deposed.at)),
    })
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}
