//! What a topology asks for: whom to ask urgently, and whether the store shall hurry. Derived anew from each
//! topology; nobody keeps flags.

use std::collections::BTreeMap;

use super::{
    ids::MemberName,
    policy::Authority,
    probe::Pace,
    rest::Confirmer,
    topology::{Hold, StoreStatus, Topology, Vacancy, WriteState},
};
use crate::clock::Moment;

/// What a topology asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    urgent: BTreeMap<MemberName, Moment>,
    /// When the newest doubt arose that the store could answer; each new one is a reason to re-read it at once.
    pub doubt: Option<Moment>,
    /// Whose Patroni to ask whether it leads without the store.
    pub confirm: Option<Confirmer>,
}

impl Orders {
    /// What `topology` asks for.
    pub fn derive(topology: &Topology, authority: &Authority) -> Self {
        let mut orders = Self::default();
        for (name, member) in &topology.members {
            if let Some(suspicion) = &member.suspected {
                orders.ask(name, suspicion.since);
            }
        }
        let everybody = matches!(authority, Authority::Hosts(_));
        match &topology.write {
            WriteState::Open(_) => {}
            WriteState::Held { term, since, why } => {
                orders.doubt = Some(*since);
                match why {
                    Hold::Suspected(_) | Hold::Silent(_) | Hold::Renamed | Hold::KeyAbsent => {
                        orders.ask(&term.member, *since);
                    }
                    Hold::Contradicted { by, .. } => {
                        orders.ask(&term.member, *since);
                        orders.ask(by, *since);
                    }
                    // Only time, the store, or the members at their steady pace can answer these.
                    Hold::NoRight(_) | Hold::Marked(_) | Hold::SteppingDown | Hold::Undecided(_) => {}
                }
            }
            WriteState::Vacant { since, why } => {
                orders.doubt = Some(*since);
                if let Vacancy::NotWritable { member, .. } = why {
                    orders.ask(member, *since);
                }
            }
        }
        orders.confirm = confirmer(topology);
        // Without a store no watch says when somebody was promoted: all are asked until somebody leads.
        if let (true, Some(since)) = (everybody, orders.doubt) {
            topology.members.keys().for_each(|name| orders.ask(name, since));
        }
        orders
    }

    /// How often to ask a member.
    pub fn pace(&self, member: &MemberName) -> Pace {
        self.urgent.get(member).map_or(Pace::Steady, |since| Pace::Urgent { since: *since })
    }

    fn ask(&mut self, member: &MemberName, since: Moment) {
        let newest = self.urgent.entry(member.clone()).or_insert(since);
        *newest = since.max(*newest);
    }
}

/// In failsafe mode a leader may lead without its key, or without the store.
fn confirmer(topology: &Topology) -> Option<Confirmer> {
    let without_key = topology.named.is_none() || matches!(topology.store, StoreStatus::Lost { .. });
    if !(topology.settings.failsafe_mode && without_key) {
        return None;
    }
    let term = topology.term()?;
    let api_url = topology.members.get(&term.member)?.api_url.clone()?;
    Some(Confirmer { member: term.member.clone(), api_url })
}
