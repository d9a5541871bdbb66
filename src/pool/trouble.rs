//! What keeps a pool from opening servers, and for how long.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{account::Account, lease::Refusal, pools::Pools, slots::Flavour};
use crate::{auth::secrets::Credential, clock::Moment, wire::error::PgError};

/// The first pause after an attempt that failed in a way that passes; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// What keeps servers from being opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    /// Attempts failed in a way that passes; how many in a row, and the last one's error.
    passing: Option<(u32, Refusal)>,
    /// The servers refuse this user or database, or these start-up settings: until when nobody asks again. One for
    /// each, so that what one client asks for is no other's trouble.
    refused: SmallVec<[(Flavour, Refusal, Moment); 1]>,
}

impl Trouble {
    /// An attempt failed in a way that passes; how long to wait for the next.
    pub(super) fn fails(&mut self, refusal: Refusal) -> Duration {
        let failures = self.passing.as_ref().map_or(0, |(failures, _)| failures.saturating_add(1));
        self.passing = Some((failures, refusal));
        RETRY_FIRST.saturating_mul(1 << failures.min(10)).min(RETRY_LAST)
    }

    /// A login with these start-up settings was refused.
    pub(super) fn is_refused(&mut self, flavour: Flavour, refusal: Refusal, until: Moment, now: Moment) {
        self.refused.retain(|(refused, _, until)| *refused != flavour && now < *until);
        self.refused.push((flavour, refusal, until));
    }

    /// One with these start-up settings succeeded.
    pub(super) fn ends(&mut self, flavour: Flavour) {
        self.passing = None;
        self.refused.retain(|(refused, ..)| *refused != flavour);
    }

    /// Whether logins with these start-up settings are refused.
    pub(super) fn refusal(&self, flavour: Flavour, now: Moment) -> Option<&Refusal> {
        let refused = self.refused.iter().find(|(refused, _, until)| *refused == flavour && now < *until);
        refused.map(|(_, refusal, _)| refusal)
    }

    /// The last one's error.
    pub(super) fn last(&self) -> Option<Arc<PgError>> {
        let passing = self.passing.iter().map(|(_, refusal)| refusal);
        passing.chain(self.refused.iter().rev().map(|(_, refusal, _)| refusal)).find_map(|refusal| {
            match refusal {
                Refusal::Error(error) => Some(error.clone()),
                Refusal::Rerouted => None,
            }
        })
    }
}

impl Pools {
    /// This logs in to servers for the account from now on. Where it is not what was used before, logins that were
    /// refused are tried again at once.
    pub fn set_credential(&self, account: &Arc<Account>, credential: Credential) {
        if account.credential.load().as_deref() == Some(&credential) {
            return;
        }
        account.credential.store(Some(Arc::new(credential)));
        let now = self.clock().now();
        for (_, pool) in self.all() {
            if Arc::ptr_eq(&pool.account, account) {
                pool.forgive(now);
            }
        }
    }
}
