//! Messages that pass without another look, and those that are looked at only when they are whole.

use super::{Pipeline, Splice, Tenancy, WHOLE_BYTES_MAX};
use crate::wire::{
    description::DESCRIPTION_BYTES_MAX,
    frame::{Header, Malformed},
};

/// Passes whole messages that are the client's as they are and change nothing; the header of the next one, if it is there.
#[inline]
pub(super) fn pass_unmoving(
    splice: &mut Splice<'_>,
    pipeline: &Pipeline,
    tenancy: &Tenancy,
) -> Result<Option<Header>, Malformed> {
    loop {
        let left = splice.rest();
        let Some(header) = Header::read(left)? else { return Ok(None) };
        let matters = tenancy.awaits_answer() || tenancy.fate.is_given() || tenancy.placing.is_on();
        let completes = header.tag == b'C' && matters;
        if left.len() < header.total || !pipeline.is_unmoved_by(header.tag) || completes {
            return Ok(Some(header));
        }
        splice.pass(header.total);
    }
}

/// Whether a message is waited for whole, because it must be understood.
#[cold]
pub(super) fn must_be_whole(header: Header, describes: bool, pipeline: &Pipeline) -> bool {
    match header.tag {
        _ if describes => header.total <= DESCRIPTION_BYTES_MAX,
        b'Z' | b'S' | b'E' | b'C' | b'A' => header.total <= WHOLE_BYTES_MAX,
        b'D' => pipeline.awaits_row() && header.total <= WHOLE_BYTES_MAX,
        _ => false,
    }
}
