//! What ties a session to the pools: where a server it waits for is handed over, and where it is told that the one
//! it has was cut off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use super::lease::{Refusal, Server};

/// Why a lease was cut off, for the client's error, the log and the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// A sentence.
    pub reason: Arc<str>,
}

/// What comes to a waiting session.
pub(super) enum Mail {
    /// A server, and the lease's number.
    Granted(Box<Server>, u64),
    /// An error.
    Refused(Refusal),
}

/// A session's end of the line. All of a session's wake-ups go through it.
#[derive(Default)]
pub struct Tether {
    waker: AtomicWaker,
    mail: Mutex<Option<Mail>>,
    /// Number of the lease that was revoked last; 0: none.
    revoked: AtomicU64,
    reason: Mutex<Option<Revoked>>,
}

impl std::fmt::Debug for Tether {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tether").field("revoked", &self.revoked).finish_non_exhaustive()
    }
}

impl Tether {
    /// The session is to be woken by `cx` from now on.
    #[inline]
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Wakes the session.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether the lease of this number was revoked.
    #[inline]
    pub fn is_revoked(&self, lease: u64) -> bool {
        self.revoked.load(Ordering::Acquire) == lease
    }

    /// Why the last lease was revoked.
    pub fn revocation(&self) -> Revoked {
        let reason = self.reason.lock().clone();
        reason.unwrap_or_else(|| Revoked { reason: "the server may not be used any more".into() })
    }

    pub(super) fn revoke(&self, lease: u64, why: &Revoked) {
        *self.reason.lock() = Some(why.clone());
        self.revoked.store(lease, Ordering::Release);
        self.wake();
    }

    pub(super) fn deliver(&self, mail: Mail) {
        *self.mail.lock() = Some(mail);
        self.wake();
    }

    pub(super) fn take_mail(&self) -> Option<Mail> {
        self.mail.lock().take()
    }

    pub(super) fn poll_mail(&self, cx: &Context<'_>) -> Poll<Mail> {
        self.register(cx);
        match self.take_mail() {
            Some(mail) => Poll::Ready(mail),
            None => Poll::Pending,
        }
    }
}
