//! The fold: from what was learnt to what is so. Pure: no sockets, no clock.
//!
//! [`Observer::observe`] takes in one `Fact` and concludes anew, in a fixed order, from everything reported so
//! far: who is named (`hosts` or the store's key), whether the term in force ends and whether the named one may
//! begin (`office`), up to when there is a right to write (`right`), who serves reads (`reads`, `lag`). What
//! is concluded is never patched, so that the order in which facts arrive matters only where it must.

mod assembly;
mod changes;
mod departure;
mod hosts;
mod lag;
mod measuring;
mod moves;
mod office;
mod overrides;
#[cfg(test)]
mod properties;
mod reads;
mod right;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod script;
mod views;
mod writes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use self::{
    hosts::Verdict,
    lag::Trail,
    moves::Moves,
    office::{End, Hearing, InOffice},
    overrides::Overrides,
    reads::{Judge, Leaderless},
    views::{MemberView, Members, StoreView},
};
use super::{
    fact::{Fact, FailsafeState},
    ids::{MemberName, Term},
    policy::{Authority, ObserverPolicy},
    store::Failover,
    topology::{Deposed, LastProbe, Named, Reads, Right, StoreStatus, Suspicion, Topology},
};
use crate::clock::Moment;

/// Folds facts into topologies.
#[derive(Debug)]
pub struct Observer {
    policy: ObserverPolicy,
    store: StoreView,
    /// What an operator has ordered.
    overrides: Overrides,
    /// Who is to lead: whom an operator has pinned, or else whom the store names.
    named: Option<Named>,
    /// Whose Patroni was last heard to say that it leads without the store (`failsafe_mode`), and when that was asked.
    failsafe: Option<(MemberName, Moment)>,
    members: Members,
    moves: Moves,
    /// The verdict of the hosts, where they are the authority.
    verdict: Option<Verdict>,
    office: Option<InOffice>,
    /// Leaders that were deposed and have not come back.
    deposed: Vec<Deposed>,
    /// Terms begun so far.
    epochs: u64,
    /// Where the leader was, for each lag bound.
    trails: Vec<Trail>,
    /// Since when there is no leader that takes writes; `None` while there is one.
    leaderless: Option<Leaderless>,
    topology: Arc<Topology>,
}

impl Observer {
    /// An observer that has learnt nothing yet, beginning at `now`.
    pub fn new(policy: ObserverPolicy, now: Moment) -> Self {
        let (status, members) = match &policy.authority {
            Authority::Store | Authority::Patroni => (StoreStatus::NeverAnswered(None), Members::new()),
            Authority::Hosts(hosts) => {
                let view = |address: &crate::net::Address| {
                    let name = MemberName::from(address.to_string().as_str());
                    (name, MemberView::new(address.clone(), None, now))
                };
                (StoreStatus::Absent, hosts.iter().map(view).collect())
            }
        };
        let mut observer = Self {
            store: StoreView::new(status.clone()),
            overrides: Overrides::default(),
            named: None,
            failsafe: None,
            members,
            moves: Moves::default(),
            verdict: None,
            office: None,
            deposed: Vec::new(),
            epochs: 0,
            trails: policy.reads.bounds.iter().map(|bound| Trail::new(bound.time)).collect(),
            leaderless: Some(Leaderless { since: now, served: BTreeSet::new() }),
            topology: Arc::new(Topology::unknown(status, now)),
            policy,
        };
        observer.conclude("start", now);
        observer
    }

    /// What is known now.
    pub const fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// Takes in a fact. Returns the new topology if it changed anything.
    pub fn observe(&mut self, fact: &Fact, now: Moment) -> Option<Arc<Topology>> {
        self.absorb(fact, now);
        self.conclude(&changes::describe(fact), now)
    }

    /// When, at the latest, a [`Fact::Tick`] is due, because something known runs out then.
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let fresh_for = self.policy.fresh_for();
        let answers = self.members.values().filter_map(|view| view.answer.as_ref());
        let graces = self.topology.members.values().filter_map(|member| match member.reads {
            Reads::Grace(until) => Some(until),
            Reads::Qualifies | Reads::Excluded(_) => None,
        });
        answers
            .map(|answer| answer.asked_at + fresh_for)
            .chain(graces)
            .chain([self.topology.right.deadline])
            .chain(self.store.departure.due())
            .chain(
                self.members
                    .values()
                    .filter_map(|view| view.reads.rises_at(self.policy.reads.slow_start, now)),
            )
            .chain(self.stepping_down())
            .filter(|moment| *moment > now)
            .min()
    }

    /// Takes in what was reported, without a conclusion yet.
    fn absorb(&mut self, fact: &Fact, now: Moment) {
        match fact {
            Fact::Store(event) => {
                if let Some(listed) = self.store.absorb(event, now) {
                    let listed = self.moves.located(listed);
                    views::list_members(&mut self.members, listed, now);
                }
            }
            Fact::Probed { member, address, asked_at, at, outcome } => {
                let Some(view) = self.members.get_mut(member) else { return };
                let probe = LastProbe { asked_at: *asked_at, at: *at, outcome: outcome.clone() };
                if view.absorb(probe, address) {
                    self.measure(member, now);
                }
            }
            Fact::Suspected { member, why } => {
                if let Some(view) = self.members.get_mut(member) {
                    view.suspected = Some(Suspicion { since: now, why: why.clone() });
                }
            }
            Fact::Failsafe { member, asked_at, state } => match state {
                FailsafeState::Active => self.failsafe = Some((member.clone(), *asked_at)),
                FailsafeState::Inactive => self.failsafe = None,
            },
            Fact::Ordered(command) => self.overrides.obey(command, now),
            Fact::Moved { host, moves } => self.moves.relocate(&mut self.members, host, *moves, now),
            Fact::ReadPolicy(reads) => {
                self.policy.reads.clone_from(reads);
                self.trails.resize_with(reads.bounds.len(), || Trail::new(Duration::MAX));
                for (trail, bound) in self.trails.iter_mut().zip(&reads.bounds) {
                    trail.rebound(bound.time);
                }
            }
            Fact::Tick => {}
        }
        self.store.departure.tick(now);
    }

    /// Concludes anew from everything reported.
    fn conclude(&mut self, evidence: &str, now: Moment) -> Option<Arc<Topology>> {
        let served: BTreeSet<MemberName> = self.serving().cloned().collect();
        self.decide_named(now);
        self.decide_office(now);
        self.readmit();
        self.follow_leader(&served, now);
        let (right, write) = self.decide_writes(now);
        let reads = self.decide_reads(&served, now);
        self.follow_serving(&reads, now);
        if !self.is_paused() {
            views::forget_members(&mut self.members, self.office.as_ref().map(|o| &o.term.member), now);
        }
        self.deposed.retain(|deposed| self.members.contains_key(&deposed.term.member));

        let next = self.assemble(right, write, reads, now);
        if next.same_as(&self.topology) {
            return None;
        }
        let changes = changes::between(&self.topology, &next, evidence);
        self.topology = Arc::new(Topology { seq: self.topology.seq + 1, changes, ..next });
        Some(Arc::clone(&self.topology))
    }

    /// Without a store, the hosts' answers name the leader; an operator's word goes before all.
    fn decide_named(&mut self, now: Moment) {
        if let Authority::Hosts(_) = self.policy.authority {
            let term = self.office.as_ref().map(|office| &office.term);
            let verdict = hosts::elect(&self.members, &self.policy, self.store.named.as_ref(), term, now);
            self.store.named = match &verdict {
                Verdict::Named(named) => Some(named.clone()),
                Verdict::Nobody(_) | Verdict::Refused(_) => None,
            };
            self.store.system_id = hosts::system_id(&self.members);
            self.verdict = Some(verdict);
        }
        self.named = self.overrides.pin().cloned().or_else(|| self.store.named.clone());
    }

    /// Ends the term in force if it is over, and begins the next if it may begin.
    fn decide_office(&mut self, now: Moment) {
        let (right, _) = self.right(now);
        if let Some(office) = self.office.take() {
            match self.hearing(now).end(&office, right.deadline) {
                None => self.office = Some(office),
                Some(End::Deposed(reason)) => {
                    self.deposed.retain(|deposed| deposed.term.member != office.term.member);
                    let InOffice { term, address } = office;
                    self.deposed.push(Deposed { term, address, at: now, reason });
                }
                Some(End::Renewed(_)) => {}
            }
        }
        let Some(named) = self.named.as_ref().filter(|_| self.office.is_none()) else { return };
        if let Ok((timeline, address)) = self.hearing(now).gate(named, &self.deposed) {
            self.epochs += 1;
            let term = Term { member: named.member.clone(), timeline, epoch: self.epochs };
            self.deposed.retain(|deposed| deposed.term.member != term.member);
            self.office = Some(InOffice { term, address });
            self.members.values_mut().for_each(|view| view.reads.new_term());
        }
    }

    /// A deposed leader that has answered as a replica since is one.
    fn readmit(&mut self) {
        let (members, system_id) = (&self.members, self.store.system_id);
        self.deposed.retain(|deposed| {
            let answer = members.get(&deposed.term.member).and_then(MemberView::answering);
            let back = answer.is_some_and(|answer| {
                answer.asked_at > deposed.at
                    && answer.standby().is_some()
                    && system_id == Some(answer.reading.system_id)
            });
            !back
        });
    }

    /// Notes where the leader is, or since when there is none.
    fn follow_leader(&mut self, served: &BTreeSet<MemberName>, now: Moment) {
        let sample =
            self.leader_at_work(now).map(|(term, asked_at)| (term.epoch, asked_at, term.member.clone()));
        let Some((epoch, asked_at, member)) = sample else {
            let served = || Leaderless { since: now, served: served.clone() };
            self.leaderless.get_or_insert_with(served);
            return;
        };
        self.leaderless = None;
        let lsn = self.members.get(&member).and_then(|view| view.answer.as_ref()?.writable());
        if let Some((_, lsn)) = lsn {
            self.sample(epoch, lsn, asked_at);
        }
    }

    /// The term whose leader has freshly answered that it takes writes, and when that was asked for.
    fn leader_at_work(&self, now: Moment) -> Option<(&Term, Moment)> {
        let term = &self.office.as_ref()?.term;
        let answer = self.members.get(&term.member)?.answering()?;
        let at_work = answer.is_fresh(self.policy.fresh_for(), now) && answer.writable().is_some();
        at_work.then_some((term, answer.asked_at))
    }

    fn right(&self, now: Moment) -> (Right, String) {
        let refused = match &self.verdict {
            _ if self.overrides.pin().is_some() => None,
            Some(Verdict::Refused(why)) => Some(why.as_str()),
            _ => None,
        };
        match &self.office {
            Some(office) => self.grounds(now).judge(&office.term, refused),
            None => (right::NONE, String::new()),
        }
    }

    const fn grounds(&self, now: Moment) -> right::Grounds<'_> {
        right::Grounds {
            policy: &self.policy,
            store: &self.store,
            members: &self.members,
            overrides: &self.overrides,
            failsafe: self.failsafe.as_ref(),
            now,
        }
    }

    /// Patroni does not act by itself.
    pub(super) fn is_paused(&self) -> bool {
        self.store.settings.failover == Failover::Paused
    }

    /// Until when new writes wait for the leader in office to step down.
    fn stepping_down(&self) -> Option<Moment> {
        let leader = &self.office.as_ref()?.term.member;
        let planned = self.store.departure.holds(leader, self.policy.switchover_hold_max);
        planned.max(self.overrides.hold_until(leader))
    }

    const fn hearing(&self, now: Moment) -> Hearing<'_> {
        Hearing {
            policy: &self.policy,
            named: self.named.as_ref(),
            store: &self.store,
            members: &self.members,
            overrides: &self.overrides,
            system_id: self.store.system_id,
            now,
        }
    }

    /// Who serves reads by the newest topology.
    fn serving(&self) -> impl Iterator<Item = &MemberName> {
        self.topology.members.iter().filter(|(_, member)| member.reads.serves()).map(|(name, _)| name)
    }

    /// Notes since when each has served, and whether it has joined others.
    fn follow_serving(&mut self, reads: &[(MemberName, Reads)], now: Moment) {
        let slow_start = self.policy.reads.slow_start;
        let others = self.members.values().any(|view| view.reads.has_served_for(slow_start, now));
        for (name, reads) in reads {
            match self.members.get_mut(name) {
                Some(view) if reads.serves() => view.reads.serves(others, now),
                Some(view) => view.reads.serves_none(),
                None => {}
            }
        }
    }

    fn decide_reads(&self, served: &BTreeSet<MemberName>, now: Moment) -> Vec<(MemberName, Reads)> {
        let nobody = Leaderless { since: now, served: BTreeSet::new() };
        let judge = Judge {
            policy: &self.policy,
            now,
            leader: self.leader_at_work(now).ok_or(self.leaderless.as_ref().unwrap_or(&nobody)),
            named: self.named.as_ref().map(|named| &named.member),
            overrides: &self.overrides,
            failover: self.store.settings.failover,
            kind: self.store.settings.kind,
            reference_asked_at: self.standby_leader(now).map(|(_, asked_at)| asked_at),
            system_id: self.store.system_id,
            deposed: &|name| self.deposed.iter().any(|deposed| deposed.term.member == *name),
            served: &|name| served.contains(name),
        };
        judge.all(&self.members)
    }
}
