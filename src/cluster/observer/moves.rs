//! Host names that have come to lead elsewhere: who is there is another server, and begins anew as a member.

use std::{collections::BTreeMap, sync::Arc};

use super::views::{MemberView, Members};
use crate::{clock::Moment, cluster::store::MemberRecord, net::Address};

/// How often each name has moved; only names that have.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves(BTreeMap<Arc<str>, u32>);

impl Moves {
    /// Records of the store with the addresses that their names lead to by now.
    pub(super) fn located(&self, mut records: Vec<MemberRecord>) -> Vec<MemberRecord> {
        for record in &mut records {
            record.address = self.locate(record.address.clone());
        }
        records
    }

    fn locate(&self, address: Address) -> Address {
        let moves = address.name().and_then(|name| self.0.get(name)).copied();
        match moves {
            Some(moves) => address.after(moves),
            None => address,
        }
    }

    /// Takes in that `host` has moved so often. What its members said was said by others.
    pub(super) fn relocate(&mut self, members: &mut Members, host: &Arc<str>, moves: u32, now: Moment) {
        self.0.insert(host.clone(), moves);
        for view in members.values_mut().filter(|view| view.address.name() == Some(host)) {
            let address = self.locate(view.address.clone());
            if address != view.address {
                let record =
                    view.record.take().map(|record| MemberRecord { address: address.clone(), ..record });
                *view = MemberView { gone_since: view.gone_since, ..MemberView::new(address, record, now) };
            }
        }
        // A name that no member has any more may be forgotten: should it come back, its members begin anew anyway.
        self.0.retain(|name, _| members.values().any(|view| view.address.name() == Some(name)));
    }
}
