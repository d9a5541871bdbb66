//! What holds whatever is reported, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Observer,
    script::{hosts, ms, policy},
};
use crate::{
    clock::Moment,
    cluster::{
        fact::{Fact, ProbeFailure, ProbeOutcome, ProbeReading, ProbedRole, Receiver, Standby},
        ids::{Lsn, MemberName, Timeline},
        policy::Authority,
        store::{ClusterSettings, LeaderKey, MemberRecord, StoreEvent, StoreSnapshot},
        topology::{Reads, RightSource, Standing, Topology, WriteState},
    },
    net::Address,
};

/// What happens, and how long after what happened before, in milliseconds.
#[derive(Clone, Debug)]
struct Step {
    after: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Key { holder: Option<usize>, elected_at: u64, ttl: Option<u64>, listed: usize },
    Lost,
    Nothing,
    Probe { member: usize, asked_before: u64, outcome: Outcome, system_id: u64 },
    Suspect(usize),
    Tick,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Writable(Timeline),
    Standby(Timeline, Receiver),
    Refused,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        3 => (1u32..4).prop_map(Outcome::Writable),
        3 => (1u32..4).prop_map(|t| Outcome::Standby(t, Receiver::Streaming)),
        1 => (1u32..4).prop_map(|t| Outcome::Standby(t, Receiver::Gone)),
        1 => Just(Outcome::Refused),
    ];
    let system_id = prop_oneof![12 => Just(7u64), 1 => Just(8)];
    let what = prop_oneof![
        4 => (prop::option::weighted(0.85, 0usize..3), 1u64..4, prop::option::of(1u64..4000), 2usize..4)
            .prop_map(|(holder, elected_at, ttl, listed)| What::Key { holder, elected_at, ttl, listed }),
        1 => Just(What::Lost),
        1 => Just(What::Nothing),
        12 => (0usize..3, 0u64..300, outcome, system_id).prop_map(|(member, asked_before, outcome, system_id)| {
            What::Probe { member, asked_before, outcome, system_id }
        }),
        1 => (0usize..3).prop_map(What::Suspect),
        2 => Just(What::Tick),
    ];
    let after = prop_oneof![6 => 0u64..20, 3 => 0u64..700, 1 => 0u64..4000];
    prop::collection::vec((after, what).prop_map(|(after, what)| Step { after, what }), 1..120)
}

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// An observer under test, with what a careful witness remembers.
struct Witness {
    observer: Observer,
    by_hosts: bool,
    now: Moment,
    revision: u64,
    /// When each naming was first seen: member and revision of the key as last read, since when.
    named: Option<(MemberName, u64, Moment)>,
    /// The newest answers that said they take writes: when they were asked for, by member and timeline.
    writable: BTreeMap<(MemberName, Timeline), Moment>,
    /// The furthest right that a lease query gave each member, and the newest question put to anybody.
    leases: BTreeMap<MemberName, Moment>,
    newest_question: Moment,
    epochs: BTreeSet<u64>,
}

impl Witness {
    fn new(authority: Authority) -> Self {
        let by_hosts = authority != Authority::Store;
        Self {
            observer: Observer::new(policy(authority), ms(0)),
            by_hosts,
            now: ms(0),
            revision: 0,
            named: None,
            writable: BTreeMap::new(),
            leases: BTreeMap::new(),
            newest_question: Moment::ZERO,
            epochs: BTreeSet::new(),
        }
    }

    fn name(&self, member: usize) -> MemberName {
        let name = NAMES[member];
        if self.by_hosts { format!("{name}:5432").as_str().into() } else { name.into() }
    }

    fn fact(&mut self, what: &What) -> Fact {
        match what {
            What::Key { .. } if self.by_hosts => Fact::Tick,
            What::Key { holder, elected_at, ttl, listed } => {
                let right_until = ttl.map(|ttl| self.now + std::time::Duration::from_millis(ttl));
                self.remember_key(*holder, *elected_at, right_until);
                self.revision += 1;
                Fact::Store(StoreEvent::Read(self.snapshot(*holder, *elected_at, right_until, *listed)))
            }
            What::Lost if !self.by_hosts => Fact::Store(StoreEvent::Lost { reason: "?".into() }),
            What::Nothing if !self.by_hosts => {
                self.named = None;
                Fact::Store(StoreEvent::Nothing { found: "?".into() })
            }
            What::Lost | What::Nothing | What::Tick => Fact::Tick,
            What::Suspect(member) => Fact::Suspected { member: self.name(*member), why: "?".into() },
            What::Probe { member, asked_before, outcome, system_id } => {
                let nanos = self.now.nanos().saturating_sub(asked_before * 1_000_000);
                let asked_at = Moment::from_nanos(nanos);
                let name = self.name(*member);
                // Hosts may agree on either system identifier, a store names one.
                if let (Outcome::Writable(timeline), true) = (outcome, self.by_hosts || *system_id == 7) {
                    let newest = self.writable.entry((name.clone(), *timeline)).or_default();
                    *newest = asked_at.max(*newest);
                }
                self.newest_question = self.newest_question.max(asked_at);
                Fact::Probed {
                    member: name,
                    address: Address::tcp(NAMES[*member], 5432),
                    asked_at,
                    at: self.now,
                    outcome: outcome_of(*outcome, *system_id),
                }
            }
        }
    }

    fn remember_key(&mut self, holder: Option<usize>, elected_at: u64, right_until: Option<Moment>) {
        let Some(name) = holder.map(|holder| self.name(holder)) else {
            self.named = None;
            return;
        };
        let same =
            |(member, revision, _): &(MemberName, u64, Moment)| *member == name && *revision == elected_at;
        if !self.named.as_ref().is_some_and(same) {
            self.named = Some((name.clone(), elected_at, self.now));
        }
        if let Some(until) = right_until {
            let furthest = self.leases.entry(name).or_default();
            *furthest = until.max(*furthest);
        }
    }

    fn snapshot(
        &self,
        holder: Option<usize>,
        elected_at: u64,
        right_until: Option<Moment>,
        listed: usize,
    ) -> StoreSnapshot {
        let record = |name: &&str| MemberRecord::replica((*name).into(), Address::tcp(name, 5432));
        StoreSnapshot {
            asked_at: self.now,
            revision: self.revision,
            system_id: Some(7),
            leader: holder.map(|holder| LeaderKey { member: self.name(holder), elected_at, right_until }),
            members: NAMES[..listed].iter().map(record).collect(),
            settings: ClusterSettings::default(),
            sync_standbys: Vec::new(),
            history: Vec::new(),
            switchover: None,
        }
    }

    fn step(&mut self, step: &Step) {
        self.now = self.now + std::time::Duration::from_millis(step.after);
        let fact = self.fact(&step.what);
        let before = std::sync::Arc::clone(self.observer.topology());
        let published = self.observer.observe(&fact, self.now);
        let topology = std::sync::Arc::clone(self.observer.topology());
        match published {
            Some(new) => assert!(new.seq == before.seq + 1 && new.seq == topology.seq),
            None => assert_eq!(before.seq, topology.seq),
        }
        self.check_term(&before, &topology);
        self.check_open(&topology);
        self.check_right(&before, &topology);
        check_members(&topology);
    }

    fn check_term(&mut self, before: &Topology, topology: &Topology) {
        let Some(term) = topology.term() else { return };
        if before.term() == Some(term) {
            return;
        }
        assert!(self.epochs.iter().all(|epoch| *epoch < term.epoch), "epochs only grow: {term:?}");
        self.epochs.insert(term.epoch);
        let asked_at = self.writable.get(&(term.member.clone(), term.timeline));
        assert!(asked_at.is_some(), "a term of a member that never said it takes writes: {term:?}");
        if !self.by_hosts {
            let (named, _, since) = self.named.as_ref().expect("a term needs a naming");
            assert_eq!(named, &term.member);
            assert!(asked_at >= Some(since), "the gate was asked before the trigger was seen");
        }
        if let Some(old) = before.term() {
            let deposed = topology.deposed.iter().any(|d| d.term == *old);
            assert!(old.member == term.member || deposed, "{old:?} ended for {term:?} without being deposed");
        }
    }

    fn check_open(&self, topology: &Topology) {
        let WriteState::Open(term) = &topology.write else { return };
        assert!(topology.right.deadline > self.now, "open without a right: {topology:#?}");
        let member = &topology.members[&term.member];
        assert!(member.suspected.is_none() && member.standing == Standing::Leading);
        assert_eq!(topology.named.as_ref().map(|named| &named.member), Some(&term.member));
        if let Some((named, _, since)) = self.named.as_ref().filter(|_| !self.by_hosts) {
            assert_eq!(named, &term.member);
            let asked_at = self.writable.get(&(term.member.clone(), term.timeline));
            assert!(asked_at >= Some(since), "not asked since it was named: {topology:#?}");
        }
    }

    fn check_right(&self, before: &Topology, topology: &Topology) {
        let right = topology.right;
        let Some(term) = topology.term() else {
            assert_eq!(right.deadline, Moment::ZERO, "a right without a term");
            return;
        };
        let lease = self.leases.get(&term.member).copied().unwrap_or_default();
        let fresh_for = policy(Authority::Store).fresh_for();
        match right.source {
            RightSource::None => assert!(right.deadline <= self.now),
            RightSource::Lease => assert!(right.deadline <= lease, "more than any lease query gave"),
            RightSource::Probes | RightSource::Failsafe | RightSource::Pin => {
                assert!(right.deadline <= self.newest_question + fresh_for);
            }
        }
        // Under one term a lease's deadline is never taken back before it is over.
        let same_term = before.term() == Some(term) && before.right.source == RightSource::Lease;
        if same_term && before.right.deadline > self.now {
            assert!(right.deadline >= before.right.deadline, "{:?} became {right:?}", before.right);
        }
    }
}

fn check_members(topology: &Topology) {
    for (name, member) in &topology.members {
        let deposed = topology.deposed.iter().any(|d| d.term.member == *name);
        assert_eq!(member.standing == Standing::Deposed, deposed);
        let leads = topology.term().is_some_and(|term| term.member == *name);
        assert_eq!(member.standing == Standing::Leading, leads);
        if member.reads.serves() {
            assert!(!leads && !deposed, "{name} serves reads");
            assert!(topology.named.as_ref().is_none_or(|named| named.member != *name));
        }
        if let (Reads::Qualifies, Some(lag)) = (&member.reads, member.lag) {
            let limits = policy(Authority::Store).reads;
            assert!(lag.bytes <= limits.bounds[0].bytes && lag.time <= limits.bounds[0].time);
        }
    }
    let leading = topology.members.values().filter(|member| member.standing == Standing::Leading);
    assert!(leading.count() <= 1);
}

fn outcome_of(outcome: Outcome, system_id: u64) -> ProbeOutcome {
    let role = match outcome {
        Outcome::Refused => return ProbeOutcome::Failed(ProbeFailure::Refused),
        Outcome::Writable(timeline) => ProbedRole::Writable { timeline, lsn: Lsn(1000) },
        Outcome::Standby(timeline, receiver) => ProbedRole::Standby(Standby {
            timeline: Some(timeline),
            replayed: Some(Lsn(1000)),
            known: None,
            receiver,
        }),
    };
    let parameters = std::sync::Arc::new(Vec::new());
    ProbeOutcome::Answered(ProbeReading { role, system_id, server_version: 150_000, parameters })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_store_and_its_members_say(steps in steps()) {
        let mut witness = Witness::new(Authority::Store);
        steps.iter().for_each(|step| witness.step(step));
    }

    #[test]
    fn whatever_hosts_say(steps in steps()) {
        let mut witness = Witness::new(hosts(&NAMES));
        steps.iter().for_each(|step| witness.step(step));
    }
}
