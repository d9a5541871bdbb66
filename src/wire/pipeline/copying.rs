//! A copy from the client, during which the server ignores Sync.

use std::collections::VecDeque;

use super::{CopyIn, Owed, Pipeline, Sequence};

impl Pipeline {
    /// Whether a Sync that comes now is to be left out: the server takes a copy's data, and the end of it was not
    /// sent. Whether it would ignore the Sync or has failed meanwhile, its next answer tells.
    pub fn leaves_out_sync(&mut self) -> bool {
        let ends = |owed: &VecDeque<Owed>| owed.iter().any(|owed| matches!(owed, Owed::CopyEnd));
        match self.copy {
            CopyIn::Begun => !ends(&self.owed),
            CopyIn::Fed | CopyIn::SyncLeftOut if !ends(&self.owed) => {
                self.copy = CopyIn::SyncLeftOut;
                true
            }
            _ => false,
        }
    }

    /// Data is sent to the server.
    #[inline]
    pub fn sent_data(&mut self) {
        if self.copy == CopyIn::Begun {
            self.copy = CopyIn::Fed;
        }
    }

    /// Whether a Sync that was left out must be sent after all; it counts as sent then.
    pub fn sync_is_due(&mut self) -> bool {
        let due = self.copy == CopyIn::SyncDue;
        if due {
            self.copy = CopyIn::No;
            self.sent(Owed::Sync);
        }
        due
    }

    /// CopyInResponse: until the copy ends the server ignores Sync (documentation, "COPY Operations"), so those
    /// sent before the end of the copy are never answered.
    pub(super) fn copy_in_begins(&mut self) {
        let end = self.owed.iter().position(|owed| matches!(owed, Owed::CopyEnd)).unwrap_or(self.owed.len());
        let mut place = 0;
        let mut swallowed = false;
        self.owed.retain(|owed| {
            let keep = place == 0 || place > end || !matches!(owed, Owed::Sync);
            swallowed |= !keep;
            place += 1;
            keep
        });
        if matches!(self.owed.front(), Some(Owed::Query(_) | Owed::Execute(_))) {
            self.copy = CopyIn::Begun;
        }
        let extended = matches!(self.owed.front(), Some(Owed::Execute(_)));
        if swallowed && extended && !self.owed.iter().any(|owed| matches!(owed, Owed::Sync)) {
            self.sequence = Sequence::Open;
        }
    }
}
