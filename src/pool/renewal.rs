//! Servers that take the place of others, because only a new one tells what is so now.

use std::{pin::pin, sync::Arc};

use super::{
    account::Account,
    key::PoolKey,
    lease::Refusal,
    pool::{Pool, PoolKind},
    pools::Pools,
    slots::{Event, Flavour},
};
use crate::{
    clock::Moment,
    cluster::ids::MemberName,
    sql::unsettling::{Matter, Unsettled, Whose},
};

impl Pool {
    /// Has a server with these start-up settings opened, if that can be had without taking one from anybody, and waits for
    /// the attempt to end; what it says of itself has been reported then.
    ///
    /// # Errors
    /// Such logins are refused.
    pub async fn renew(self: &Arc<Self>, worker: usize, flavour: Flavour) -> Result<(), Refusal> {
        self.refused(flavour)?;
        self.handle(self.now(), Event::Renew { worker, flavour });
        loop {
            let mut ended = pin!(self.attempts.notified());
            ended.as_mut().enable();
            if !self.state.lock().slots.is_opening(flavour) {
                return self.refused(flavour);
            }
            ended.await;
        }
    }

    /// A statement has changed what new sessions find. Servers are opened anew where what a session has is not what it was; where
    /// it is about who may log in, those that are there go on as PostgreSQL's own sessions do.
    pub fn unsettle(&self, unsettled: &Unsettled, now: Moment) {
        let cluster = &self.account.cluster;
        let are_meant = |user: &str, database: &str| match &unsettled.of {
            Whose::Server | Whose::Everybody => true,
            Whose::User(meant) => **meant == *user.as_bytes(),
            Whose::Database(meant) => **meant == *database.as_bytes(),
        };
        self.shared.report.doubt(cluster, &are_meant, now);
        if unsettled.what == Matter::Admission {
            return;
        }
        for (key, pool) in self.shared.all() {
            let is_here = unsettled.of != Whose::Server || key.member == self.member;
            if key.cluster == *cluster && is_here && are_meant(&key.user, &key.database) {
                pool.handle(now, Event::Retire(None));
            }
        }
    }

    fn refused(&self, flavour: Flavour) -> Result<(), Refusal> {
        let now = self.now();
        self.state.lock().trouble.refusal(flavour, now).map_or(Ok(()), |refusal| Err(refusal.clone()))
    }
}

impl Pools {
    /// The account for which there is a pool on one of these members already, if it is for whom this one would be: what
    /// is remembered of a user and database may be forgotten before the last of their servers is gone.
    pub fn account_like<'m>(
        &self,
        account: &Account,
        members: impl Iterator<Item = &'m MemberName>,
    ) -> Option<Arc<Account>> {
        keys(account, members).find_map(|key| {
            let pool = self.find(&key)?;
            (pool.account.login == account.login).then(|| pool.account.clone())
        })
    }

    /// Whether there is a server of this account on one of these members.
    pub fn has_servers<'m>(&self, account: &Account, members: impl Iterator<Item = &'m MemberName>) -> bool {
        let mut pools = keys(account, members).filter_map(|key| self.find(&key));
        pools.any(|pool| pool.state.lock().slots.has_any())
    }
}

/// The pools of an account on these members.
fn keys<'m>(
    account: &Account,
    members: impl Iterator<Item = &'m MemberName>,
) -> impl Iterator<Item = PoolKey> {
    let kinds = [PoolKind::Normal, PoolKind::Fallback];
    members.flat_map(move |member| kinds.map(|kind| PoolKey::of(account, member, kind)))
}
