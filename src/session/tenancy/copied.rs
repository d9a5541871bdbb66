//! What a server says of copies of the client's statements under their true names.

use super::{Awaited, Tenancy};
use crate::{
    session::{
        copies::{Copies, Copy},
        deallocating::Deallocating,
    },
    wire::{
        error::{ServerError, SqlState},
        frame::{HEADER_BYTES, Header},
        pipeline::Followed,
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

    /// A text runs that deallocates these statements, in this order: nothing is read from the client before it is known
    /// which are gone.
    pub(in crate::session) fn deallocates(&mut self, names: Vec<Box<[u8]>>) {
        self.deallocating().runs(names);
        self.await_deallocation();
    }

    /// A statement is bound next that deallocates this.
    pub(in crate::session) fn binds_deallocation(&mut self, name: Box<[u8]>) {
        self.deallocating().bound.will_bind(name);
    }

    /// A statement is bound next that runs by name what its text says.
    pub(in crate::session) fn binds_run(&mut self, text: &[u8]) {
        self.touched.get_or_insert_default().running.will_bind(text.into());
    }

    /// The text of what a portal is bound to, if that runs something by name.
    pub(in crate::session) fn portal_runs(&self, portal: &[u8]) -> Option<Box<[u8]>> {
        self.touched.as_ref()?.running.of(portal)
    }

    /// A portal is about to be bound anew.
    #[inline]
    pub(in crate::session) fn binds_portal(&mut self, portal: &[u8]) {
        if let Some(touched) = &mut self.touched {
            touched.deallocating.bound.unbind(portal);
            touched.running.unbind(portal);
        }
    }

    /// A portal is bound.
    #[inline]
    pub(in crate::session) fn portal_is_bound(&mut self, portal: &[u8]) {
        if let Some(touched) = &mut self.touched {
            touched.deallocating.bound.bind(portal);
            touched.running.bind(portal);
        }
    }

    /// A portal is run, which may deallocate.
    #[cold]
    pub(in crate::session) fn executes_portal(&mut self, portal: &[u8]) {
        if self.deallocating().executes(portal) {
            self.await_deallocation();
        }
    }

    /// The server has deallocated what it was to deallocate next.
    pub(in crate::session) fn deallocated(&mut self) -> Option<Box<[u8]>> {
        let touched = self.touched.as_mut()?;
        let name = touched.deallocating.deallocated()?;
        touched.copies.remove(&name);
        Some(name)
    }

    fn deallocating(&mut self) -> &mut Deallocating {
        &mut self.touched.get_or_insert_default().deallocating
    }

    fn await_deallocation(&mut self) {
        match self.awaited {
            Awaited::Nothing => self.awaited = Awaited::Answer(Followed::Kept),
            Awaited::Report => self.awaited = Awaited::Answer(Followed::Changed),
            Awaited::Answer(_) => {}
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
