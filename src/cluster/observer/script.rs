//! Scripts for the observer: facts with their times in milliseconds, and what must follow from them.
//!
//! ```text
//! 0    store n1@5 20000           n1 holds the key written at revision 5; right to write until 20000
//! 0    store n1@5                 the same by a watch event: no lease was asked for
//! 0    store -                    nobody holds the key
//! 0    list n1 n2 n3:stopped      the members of every later reading (n4:!lb is tagged, n5:@x moved to host x,
//!                                 n6:#2 is recorded on timeline 2)
//! 0    failover n1@7 5000         every later reading has a switchover of n1, written at revision 7 and due at 5000;
//!                                 `@7`: of whoever leads; `-`: there is none
//! 10   probe n1 5 w 1 1000        asked at 5: takes writes, timeline 1, position 1000
//! 10   probe n2 5 r 1 900 gone    asked at 5: in recovery, timeline 1, has replayed 900, WAL receiver gone | idle
//! 10   probe n2 5 r 1 900 archive   no WAL receiver ever, `knows 950`: streaming, sent as much so far
//! 10   probe n3 5 refused         or timeout, nothing (no connection), starting, auth; `sys=8` at the end: another system identifier
//! 0    settings failsafe pause standby    (or `archived`: fed from an archive) every later reading has these modes of Patroni's
//! 12   failsafe n1 10 active      asked at 10: its Patroni leads without the store | inactive
//! 12   pin n1 | unpin | mark n1 drain | down | up | hold n1 5000 | release    an operator's orders
//! 12   suspect n1 it broke
//! 12   moved n1 1                  the name n1 has come to lead elsewhere once
//! 13   lost | nothing | tick
//! = open n1 1 1                   timeline, epoch
//! = held n1 KeyAbsent             the doubt's name
//! = vacant NotWritable
//! = right 20000 Lease             = deposed n1 Replaced | = deposed -
//! = reads n2 n3 | = reads -       = standing n3 Following
//! = within 1 n2                   who serves the reads of those who go by the second bound
//! = rise n3 4                     the eighths of its share that it has
//! = why n2 it lags                the sentence that says why it serves no reads
//! = news n2 writes | = news -     what the last change of what is known was about
//! = was writes waiting: nothing   what it was before
//! ```

use std::{collections::BTreeMap, time::Duration};

use super::Observer;
use crate::{
    clock::Moment,
    cluster::{
        fact::{
            Command, Fact, FailsafeState, ProbeFailure, ProbeOutcome, ProbeReading, ProbedRole, Receiver,
            Standby,
        },
        ids::{Lsn, MemberName},
        policy::{Authority, LagBound, ObserverPolicy, ReadPolicy},
        store::{
            ClusterKind, ClusterSettings, Due, Failover, Feed, LeaderKey, MemberRecord, StoreEvent,
            StoreSnapshot, Switchover,
        },
        topology::{Mark, Reads, Topology, WriteState},
    },
    net::Address,
};

pub(super) fn ms(ms: u64) -> Moment {
    Moment::from_nanos(1_000_000_000 + ms * 1_000_000)
}

/// Interval 500 ms, timeout 1 s (an answer counts for 1750 ms), bounds 1000 bytes and 1 s (and others: 5000 bytes and 3 s;
/// none), grace 10 s, slow start 2 s; a switchover holds writes for 3 s.
pub(super) fn policy(authority: Authority) -> ObserverPolicy {
    ObserverPolicy {
        authority,
        probe_interval: Duration::from_millis(500),
        probe_timeout: Duration::from_secs(1),
        reads: ReadPolicy {
            bounds: vec![
                LagBound { bytes: 1000, time: Duration::from_secs(1) },
                LagBound { bytes: 5000, time: Duration::from_secs(3) },
                LagBound { bytes: 0, time: Duration::MAX },
            ],
            no_leader_grace: Duration::from_secs(10),
            slow_start: Duration::from_secs(2),
        },
        switchover_hold_max: Duration::from_secs(3),
    }
}

pub(super) fn hosts(names: &[&str]) -> Authority {
    Authority::Hosts(names.iter().map(|name| Address::tcp(name, 5432)).collect())
}

/// A run of a script.
pub(super) struct Script {
    pub(super) observer: Observer,
    listed: Vec<MemberRecord>,
    switchover: Option<Switchover>,
    settings: ClusterSettings,
    revision: u64,
    /// How often names have moved.
    moves: BTreeMap<String, u32>,
    by_hosts: bool,
}

impl Script {
    pub(super) fn new(authority: Authority) -> Self {
        let by_hosts = matches!(authority, Authority::Hosts(_));
        let observer = Observer::new(policy(authority), ms(0));
        let listed = ["n1", "n2", "n3"].map(record).to_vec();
        let settings = ClusterSettings::default();
        Self { observer, listed, switchover: None, settings, revision: 100, moves: BTreeMap::new(), by_hosts }
    }

    /// Runs a script, line by line.
    pub(super) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["=", rest @ ..] => self.expect(rest, line),
                [at, rest @ ..] => {
                    let now = ms(at.parse().unwrap());
                    if let Some(fact) = self.fact(now, rest) {
                        self.observer.observe(&fact, now);
                    }
                }
                [] => {}
            }
        }
    }

    fn fact(&mut self, now: Moment, words: &[&str]) -> Option<Fact> {
        Some(match words {
            ["list", members @ ..] => {
                self.listed = members.iter().map(|word| record(word)).collect();
                return None;
            }
            ["failover", text, due @ ..] => {
                self.switchover = text.split_once('@').map(|(from, revision)| Switchover {
                    revision: revision.parse().unwrap(),
                    from: Some(from).filter(|from| !from.is_empty()).map(MemberName::from),
                    due: due.first().map_or(Due::Now, |at| Due::At(ms(at.parse().unwrap()))),
                });
                return None;
            }
            ["store", leader, right @ ..] => {
                self.revision += 1;
                let right = right.first().map(|until| ms(until.parse().unwrap()));
                Fact::Store(StoreEvent::Read(self.snapshot(now, leader, right)))
            }
            ["stale", revision, leader] => {
                let revision = revision.parse().unwrap();
                let snapshot = StoreSnapshot { revision, ..self.snapshot(now, leader, None) };
                Fact::Store(StoreEvent::Read(snapshot))
            }
            ["lost"] => Fact::Store(StoreEvent::Lost { reason: "no answer".into() }),
            ["nothing"] => Fact::Store(StoreEvent::Nothing { found: "nothing under /service/x/".into() }),
            ["tick"] => Fact::Tick,
            ["failsafe", member, asked_at, state] => Fact::Failsafe {
                member: self.name(member),
                asked_at: ms(asked_at.parse().unwrap()),
                state: if *state == "active" { FailsafeState::Active } else { FailsafeState::Inactive },
            },
            ["pin", member] => Fact::Ordered(Command::Pin(Some(self.name(member)))),
            ["unpin"] => Fact::Ordered(Command::Pin(None)),
            ["mark", member, mark] => {
                let mark = match *mark {
                    "drain" => Some(Mark::Drain),
                    "down" => Some(Mark::Down),
                    _ => None,
                };
                Fact::Ordered(Command::Mark(self.name(member), mark))
            }
            ["hold", member, until] => {
                Fact::Ordered(Command::Hold(Some((self.name(member), ms(until.parse().unwrap())))))
            }
            ["release"] => Fact::Ordered(Command::Hold(None)),
            ["settings", words @ ..] => {
                self.settings = settings(words);
                return None;
            }
            ["moved", host, moves] => {
                self.moves.insert((*host).to_owned(), moves.parse().unwrap());
                Fact::Moved { host: (*host).into(), moves: moves.parse().unwrap() }
            }
            ["suspect", member, why @ ..] => {
                Fact::Suspected { member: self.name(member), why: why.join(" ") }
            }
            ["probe", member, asked_at, outcome @ ..] => {
                let host = member.split(':').next().unwrap();
                Fact::Probed {
                    member: self.name(host),
                    address: self.address(member.split(':').nth(1).unwrap_or(host)),
                    asked_at: ms(asked_at.parse().unwrap()),
                    at: now,
                    outcome: outcome_of(outcome),
                }
            }
            other => panic!("no such step: {other:?}"),
        })
    }

    fn snapshot(&self, asked_at: Moment, leader: &str, right_until: Option<Moment>) -> StoreSnapshot {
        StoreSnapshot {
            asked_at,
            revision: self.revision,
            system_id: Some(7),
            leader: leader.split_once('@').map(|(member, elected_at)| LeaderKey {
                member: member.into(),
                elected_at: elected_at.parse().unwrap(),
                right_until,
            }),
            members: self.listed.clone(),
            settings: self.settings.clone(),
            sync_standbys: Vec::new(),
            history: Vec::new(),
            switchover: self.switchover.clone(),
        }
    }

    /// Where a probe is sent: `n1@0` is where the name led at first.
    fn address(&self, word: &str) -> Address {
        let (host, moves) = word.split_once('@').unwrap_or((word, ""));
        let known = self.moves.get(host).copied().unwrap_or_default();
        Address::tcp(host, 5432).after(moves.parse().unwrap_or(known))
    }

    /// A member's name: with hosts, its address.
    fn name(&self, word: &str) -> MemberName {
        if self.by_hosts { format!("{word}:5432").as_str().into() } else { word.into() }
    }

    fn short(&self, name: &MemberName) -> String {
        name.as_str().trim_end_matches(":5432").to_owned()
    }

    fn expect(&self, words: &[&str], line: &str) {
        let topology = self.observer.topology();
        let found = match words.first().copied() {
            Some("open" | "held" | "vacant") => self.write_in_words(topology),
            Some("right") => {
                let millis = topology.right.deadline.since(ms(0)).as_millis();
                format!("right {millis} {:?}", topology.right.source)
            }
            Some("deposed") => {
                let entry = |d: &crate::cluster::topology::Deposed| {
                    format!("{} {}", self.short(&d.term.member), variant(&d.reason))
                };
                list("deposed", topology.deposed.iter().map(entry))
            }
            Some("reads") => {
                let serving = topology.members.iter().filter(|(_, member)| member.reads.serves());
                list("reads", serving.map(|(name, _)| self.short(name)))
            }
            Some("within") => {
                let bound = words[1].parse().unwrap();
                let serving = topology.members.iter().filter(|(_, member)| member.serves_within(bound));
                list(&format!("within {bound}"), serving.map(|(name, _)| self.short(name)))
            }
            Some("rise") => {
                format!("rise {} {}", words[1], topology.members[&self.name(words[1])].rise.eighths())
            }
            Some("obstacle") => {
                let found = match &topology.members[&self.name(words[1])].reads {
                    Reads::Excluded(why) => why.obstacle.word(),
                    Reads::Qualifies | Reads::Grace(_) => "none",
                };
                format!("obstacle {} {found}", words[1])
            }
            Some("why") => match &topology.members[&self.name(words[1])].reads {
                Reads::Excluded(why) => format!("why {} {}", words[1], why.sentence),
                Reads::Qualifies | Reads::Grace(_) => format!("why {} -", words[1]),
            },
            Some("news") => list("news", topology.changes.iter().map(|change| change.subject.clone())),
            Some("was") => {
                let changed = topology.changes.iter().find(|change| change.subject == words[1]);
                format!("was {} {}", words[1], changed.map_or("-", |change| &change.from))
            }
            Some("standing") => {
                let member = &topology.members[&self.name(words[1])];
                format!("standing {} {}", words[1], variant(&member.standing))
            }
            other => panic!("no such expectation: {other:?}"),
        };
        assert_eq!(found, words.join(" "), "at `{line}`; {topology:#?}");
    }

    fn write_in_words(&self, topology: &Topology) -> String {
        match &topology.write {
            WriteState::Open(t) => format!("open {} {} {}", self.short(&t.member), t.timeline, t.epoch),
            WriteState::Held { term, why, .. } => {
                format!("held {} {}", self.short(&term.member), variant(why))
            }
            WriteState::Vacant { why, .. } => format!("vacant {}", variant(why)),
        }
    }
}

/// Patroni's modes of these names.
fn settings(words: &[&str]) -> ClusterSettings {
    ClusterSettings {
        failsafe_mode: words.contains(&"failsafe"),
        kind: match () {
            () if words.contains(&"standby") => ClusterKind::Standby(Feed::Streaming),
            () if words.contains(&"archived") => ClusterKind::Standby(Feed::Archive),
            () => ClusterKind::Primary,
        },
        failover: if words.contains(&"pause") { Failover::Paused } else { Failover::Automatic },
        ..ClusterSettings::default()
    }
}

/// The name of an enum's variant.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn list(head: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("{head} {}", if items.is_empty() { "-".to_owned() } else { items.join(" ") })
}

fn record(word: &str) -> MemberRecord {
    let (name, rest) = word.split_once(':').unwrap_or((word, "running"));
    let host = rest.strip_prefix('@').unwrap_or(name);
    MemberRecord {
        state: if rest.starts_with(['@', '!', '#']) { "running" } else { rest }.to_owned(),
        timeline: rest.strip_prefix('#').and_then(|timeline| timeline.parse().ok()),
        noloadbalance: rest == "!lb",
        ..MemberRecord::replica(name.into(), Address::tcp(host, 5432))
    }
}

fn outcome_of(words: &[&str]) -> ProbeOutcome {
    let (words, system_id) = match words.split_last() {
        Some((last, rest)) if last.starts_with("sys=") => (rest, last[4..].parse().unwrap()),
        _ => (words, 7),
    };
    let role = match words {
        ["w", timeline, lsn] => {
            ProbedRole::Writable { timeline: timeline.parse().unwrap(), lsn: Lsn(lsn.parse().unwrap()) }
        }
        ["r", timeline, replayed, receiver @ ..] => ProbedRole::Standby(Standby {
            timeline: timeline.parse().ok(),
            replayed: replayed.parse().ok().map(Lsn),
            known: match receiver {
                ["archive"] => None,
                ["knows", known] => known.parse().ok().map(Lsn),
                _ => replayed.parse().ok().map(Lsn),
            },
            receiver: match receiver.first() {
                None | Some(&"knows") => Receiver::Streaming,
                Some(&"idle") => Receiver::Idle,
                Some(_) => Receiver::Gone,
            },
        }),
        ["refused"] => return ProbeOutcome::Failed(ProbeFailure::Refused),
        ["nothing"] => return ProbeOutcome::Failed(ProbeFailure::NoConnection(Duration::from_secs(1))),
        ["timeout"] => return ProbeOutcome::Failed(ProbeFailure::Timeout(Duration::from_secs(1))),
        ["starting"] => return ProbeOutcome::Failed(ProbeFailure::Starting("starting up".into())),
        ["auth"] => return ProbeOutcome::Failed(ProbeFailure::AuthFailed("no".into())),
        other => panic!("no such outcome: {other:?}"),
    };
    ProbeOutcome::Answered(ProbeReading {
        role,
        system_id,
        server_version: 150_004,
        parameters: std::sync::Arc::new(Vec::new()),
    })
}
