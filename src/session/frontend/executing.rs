//! Execute: a portal is run.

use super::{
    Awaited, Copying, Frontend, HEADER_BYTES, Header, Owed, Passage, PgError, Prepared, Refusal,
    TransactionStatus, cstr, malformed::is_execute, put,
};

impl Frontend {
    pub(super) fn execute(
        &mut self,
        header: Header,
        message: &[u8],
        passage: &mut Passage<'_, '_>,
    ) -> Result<(), PgError> {
        if !is_execute(&message[HEADER_BYTES..]) {
            return self.pass_malformed(header, message, passage);
        }
        match self.provide_for_execute(message, passage) {
            Prepared::Ready => {}
            Prepared::Checking => return Ok(()),
            Prepared::Refused => {
                passage.refuse(Refusal::ResultChanged);
                self.leave_out(header, message, passage);
                return Ok(());
            }
        }
        let named = message.get(HEADER_BYTES) != Some(&0);
        let conduct = passage.tenancy.portal(named);
        if let Some(refusal) = passage.tenancy.sight.run() {
            passage.refuse(refusal);
            self.leave_out(header, message, passage);
            return Ok(());
        }
        if passage.tenancy.fate.is_on() {
            passage.execute_decides(conduct);
        }
        passage.tenancy.runs(conduct);
        passage.pipeline.sent(Owed::Execute(conduct.block));
        self.pass(header, message, passage);
        let followed = passage.tenancy.must_await(conduct);
        let whole = message.len() == header.total;
        let in_block = passage.pipeline.status() != TransactionStatus::Idle;
        if in_block && whole && passage.splice.rest().first() != Some(&b'S') {
            passage.tenancy.runs_in_block(conduct.block);
        }
        if let Some(followed) = followed {
            passage.tenancy.awaited = if whole { Awaited::Answer(followed) } else { Awaited::Report };
        }
        if conduct.copying == Copying::In && whole {
            passage.tenancy.await_copy();
        }
        if passage.tenancy.is_touched()
            && let Some((portal, _)) = cstr(&message[HEADER_BYTES..])
        {
            passage.tenancy.executes_portal(portal);
        }
        if passage.tenancy.holds_client() {
            // The client may wait for more before it ends the sequence: the server must answer now.
            put(passage.splice.insert(), b'H', |_| {});
        }
        Ok(())
    }

    /// The server has what the portal runs by name.
    fn provide_for_execute(&mut self, message: &[u8], passage: &mut Passage<'_, '_>) -> Prepared {
        match cstr(&message[HEADER_BYTES..]) {
            Some((portal, _)) if passage.tenancy.is_touched() => self.provide_for_portal(portal, passage),
            _ => Prepared::Ready,
        }
    }
}
