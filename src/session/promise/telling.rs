//! How a server is told a client's token, so that it can answer for it.

use super::{Office, Promise};
use crate::route::router::Router;

/// What makes the setting `pgsteer.token` what it should be on a server of this term (0: on a replica).
///
/// A leader is asked for the position of the log then and there: that bounds whatever was committed before, also by what was
/// sent a moment ago. A replica tells what the client must see, which is all it may have committed.
pub fn token_sql(promise: Option<&Promise>, router: &Router, term: u64) -> Option<String> {
    if term == 0 {
        let token = promise?.furthest().map(|token| token.to_string()).unwrap_or_default();
        return Some(format!("SET pgsteer.token = '{token}'"));
    }
    let Office { timeline, .. } = Office::of(router).filter(|office| office.epoch == term)?;
    let system_id = router.headway().system_id()?;
    // No search path of the client's may come in between.
    Some(format!(
        "DO $pgsteer$BEGIN PERFORM pg_catalog.set_config('pgsteer.token',\
         pg_catalog.concat('{system_id}/{timeline}/',pg_catalog.pg_current_wal_insert_lsn()),false);END$pgsteer$"
    ))
}
