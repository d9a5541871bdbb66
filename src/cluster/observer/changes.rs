//! What changed from one topology to the next, in words for the log.

use crate::cluster::{
    fact::{Command, Fact, FailsafeState, ProbeOutcome, ProbedRole, Receiver, Standby},
    store::StoreEvent,
    topology::{Change, Hold, Mark, Member, Reads, Standing, StoreStatus, Topology, WriteState},
};

/// A fact in one sentence: the evidence for what follows from it.
pub(super) fn describe(fact: &Fact) -> String {
    match fact {
        Fact::Store(StoreEvent::Read(snapshot)) => match &snapshot.leader {
            Some(key) => {
                let asked = snapshot.switchover.as_ref().map_or("", |_| ", a change of leader is asked for");
                format!("store at revision {}: {} holds the leader key{asked}", snapshot.revision, key.member)
            }
            None => format!("store at revision {}: nobody holds the leader key", snapshot.revision),
        },
        Fact::Failsafe { member, state, .. } => match state {
            FailsafeState::Active => format!("the Patroni of {member} leads in failsafe mode"),
            FailsafeState::Inactive => format!("the Patroni of {member} is not in failsafe mode"),
        },
        Fact::Ordered(command) => format!("an operator's order: {}", ordered(command)),
        Fact::Moved { host, .. } => format!("the name {host} leads elsewhere"),
        Fact::ReadPolicy(_) => "the configuration has other bounds for replicas".to_owned(),
        Fact::Store(StoreEvent::Nothing { found }) => found.clone(),
        Fact::Store(StoreEvent::Lost { reason }) => format!("the store does not answer: {reason}"),
        Fact::Probed { member, asked_at, at, outcome, .. } => {
            let took = at.since(*asked_at);
            match outcome {
                ProbeOutcome::Failed(failure) => format!("{member} was asked: {failure}"),
                ProbeOutcome::Answered(reading) => match &reading.role {
                    ProbedRole::Writable { timeline, lsn } => {
                        format!(
                            "{member} takes writes on timeline {timeline} at {lsn} (answered within {took:?})"
                        )
                    }
                    ProbedRole::Standby(standby) => {
                        format!("{member} is in recovery{} (answered within {took:?})", on_timeline(standby))
                    }
                },
            }
        }
        Fact::Suspected { member, why } => format!("{member}: {why}"),
        Fact::Tick => "time passed".to_owned(),
    }
}

fn on_timeline(standby: &Standby) -> String {
    match (standby.timeline, standby.receiver) {
        (Some(reached), Receiver::Gone) => {
            format!(" without a WAL receiver, on timeline {reached} or a later one")
        }
        (Some(timeline), _) => format!(" on timeline {timeline}"),
        (None, _) => " on an unknown timeline".to_owned(),
    }
}

fn ordered(command: &Command) -> String {
    match command {
        Command::Pin(Some(member)) => format!("{member} is pinned as leader"),
        Command::Pin(None) => "nobody is pinned as leader".to_owned(),
        Command::Mark(member, Some(Mark::Drain)) => format!("{member} drains"),
        Command::Mark(member, Some(Mark::Down)) => format!("{member} is marked down"),
        Command::Mark(member, None) => format!("{member} is marked up"),
        Command::Hold(Some((leader, _))) => format!("{leader} is about to step down"),
        Command::Hold(None) => "the leader need not be waited for any more".to_owned(),
    }
}

/// The changes that matter to a reader of the log: not every new position or age.
pub(super) fn between(old: &Topology, new: &Topology, evidence: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |subject: &str, from: String, to: String, evidence: String| {
        if from != to {
            changes.push(Change { subject: subject.to_owned(), from, to, evidence });
        }
    };
    note("store", store_in_words(&old.store), store_in_words(&new.store), evidence.to_owned());
    for (name, member) in &new.members {
        let before = old.members.get(name);
        let was = before.map_or_else(|| "unknown".to_owned(), |m| standing_in_words(&m.standing));
        let why = match (&member.standing, new.deposed.iter().find(|d| d.term.member == *name)) {
            (Standing::Deposed, Some(deposed)) => deposed.reason.to_string(),
            _ => evidence.to_owned(),
        };
        note(name.as_str(), was, standing_in_words(&member.standing), why);
        let (was, is) = (reads_in_words(before), reads_in_words(Some(member)));
        let why = match &member.reads {
            Reads::Excluded(why) => why.sentence.clone(),
            Reads::Qualifies | Reads::Grace(_) => evidence.to_owned(),
        };
        note(name.as_str(), was.to_owned(), is.to_owned(), why);
    }
    for name in old.members.keys().filter(|name| !new.members.contains_key(*name)) {
        note(name.as_str(), "known".to_owned(), "forgotten".to_owned(), evidence.to_owned());
    }
    if !suspected_on(&old.write, &new.write) {
        note("writes", write_in_words(&old.write), write_in_words(&new.write), evidence.to_owned());
    }
    changes
}

/// Whether a leader that is suspected has only met with one more suspicion: each connection that breaks raises one.
fn suspected_on(old: &WriteState, new: &WriteState) -> bool {
    let suspected = |write: &WriteState| match write {
        WriteState::Held { term, why: Hold::Suspected(_), .. } => Some(term.epoch),
        _ => None,
    };
    suspected(new).is_some_and(|epoch| suspected(old) == Some(epoch))
}

fn store_in_words(status: &StoreStatus) -> String {
    match status {
        StoreStatus::Absent => "absent".to_owned(),
        StoreStatus::NeverAnswered(_) => "not answered yet".to_owned(),
        StoreStatus::Answering { .. } => "answering".to_owned(),
        StoreStatus::Nothing(_) => "answering, nothing found".to_owned(),
        StoreStatus::Lost { .. } => "lost".to_owned(),
    }
}

fn standing_in_words(standing: &Standing) -> String {
    standing.to_string()
}

const fn reads_in_words(member: Option<&Member>) -> &'static str {
    match member {
        Some(member) if member.reads.serves() => "serves reads",
        _ => "serves no reads",
    }
}

fn write_in_words(write: &WriteState) -> String {
    match write {
        WriteState::Open(term) => {
            format!("open to {} (timeline {}, term {})", term.member, term.timeline, term.epoch)
        }
        WriteState::Held { term, why, .. } => format!("held for {}: {why}", term.member),
        WriteState::Vacant { why, .. } => format!("waiting: {why}"),
    }
}
