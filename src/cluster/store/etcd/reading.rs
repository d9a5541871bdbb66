//! Reading a cluster's keys and the leader's lease, so that a right to write may follow from it.

use std::{collections::BTreeSet, time::Duration};

use etcd_client::{Client, GetOptions, KeyValue};

use super::{in_time, unsigned};
use crate::{
    clock::{Clock, Moment},
    cluster::store::keys::{Entry, Keys},
};

/// How often a reading is begun anew because the leader's lease changed under it.
const ATTEMPTS: usize = 3;
/// Most keys looked at to say which scopes there are.
const SCOPES_LIMIT: i64 = 1000;

/// Reads through one client.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) prefix: String,
    pub(super) clock: Clock,
}

/// A linearizable reading.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) asked_at: Moment,
    pub(super) revision: u64,
    pub(super) keys: Keys,
    pub(super) right_until: Option<Moment>,
}

impl Reader {
    /// Reads everything, with the right to write that follows.
    ///
    /// `lease` is where the leader key is believed to hang. The order of the two questions is what makes it safe:
    ///
    /// 1. At `asked` the lease's remaining time is asked for. The answer says that at some moment after `asked` the
    ///    lease had `ttl` left, so unless it is revoked it lives until `asked + ttl` at least.
    /// 2. After that answer all keys are read, linearizably. If the leader key then hangs on this very lease, it has
    ///    since the last time it was written, and it cannot expire before the lease does: nobody else can take it
    ///    before `asked + ttl`, unless its holder gives it up, which Patroni does only after its PostgreSQL has
    ///    stopped taking writes, and which the watch reports.
    ///
    /// The other way round, the key could pass to another member between the questions, and the lease of the old
    /// holder, still alive, would give a right that nobody has.
    ///
    /// If the key turns out to hang on another lease, that one is asked, and the keys are read again.
    pub(super) async fn read(&self, mut lease: Option<i64>) -> Result<Reading, String> {
        let first_asked = self.clock.now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let asked = self.clock.now();
            let ttl = match lease {
                Some(id) => self.time_to_live(id).await?,
                None => None,
            };
            let (keys, revision) = self.range().await?;
            let on = keys.leader().map(|entry| entry.lease).filter(|lease| *lease != 0);
            let settled = on.is_none() || on == lease;
            if settled || attempt == ATTEMPTS {
                let right_until = ttl.filter(|_| settled && on.is_some()).map(|ttl| asked + ttl);
                return Ok(Reading { asked_at: first_asked, revision, keys, right_until });
            }
            lease = on;
        }
    }

    /// What is left of a lease, rounded down to seconds by etcd; `None` if it is gone.
    async fn time_to_live(&self, id: i64) -> Result<Option<Duration>, String> {
        let mut leases = self.client.lease_client();
        let answer = in_time(leases.time_to_live(id, None)).await?;
        Ok(u64::try_from(answer.ttl()).ok().filter(|ttl| *ttl > 0).map(Duration::from_secs))
    }

    async fn range(&self) -> Result<(Keys, u64), String> {
        let mut kv = self.client.kv_client();
        let answer = in_time(kv.get(self.prefix.as_str(), Some(GetOptions::new().with_prefix()))).await?;
        let revision = answer.header().map_or(0, |header| unsigned(header.revision()));
        let entries = answer.kvs().iter().filter_map(|kv| Some((name(&self.prefix, kv)?, entry(kv))));
        Ok((Keys(entries.collect()), revision))
    }
}

/// The scopes that stand under a namespace, as far as its first keys tell.
pub(super) async fn list_scopes(reader: &Reader, namespace: &str) -> Result<BTreeSet<String>, String> {
    let mut kv = reader.client.kv_client();
    let options = GetOptions::new().with_prefix().with_keys_only().with_limit(SCOPES_LIMIT);
    let answer = in_time(kv.get(namespace, Some(options))).await?;
    let scope = |kv: &KeyValue| {
        let key = String::from_utf8_lossy(kv.key());
        let (scope, _) = key.strip_prefix(namespace)?.split_once('/')?;
        Some(scope.to_owned())
    };
    Ok(answer.kvs().iter().filter_map(scope).collect())
}

/// A key without the prefix.
pub(super) fn name(prefix: &str, kv: &KeyValue) -> Option<String> {
    std::str::from_utf8(kv.key()).ok()?.strip_prefix(prefix).map(str::to_owned)
}

/// A key's value.
pub(super) fn entry(kv: &KeyValue) -> Entry {
    Entry {
        value: String::from_utf8_lossy(kv.value()).into_owned(),
        revision: unsigned(kv.mod_revision()),
        lease: kv.lease(),
    }
}
