//! The topology, put together from what was concluded.

use super::{Observer, right, views::MemberView};
use crate::{
    clock::Moment,
    cluster::{
        ids::MemberName,
        topology::{
            Mark, Marked, Member, Reads, Right, Standing, StoreStatus, Topology, Vacancy, WriteState,
        },
    },
};

impl Observer {
    /// The topology that follows.
    pub(super) fn assemble(
        &self,
        right: Right,
        write: WriteState,
        reads: Vec<(MemberName, Reads)>,
        now: Moment,
    ) -> Topology {
        let members = reads.into_iter().filter_map(|(name, reads)| {
            let view = self.members.get(&name)?;
            let member = Member {
                address: view.address.clone(),
                record: view.record.clone(),
                probe: view.last.clone(),
                suspected: view.suspected.clone(),
                standing: self.standing(&name, view),
                reads,
                within: view.reads.within(),
                rise: view.reads.rise(self.policy.reads.slow_start, now),
                latency: view.latency,
                lag: view.reads.lag(),
                parameters: view.parameters().cloned(),
                mark: self.overrides.mark(&name),
                api_url: view.api_url.clone(),
            };
            Some((name, member))
        });
        Topology {
            seq: self.topology.seq,
            at: now,
            write,
            right,
            named: self.named.clone(),
            pin: self.overrides.pin().cloned(),
            members: members.collect(),
            deposed: self.deposed.clone(),
            store: self.store.status.clone(),
            system_id: self.store.system_id,
            settings: self.store.settings.clone(),
            sync_standbys: self.store.sync_standbys.clone(),
            changes: Vec::new(),
        }
    }

    fn standing(&self, name: &MemberName, view: &MemberView) -> Standing {
        if matches!(self.overrides.mark(name), Some(Marked { mark: Mark::Down, .. })) {
            return Standing::Down;
        }
        if self.office.as_ref().is_some_and(|office| office.term.member == *name) {
            return Standing::Leading;
        }
        if self.deposed.iter().any(|deposed| deposed.term.member == *name) {
            return Standing::Deposed;
        }
        if let Some(why) = view.lost(self.policy.lost_after(), !self.is_paused()) {
            return Standing::Lost(why);
        }
        if view.gone_since.is_some() && !self.is_paused() {
            return Standing::Unusable("its record is gone from the store".to_owned());
        }
        let Some(answer) = view.answering() else {
            let why = view.failure().unwrap_or_else(|| "it has not been asked yet".to_owned());
            return Standing::Unusable(why);
        };
        if let Some(expected) = self.store.system_id.filter(|expected| *expected != answer.reading.system_id)
        {
            let has = answer.reading.system_id;
            return Standing::Lost(format!("its system identifier is {has}, the cluster's {expected}"));
        }
        let named = self.named.as_ref().is_some_and(|named| named.member == *name);
        if answer.standby().is_none() && !named {
            return Standing::Unusable("it takes writes but is not the leader".to_owned());
        }
        Standing::Following
    }
}

impl Topology {
    /// What is known before anything was learnt.
    pub fn unknown(store: StoreStatus, now: Moment) -> Self {
        let why = match store {
            StoreStatus::Absent => Vacancy::NobodyNamed("no host has been asked yet".to_owned()),
            _ => Vacancy::StoreNeverAnswered("it has just been asked".to_owned()),
        };
        Self {
            seq: 0,
            at: now,
            write: WriteState::Vacant { since: now, why },
            right: right::NONE,
            named: None,
            pin: None,
            members: std::collections::BTreeMap::new(),
            deposed: Vec::new(),
            store,
            system_id: None,
            settings: crate::cluster::store::ClusterSettings::default(),
            sync_standbys: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Whether both say the same, apart from their number, when they were built and what changed.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let Self { seq: _, at: _, changes: _, write, right, named, members, deposed, store, pin, .. } = self;
        (write, right, named, members, deposed, store, pin)
            == (
                &other.write,
                &other.right,
                &other.named,
                &other.members,
                &other.deposed,
                &other.store,
                &other.pin,
            )
            && self.system_id == other.system_id
            && self.settings == other.settings
            && self.sync_standbys == other.sync_standbys
    }
}
