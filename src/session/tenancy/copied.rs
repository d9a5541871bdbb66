//! What a server says of copies of the client's statements under their true names.

use super::Tenancy;
use crate::{
    session::copies::{Copies, Copy},
    wire::{
        error::{ServerError, SqlState},
        frame::{HEADER_BYTES, Header},
    },
};

impl Tenancy {
    /// What the server has under true names of the client's statements.
    pub(in crate::session) fn copies_mut(&mut self) -> &mut Copies {
        &mut self.touched.get_or_insert_default().copies
    }

    /// The same, if it has anything there.
    #[inline]
    pub(in crate::session) fn copies(&self) -> Option<&Copies> {
        self.touched.as_ref().map(|touched| &touched.copies)
    }

    /// The server has discarded all statements.
    pub(in crate::session) fn loses_copies(&mut self) {
        if let Some(touched) = &mut self.touched {
            touched.copies = Copies::default();
        }
    }

    /// The server has described the copy of this name: whether it yields what the client's statement did.
    pub(in crate::session) fn copy_described(&mut self, name: &[u8], alike: bool) {
        self.copies_mut().put(name, if alike { Copy::Alike } else { Copy::Changed });
        self.checked(None);
    }

    /// The server has refused to parse the copy of this name, by this ErrorResponse. What is too long to be whole is not kept;
    /// nor is it where the transaction has failed, because then the server says so of whatever comes.
    pub(in crate::session) fn copy_refused(&mut self, name: &[u8], message: &[u8]) {
        let whole = matches!(Header::read(message), Ok(Some(header)) if header.total == message.len());
        let error = message.get(HEADER_BYTES..).and_then(ServerError::decode);
        let lies_in_it = error.is_some_and(|error| error.code != SqlState::IN_FAILED_SQL_TRANSACTION);
        self.copies_mut().put(name, Copy::Refused((whole && lies_in_it).then(|| message.into())));
    }
}
