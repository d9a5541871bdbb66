//! Where a client's notifications wait until it can be told.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    pool::tether::Tether,
    wire::{
        error::{PgError, SqlState},
        frame::{put, put_cstr},
    },
};

/// Bytes of notifications that wait for one client, at most; one that takes none for so long loses some, and is told.
pub const WAITING_BYTES_MAX: usize = 256 * 1024;

/// A client's notifications.
pub struct Mailbox {
    tether: Arc<Tether>,
    mail: Mutex<Mail>,
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
    /// The box of the client that is woken so.
    pub fn new(tether: Arc<Tether>) -> Self {
        Self { tether, mail: Mutex::default() }
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
        if mail.messages.len() >= WAITING_BYTES_MAX {
            mail.fate = Fate::Overflown;
        }
        if mail.fate == Fate::Whole {
            message(&mut mail.messages);
        }
        drop(mail);
        self.tether.wake();
    }

    /// Takes out what there is, as messages for the client.
    pub fn take(&self) -> Vec<u8> {
        let mut mail = std::mem::take(&mut *self.mail.lock());
        if mail.fate == Fate::Overflown {
            gap().encode(&mut mail.messages);
        }
        mail.messages
    }
}

fn gap() -> PgError {
    PgError::notice(SqlState::WARNING, "notifications may have been missed")
        .detail("The connection on which they come was interrupted, or they were not taken in time.")
        .hint("Look at the data itself once.")
}
