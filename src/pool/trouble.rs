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

    /// What keeps those from getting a server who need these start-up settings.
    pub(super) fn last(&self, flavour: Flavour) -> Option<Arc<PgError>> {
        let passing = self.passing.iter().map(|(_, refusal)| refusal);
        let refused = self.refused.iter().filter(|(refused, ..)| *refused == flavour);
        passing.chain(refused.map(|(_, refusal, _)| refusal)).find_map(|refusal| match refusal {
            Refusal::Error(error) => Some(error.clone()),
            Refusal::Rerouted => None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::SqlState;

    #[test]
    fn what_one_client_asks_for_is_no_others_trouble() {
        let refusal = |code| Refusal::Error(Arc::new(PgError::error(code, "no")));
        let mut trouble = Trouble::default();
        let check = |trouble: &Trouble, flavour, expected: Option<SqlState>| {
            assert_eq!(trouble.last(flavour).map(|error| error.code), expected, "{flavour}");
        };
        let (now, until) = (Moment::ZERO, Moment::ZERO + RETRY_LAST);
        trouble.is_refused(7, refusal(SqlState::UNDEFINED_OBJECT), until, now);
        check(&trouble, 7, Some(SqlState::UNDEFINED_OBJECT));
        check(&trouble, 0, None);
        trouble.fails(refusal(SqlState::TOO_MANY_CONNECTIONS));
        check(&trouble, 0, Some(SqlState::TOO_MANY_CONNECTIONS));
        trouble.ends(0);
        check(&trouble, 0, None);
        check(&trouble, 7, Some(SqlState::UNDEFINED_OBJECT));
    }
}
