//! What the server's messages settle of what is owed.

use super::{
    super::frame::Header, CopyIn, For, Implied, Outlook, Owed, Passage, Pipeline, Step, TransactionStatus,
    Undo, Unexpected,
};

impl Pipeline {
    /// Whether a message from the server is the client's and settles nothing: most messages are of that kind, and pass
    /// without another look.
    #[inline]
    pub fn is_unmoved_by(&self, tag: u8) -> bool {
        let settles_nothing = match tag {
            b'd' => true,
            b'D' => !self.awaits_row(),
            b'T' | b'C' => matches!(self.owed.front(), Some(Owed::Query(_))),
            _ => false,
        };
        settles_nothing && !self.keeps_sequence()
    }

    /// Whether a message from the server is the client's, is all of the answer to what is owed first, and leaves something
    /// owed; that is settled then. So most answers in a sequence are, and pass without another look, too.
    #[inline]
    pub fn settles_with(&mut self, tag: u8) -> bool {
        if self.owed.len() < 2 || self.keeps_sequence() {
            return false;
        }
        match (tag, self.owed.front()) {
            (b'2', Some(Owed::Bind(_))) | (b'T' | b'n', Some(Owed::Describe(_))) => {}
            (b'C', Some(Owed::Execute(block))) => self.ran = self.ran.after(Step::Execute(*block)),
            _ => return false,
        }
        self.settle();
        true
    }

    /// A message came from the server; `status` is ReadyForQuery's byte. What must be undone goes to `undo`.
    #[inline]
    pub fn received(
        &mut self,
        tag: u8,
        status: Option<u8>,
        undo: &mut dyn FnMut(Undo),
    ) -> Result<Passage, Unexpected> {
        match tag {
            b'T' | b'D' | b'C' | b'E' if self.awaits_position() => Ok(Passage::Position),
            b'D' if self.awaits_row() => Ok(Passage::Evidence),
            // Data rows, copy data, notifications, settings.
            b'D' | b'd' | b'c' | b'H' | b'W' | b'V' | b'A' | b'S' => Ok(Passage::Pass),
            // Descriptions inside a query, notices.
            b't' if self.owed.front().is_some_and(Owed::describes_for_us) => Ok(Passage::Swallow),
            b'N' if self.owed.front().is_some_and(Owed::is_ours) => Ok(Passage::Swallow),
            b't' | b'N' => Ok(Passage::Pass),
            b'Z' => self.ready(status).ok_or(Unexpected { tag }),
            b'E' if matches!(self.owed.front(), Some(Owed::Aside(_))) => Ok(self.aside_failed(undo)),
            b'E' if matches!(self.owed.front(), Some(Owed::Provide(..))) => Ok(Passage::Swallow),
            b'E' if matches!(self.owed.front(), Some(Owed::Evidence)) => Ok(self.evidence_failed()),
            b'E' => Ok(self.failed(undo)),
            b'G' => {
                self.copy_in_begins();
                Ok(Passage::Pass)
            }
            tag => self.answered(tag).ok_or(Unexpected { tag }),
        }
    }

    /// What a server says behind its answers to those requests of ours that are owed first; `None`: nothing so far.
    pub fn behind_asides<'r>(&self, mut received: &'r [u8]) -> Option<&'r [u8]> {
        let mut asides = self.owed.iter().take_while(|owed| matches!(owed, Owed::Aside(_))).count();
        while asides > 0 {
            // What cannot be read is for those to judge who pass it on.
            let header = Header::read(received).ok()??;
            received = received.get(header.total..)?;
            asides -= usize::from(header.tag == b'Z');
        }
        (!received.is_empty()).then_some(received)
    }

    /// What is owed first is answered, or a part of the answer has come.
    #[inline]
    fn answered(&mut self, tag: u8) -> Option<Passage> {
        let passage = match (tag, self.owed.front()?) {
            (b'1' | b'3' | b'C', Owed::Aside(_)) | (b'C', Owed::Refused) => return Some(Passage::Swallow),
            (b'1' | b'3' | b'T' | b'n', Owed::Provide(..)) => return Some(Passage::Swallow),
            (b'T' | b'C', Owed::Evidence) => return Some(Passage::Evidence),
            (b'C', Owed::EvidenceRow) => Passage::Swallow,
            (b'T' | b'C' | b'I', Owed::Query(_)) => return Some(Passage::Pass),
            (b'1', Owed::Parse(For::Client, ..)) | (b'3', Owed::Close(For::Client, _)) => Passage::Pass,
            (b'1', Owed::Parse(For::Us, ..)) | (b'3', Owed::Close(For::Us, _)) => Passage::Swallow,
            (b'2', Owed::Bind(_)) | (b'T' | b'n', Owed::Describe(_) | Owed::Tell(..)) => Passage::Pass,
            (b'T' | b'n', Owed::Check(_) | Owed::Copy(..) | Owed::Learn(_) | Owed::Parameters)
            | (b'2', Owed::OwnBind(_)) => Passage::Swallow,
            (b'C' | b'I' | b's', Owed::Execute(block)) => {
                self.ran = self.ran.after(Step::Execute(*block));
                Passage::Pass
            }
            (tag, Owed::Ours(expected)) if tag == *expected => Passage::Swallow,
            _ => return None,
        };
        self.settle();
        Some(passage)
    }

    /// What is owed first has come, and with it the copy is over that it may have been.
    #[inline]
    pub(super) fn settle(&mut self) {
        if matches!(self.owed.front(), Some(Owed::Query(_) | Owed::Execute(_))) {
            self.copy = CopyIn::No;
        }
        self.drop_first();
        while matches!(self.owed.front(), Some(Owed::CopyEnd | Owed::Note(_))) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let first = self.owed.pop_front();
        if self.unsettled.is_any() || self.unnamed_unsettled.is_any() {
            self.unsettled.settle(first.as_ref().is_some_and(Owed::decides));
            self.unnamed_unsettled.settle(first.as_ref().is_some_and(Owed::decides_unnamed));
        }
    }

    fn ready(&mut self, status: Option<u8>) -> Option<Passage> {
        self.status = TransactionStatus::from_byte(status?)?;
        if self.implied == Implied::Asked {
            self.implied_is_answered(self.status);
        }
        self.ran = if self.implied == Implied::Yes { Outlook::Implicit } else { Outlook::Safe(self.status) };
        let passage = match self.owed.front()? {
            Owed::Query(_) | Owed::FunctionCall | Owed::Sync | Owed::Refused => Passage::Pass,
            Owed::Aside(_) | Owed::Provide(..) => Passage::Swallow,
            Owed::Position => Passage::Position,
            Owed::Evidence => Passage::Evidence,
            _ => return None,
        };
        self.settle();
        Some(passage)
    }
}
