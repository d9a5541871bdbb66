//! Where a client's notifications wait until it can be told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use crate::{
    pool::tether::Tether,
    wire::{
        error::{PgError, SqlState},
        frame::{put, put_cstr},
    },
};

/// Bytes of notifications that may wait for any client, whatever waits for others.
const SURE_BYTES: usize = 256 * 1024;

/// Bytes that all clients together may have waiting beyond what each is sure of.
const SHARED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What all clients together have waiting beyond what each is sure of, in bytes.
#[derive(Debug)]
pub(super) struct Shared {
    bytes: AtomicUsize,
    max: usize,
}

impl Default for Shared {
    fn default() -> Self {
        Self { bytes: AtomicUsize::new(0), max: SHARED_BYTES_MAX }
    }
}

impl Shared {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.max
    }

    /// A box holds more, or less, than before.
    fn account(&self, before: usize, now: usize) {
        let (before, now) = (before.saturating_sub(SURE_BYTES), now.saturating_sub(SURE_BYTES));
        if now > before {
            self.bytes.fetch_add(now - before, Ordering::Relaxed);
        } else if before > now {
            self.bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

/// A client's notifications.
pub struct Mailbox {
    tether: Arc<Tether>,
    /// Bytes that may wait; one message more at most.
    bytes_max: usize,
    shared: Arc<Shared>,
    mail: Mutex<Mail>,
    /// Whether all that is waited for has come.
    is_abreast: AtomicBool,
}

#[derive(Default)]
struct Mail {
    /// Whole messages.
    messages: Vec<u8>,
    fate: Fate,
}

/// Whether all that came is in the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Whole,
    /// Some was dropped, and nothing more is taken in until that was told.
    Overflown,
}

impl Mailbox {
    /// The box of the client that is woken so, with room for so many bytes.
    pub(super) fn new(tether: Arc<Tether>, bytes_max: usize, shared: Arc<Shared>) -> Self {
        Self { tether, bytes_max, shared, mail: Mutex::default(), is_abreast: AtomicBool::new(true) }
    }

    /// What is committed by now is waited for.
    pub(super) fn falls_behind(&self) {
        self.is_abreast.store(false, Ordering::Relaxed);
    }

    /// It has come, or is not to be waited for.
    pub(super) fn comes_abreast(&self) {
        self.is_abreast.store(true, Ordering::Release);
        self.tether.wake();
    }

    /// Whether nothing is waited for.
    pub fn is_abreast(&self) -> bool {
        self.is_abreast.load(Ordering::Acquire)
    }

    /// Puts in a notification.
    pub(super) fn notify(&self, pid: u32, channel: &[u8], payload: &[u8]) {
        self.add(|messages| {
            put(messages, b'A', |out| {
                out.extend_from_slice(&pid.to_be_bytes());
                put_cstr(out, channel);
                put_cstr(out, payload);
            });
        });
    }

    /// Says that notifications may be missing.
    pub fn gap(&self) {
        self.add(|messages| gap().encode(messages));
    }

    fn add(&self, message: impl FnOnce(&mut Vec<u8>)) {
        let mut mail = self.mail.lock();
        let before = mail.messages.len();
        if before >= self.bytes_max || (before >= SURE_BYTES && self.shared.is_full()) {
            mail.fate = Fate::Overflown;
        }
        if mail.fate == Fate::Whole {
            message(&mut mail.messages);
            self.shared.account(before, mail.messages.len());
        }
        drop(mail);
        self.tether.wake();
    }

    /// Takes out what there is, as messages for the client.
    pub fn take(&self) -> Vec<u8> {
        let mut mail = std::mem::take(&mut *self.mail.lock());
        self.shared.account(mail.messages.len(), 0);
        if mail.fate == Fate::Overflown {
            gap().encode(&mut mail.messages);
        }
        mail.messages
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.account(self.mail.get_mut().messages.len(), 0);
    }
}

fn gap() -> PgError {
    PgError::notice(SqlState::WARNING, "notifications may have been missed")
        .detail("The connection on which they come was interrupted, or they were not taken in time.")
        .hint("Look at the data itself once.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: &[u8] = &[b'x'; 8000];

    /// How many notifications there are, and whether it is told that some are missing.
    fn taken(mailbox: &Mailbox) -> (usize, bool) {
        let (mail, mut count, mut gap) = (mailbox.take(), 0, false);
        let mut rest = mail.as_slice();
        while let [tag, a, b, c, d, ..] = rest {
            count += usize::from(*tag == b'A');
            gap |= *tag == b'N';
            rest = &rest[1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
        }
        (count, gap)
    }

    fn fill(mailbox: &Mailbox, count: usize) {
        for _ in 0..count {
            mailbox.notify(1, b"news", BIG);
        }
    }

    #[test]
    fn a_client_has_the_room_that_is_its_own() {
        let mailbox = Mailbox::new(Arc::default(), 1024 * 1024, Arc::default());
        fill(&mailbox, 100);
        assert_eq!(taken(&mailbox), (100, false));
        fill(&mailbox, 200);
        let (count, gap) = taken(&mailbox);
        assert!(count * BIG.len() >= 1000 * 1024 && count < 135 && gap, "{count}");
        fill(&mailbox, 1);
        assert_eq!(taken(&mailbox), (1, false), "what is taken leaves room");
    }

    #[test]
    fn together_they_have_no_more_than_all_may_have() {
        let shared = Arc::new(Shared { bytes: AtomicUsize::new(0), max: 1024 * 1024 });
        let mailbox = |bytes| Mailbox::new(Arc::default(), bytes, shared.clone());
        let (greedy, other) = (mailbox(usize::MAX), mailbox(1024 * 1024));
        fill(&greedy, 1000);
        fill(&other, 100);
        let (count, gap) = taken(&other);
        assert!(gap && count * BIG.len() >= SURE_BYTES - BIG.len(), "what is sure is left to it: {count}");
        assert!(count < 40, "{count}");
        fill(&greedy, 1);
        drop(greedy);
        fill(&other, 100);
        assert_eq!(taken(&other), (100, false), "who leaves makes room");
        assert_eq!(shared.bytes.load(Ordering::Relaxed), 0, "nothing is left");
    }
}
