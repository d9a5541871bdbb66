//! `temp_buffers`, which PostgreSQL refuses to change in a session that has had temporary tables (22023).
//!
//! Whose tables those were nobody could tell who is lent the server afterwards. So where clients of a user and database set
//! it, a server that has had such tables is closed instead of lent.

use std::sync::atomic::Ordering;

use super::{acquire::Granted, routes::Tenant, session::Session};
use crate::{
    clock::Moment,
    pool::lease::{Finish, Lease},
    server::conn::{Hygiene, ServerConn, Temporary},
};

/// The setting.
pub(super) const TEMP_BUFFERS: &[u8] = b"temp_buffers";

/// Whether it is named in what a client sends.
pub(super) fn are_in(bytes: &[u8]) -> bool {
    bytes.windows(TEMP_BUFFERS.len()).any(|name| name.eq_ignore_ascii_case(TEMP_BUFFERS))
}

/// Whether clients set it, and this server would refuse that for others' tables.
#[inline]
pub(super) fn are_fixed(conn: &ServerConn, tenant: &Tenant) -> bool {
    conn.temporary == Temporary::Perhaps && tenant.account.sets_temp_buffers.load(Ordering::Relaxed)
}

/// Nobody else gets this server.
pub(super) fn retire(mut lease: Lease, now: Moment) {
    if let Some(server) = lease.server() {
        server.conn.hygiene = Hygiene::Spoilt;
    }
    lease.finish(Finish::Settled, now);
}

impl Session {
    /// A server that has had temporary tables, for a client that sets it for the first time: that one is not for it. `None`:
    /// it was retired.
    #[inline]
    pub(super) fn unless_fixed(&self, mut granted: Granted, bytes: &[u8], now: Moment) -> Option<Granted> {
        let had = granted.lease.server().is_some_and(|server| server.conn.temporary == Temporary::Perhaps);
        if !had || !are_in(bytes) {
            return Some(granted);
        }
        self.tenant.account.sets_temp_buffers.store(true, Ordering::Relaxed);
        retire(granted.lease, now);
        None
    }
}
