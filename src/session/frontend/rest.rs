//! A message that has not come whole: what is still to come of it goes the way of its beginning.

use super::{Frontend, Header, Passage};
use crate::wire::splice::Splice;

/// What becomes of the bytes left of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rest {
    /// There are none.
    #[default]
    None,
    /// They follow the beginning.
    Pass(usize),
    /// They are left out, as the beginning was.
    Skip(usize),
}

impl Frontend {
    #[inline]
    pub(super) fn go_on_with_rest(&mut self, splice: &mut Splice<'_>) {
        let left = splice.rest().len();
        match self.rest {
            Rest::Pass(rest) => {
                splice.pass(rest.min(left));
                self.set_rest(Rest::Pass(rest.saturating_sub(left)));
            }
            Rest::Skip(rest) => {
                splice.skip(rest.min(left));
                self.set_rest(Rest::Skip(rest.saturating_sub(left)));
            }
            Rest::None => {}
        }
    }

    #[inline]
    pub(super) fn set_rest(&mut self, rest: Rest) {
        self.rest = if matches!(rest, Rest::Pass(0) | Rest::Skip(0)) { Rest::None } else { rest };
    }

    /// The message passes as it is; what is still to come of it, too.
    #[inline]
    pub(super) fn pass(&mut self, header: Header, message: &[u8], passage: &mut Passage<'_, '_>) {
        passage.splice.pass(message.len());
        self.set_rest(Rest::Pass(header.total - message.len()));
    }

    pub(super) fn leave_out(&mut self, header: Header, message: &[u8], passage: &mut Passage<'_, '_>) {
        passage.splice.skip(message.len());
        self.set_rest(Rest::Skip(header.total - message.len()));
    }
}
