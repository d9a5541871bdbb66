//! `temp_buffers`, which PostgreSQL refuses to change in a session that has had temporary tables (22023).
//!
//! Whose tables those were nobody could tell who is lent the server afterwards. So where clients of a user and database set
//! it, a server that has had such tables is closed instead of lent.

use std::sync::atomic::Ordering;

use super::{routes::Tenant, session::Session};
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
    /// Whether a server has had temporary tables, and its client sets it for the first time: that one is not for it.
    #[inline]
    pub(super) fn finds_it_fixed(&self, lease: &mut Lease, bytes: &[u8]) -> bool {
        let had = lease.server().is_some_and(|server| server.conn.temporary == Temporary::Perhaps);
        let fixed = had && are_in(bytes);
        if fixed {
            self.tenant.account.sets_temp_buffers.store(true, Ordering::Relaxed);
        }
        fixed
    }
}
